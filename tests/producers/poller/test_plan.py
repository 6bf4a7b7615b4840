from __future__ import annotations

import pytest

from producers.poller.plan import (
    Instance,
    Known,
    Series,
    State,
    Study,
    needs_work,
    requests,
    wanted,
    wanted_by_series,
)
from producers.poller.sources import Filters

NOW = 10_000.0


def known(state: State = State.COMPLETE, counted: int | None = 5, held: int = 5, **times: float) -> Known:
    return Known(state, counted, held, times.get("changed", NOW - 600), times.get("checked", NOW - 300))


@pytest.mark.parametrize(
    ("instances", "before", "at_gateway", "expected"),
    [
        (5, None, 0, True),
        (5, None, 5, True),
        (5, known(State.PENDING), 5, True),
        (5, known(), 5, False),
        # results of our own lie in the same study
        (5, known(), 9, False),
        (6, known(), 5, True),
        (4, known(), 5, True),
        # the gateway lost something
        (5, known(), 4, True),
        # the source counts what it never lists
        (7, known(counted=7, held=5), 5, False),
        # a filter left it out
        (5, known(held=0), 0, False),
        (5, known(State.ASIDE, held=0), 0, False),
        (6, known(State.ASIDE, held=0), 0, True),
        # without counts: again after the time that it was quiet for
        (None, known(counted=None), 5, True),
        (None, known(counted=None, changed=NOW - 600, checked=NOW - 200), 5, False),
        (None, known(counted=None, changed=0, checked=NOW - 3599), 5, False),
        (None, known(counted=None, changed=0, checked=NOW - 3600), 5, True),
    ],
)
def test_only_a_difference_is_work(
    instances: int | None, before: Known | None, at_gateway: int, expected: bool
) -> None:
    assert needs_work(Study("1.2", instances=instances), before, at_gateway, NOW) is expected


LISTED = [Instance("1", f"1.{n}") for n in range(3)] + [Instance("2", f"2.{n}") for n in range(120)]


@pytest.mark.parametrize(
    ("missing", "at_most", "expected"),
    [
        (range(123), None, [("", 0, 123)]),
        ([], None, []),
        (range(3), None, [("1", 0, 3)]),
        ([0, *range(3, 123)], None, [("1", 1, 1), ("2", 0, 120)]),
        ([*range(4, 123)], None, [("2", 50, 50), ("2", 50, 50), ("2", 19, 19)]),
        ([0, 3], 1, [("1", 1, 1), ("2", 1, 1)]),
        (range(123), 100, [("1", 0, 3), ("2", 50, 50), ("2", 50, 50), ("2", 20, 20)]),
        (range(4), 2, [("1", 2, 2), ("1", 1, 1), ("2", 1, 1)]),
    ],
)
def test_exactly_what_is_missing_is_asked_for(
    missing: list[int], at_most: int | None, expected: list[tuple[str, int, int]]
) -> None:
    """Series, UIDs named, instances expected."""
    present = {one.sop_instance_uid for at, one in enumerate(LISTED) if at not in missing}
    found = requests("9", LISTED, present, at_most)
    assert [(r.series_instance_uid, len(r.sop_instance_uids), len(r.instances)) for r in found] == expected
    brought = [one for request in found for one in request.instances]
    assert brought == [one for at, one in enumerate(LISTED) if at in missing]


@pytest.mark.parametrize(
    ("study", "filters", "expected"),
    [
        (Study("1"), Filters(), True),
        (Study("1", modalities=frozenset({"CT", "SR"})), Filters(modalities=frozenset({"CT"})), True),
        (Study("1", modalities=frozenset({"MR"})), Filters(modalities=frozenset({"CT"})), False),
        (Study("1"), Filters(modalities=frozenset({"CT"})), None),
        (Study("1", description="КТ ГОЛОВИ"), Filters(descriptions=("*голови*",)), True),
        (Study("1", description="Chest"), Filters(descriptions=("*head*",)), False),
        (Study("1"), Filters(stations=("ER*",)), None),
    ],
)
def test_filters_of_a_study(study: Study, filters: Filters, expected: bool | None) -> None:
    assert wanted(study, filters) is expected


def test_filters_that_only_series_can_answer() -> None:
    filters = Filters(modalities=frozenset({"CT"}), stations=("er*",))
    assert wanted_by_series([Series("1", "CT", "ER-2"), Series("2", "SR")], filters)
    assert not wanted_by_series([Series("1", "CT", "WARD"), Series("2", "SR")], filters)
    # a source that does not tell the station has no match
    assert not wanted_by_series([Series("1", "CT")], filters)
    assert not wanted_by_series([], filters)
