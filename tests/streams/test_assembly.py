"""The state machine of a study, as a table of moments: what arrives when, and what is ready by then."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ids
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import Event, HintKind, ReadyReason, StudyReady
from schemas.topics import Topic
from streams.assembly import Assembler
from streams.context import ContextTable
from streams.partition import Change
from streams.routing import Router
from streams.rules_file import load_rules
from tests.streams.samples import MR, SEG, SR, START, at, hint, instance, new_study, received

NO_ROUTES = load_rules().model_copy(update={"routes": ()})
CODEC = Codec()


def assembler(changelog: dict[str, bytes] | None = None, seconds: float = 0.0) -> Assembler:
    latest = {key.encode(): value for key, value in (changelog or {}).items()}
    return Assembler(NO_ROUTES, CODEC, Router(NO_ROUTES, "site-1", "node-1"), ContextTable(), latest, at(seconds))


def give(machine: Assembler, seconds: float, *events: Event) -> None:
    for event in events:
        machine.accept(received(event), at(seconds))


def ready(machine: Assembler, seconds: float, *, behind: bool = False) -> list[StudyReady]:
    events = [output.event for output in machine.wake(at(seconds), behind)]
    machine.changes(at(seconds))
    return [event for event in events if isinstance(event, StudyReady)]


def images(study: str, count: int, **more: object) -> list[Event]:
    return [instance(study, number, **more) for number in range(count)]  # type: ignore[arg-type] # forwarded as is


def stored(changelog: dict[str, bytes], changes: list[Change]) -> None:
    for key, state in changes:
        if state is None:
            changelog.pop(key, None)
        else:
            changelog[key] = CODEC.encode(state)


STUDY = "2.25.1"


@pytest.mark.parametrize(
    ("events", "seconds", "reason"),
    [
        (images(STUDY, 3), 5.0, ReadyReason.QUIET),
        (images(STUDY, 3, requested_procedure_priority="STAT"), 2.0, ReadyReason.QUIET),
        (images(STUDY, 3, modality="US"), 30.0, ReadyReason.QUIET),
        (
            [*images(STUDY, 3, association="a"), hint(STUDY, 3, association="a")],
            0.5,
            ReadyReason.ASSOCIATION_RELEASED,
        ),
        (
            [
                *images(STUDY, 3, association="a", study_description="Гострий ІНСУЛЬТ?"),
                hint(STUDY, 3, association="a"),
            ],
            0.2,
            ReadyReason.ASSOCIATION_RELEASED,
        ),
        # The hint speaks of more than is here, or somebody else still sends, or one image is no study.
        ([*images(STUDY, 3, association="a"), hint(STUDY, 4, association="a")], 5.0, ReadyReason.QUIET),
        (
            [
                *images(STUDY, 3, association="a"),
                *images(STUDY, 3, series=2, association="b"),
                hint(STUDY, 3, association="a"),
            ],
            5.0,
            ReadyReason.QUIET,
        ),
        ([*images(STUDY, 1, association="a"), hint(STUDY, 1, association="a")], 5.0, ReadyReason.QUIET),
        # A new image after the hint arms the full wait again; an operator does not wait.
        (
            [
                *images(STUDY, 3, association="a"),
                hint(STUDY, 3, association="a"),
                instance(STUDY, 9, association="b"),
            ],
            5.0,
            ReadyReason.QUIET,
        ),
        ([*images(STUDY, 1), hint(STUDY, None, kind=HintKind.OPERATOR)], 0.0, ReadyReason.OPERATOR),
    ],
)
def test_a_study_is_ready_after_its_quiet_period_and_not_before(
    events: list[Event], seconds: float, reason: ReadyReason
) -> None:
    machine = assembler()
    give(machine, 0.0, *events)
    assert ready(machine, seconds - 0.01) == []
    assert machine.due(behind=False) == pytest.approx(at(seconds).monotonic)
    (event,) = ready(machine, seconds)
    assert (event.revision, event.reason) == (1, reason)
    assert ready(machine, seconds + 1000) == []
    assert machine.waiting == 0


def test_the_event_tells_the_whole_study() -> None:
    machine = assembler()
    late = START + timedelta(seconds=90)
    give(
        machine,
        0.0,
        *images(STUDY, 2, series=2, occurred=late, study_description="BRAIN", accession_number="A1"),
        *images(STUDY, 1, series=1, body_part_examined="HEAD", series_description="T1"),
        instance(STUDY, 1, series=9, sop_class=SR, modality="SR"),
    )
    (event,) = ready(machine, 5.0)
    assert event.event_id == ids.event_id("study-ready", STUDY, 1)
    assert event.retrieve_url == f"http://gw/dicom-web/studies/{STUDY}"
    assert [series.series_instance_uid for series in event.series] == [f"{STUDY}.{n}" for n in (1, 2, 9)]
    assert [len(series.sop_instance_uids) for series in event.series] == [1, 2, 1]
    assert (event.instance_count, event.study_description, event.accession_number) == (4, "BRAIN", "A1")
    assert (event.first_instance_at, event.last_instance_at) == (START, late)
    assert event.occurred_at == at(5.0).utc


def test_a_late_image_makes_one_more_revision_with_everything_and_a_duplicate_makes_none() -> None:
    machine = assembler()
    give(machine, 0.0, *images(STUDY, 3))
    ready(machine, 5.0)
    give(machine, 100.0, *images(STUDY, 3))
    assert ready(machine, 200.0) == []
    give(machine, 300.0, instance(STUDY, 3))
    give(machine, 303.0, instance(STUDY, 4))
    assert ready(machine, 307.9) == []
    (event,) = ready(machine, 308.0)
    assert (event.revision, event.instance_count) == (2, 5)


@pytest.mark.parametrize("sop_class", [SR, SEG])
def test_what_is_no_image_never_makes_a_study_ready_but_belongs_to_it(sop_class: str) -> None:
    machine = assembler()
    give(machine, 0.0, instance(STUDY, 50, series=5, sop_class=sop_class))
    assert ready(machine, 1000.0) == []
    give(machine, 1000.0, *images(STUDY, 2))
    (event,) = ready(machine, 1005.0)
    assert (event.revision, event.instance_count) == (1, 3)
    give(machine, 1010.0, instance(STUDY, 51, series=5, sop_class=sop_class))
    assert ready(machine, 2000.0) == []
    give(machine, 2000.0, instance(STUDY, 2))
    (event,) = ready(machine, 2005.0)
    assert (event.revision, event.instance_count) == (2, 5)


def test_an_instance_of_no_class_is_no_image_and_stops_nobody() -> None:
    machine, study = assembler(), new_study()
    give(machine, 0, instance(study, 1, sop_class=""), *images(study, 2, series=2))
    (event,) = ready(machine, 3600)
    assert [series.sop_class_uid for series in event.series] == ["", MR]


def test_own_results_are_ignored() -> None:
    machine = assembler()
    give(machine, 0.0, *images(STUDY, 2, own=True), instance(STUDY, 7, series=3, sop_class=SEG, own=True))
    assert ready(machine, 1000.0) == []
    assert machine.changes(at(1000.0)) == []


def test_a_study_that_never_falls_silent_is_ready_at_the_hard_cap() -> None:
    machine = assembler()
    for second in range(0, 600, 4):
        give(machine, float(second), instance(STUDY, second))
        assert ready(machine, float(second)) == []
    give(machine, 599.0, instance(STUDY, 9999))
    (event,) = ready(machine, 600.0)
    assert (event.reason, event.instance_count) == (ReadyReason.HARD_CAP, 151)


def test_nothing_is_silent_while_much_is_unread_but_the_hard_cap_holds() -> None:
    machine = assembler()
    give(machine, 0.0, *images(STUDY, 3, occurred=START - timedelta(hours=9)))
    assert ready(machine, 60.0, behind=True) == []
    give(machine, 60.0, instance(STUDY, 3))
    assert ready(machine, 64.0) == []
    (event,) = ready(machine, 65.0)
    assert (event.revision, event.instance_count) == (1, 4)

    other = new_study()
    give(machine, 100.0, *images(other, 3))
    assert ready(machine, 699.0, behind=True) == []
    assert [event.reason for event in ready(machine, 700.0, behind=True)] == [ReadyReason.HARD_CAP]


def test_a_backlog_of_old_events_makes_one_revision_per_study() -> None:
    machine = assembler()
    studies = [new_study() for _ in range(20)]
    for number in range(30):
        moment = START - timedelta(hours=5) + timedelta(seconds=number * 4)
        give(machine, number * 0.01, *(instance(study, number, occurred=moment) for study in studies))
        assert ready(machine, number * 0.01, behind=number < 25) == []
    assert [(event.revision, event.instance_count) for event in ready(machine, 6.0)] == [(1, 30)] * 20


def test_a_step_of_the_system_clock_neither_fires_nor_freezes_a_timer() -> None:
    machine = assembler()
    give(machine, 0.0, *images(STUDY, 2))
    assert machine.wake(at(4.9, jump=3600.0), False) == []
    assert len([out for out in machine.wake(at(5.0, jump=-3600.0), False) if out.topic is Topic.STUDIES]) == 1


class TestRestart:
    def test_in_the_middle_of_a_quiet_period_it_goes_on_and_forgets_nothing(self) -> None:
        changelog: dict[str, bytes] = {}
        first = assembler()
        give(first, 0.0, *images(STUDY, 3))
        stored(changelog, first.changes(at(0.1)))
        second = assembler(changelog, 4.0)
        assert second.waiting == 1
        give(second, 6.0, instance(STUDY, 3))
        assert ready(second, 10.9) == []
        (event,) = ready(second, 11.0)
        assert (event.revision, event.instance_count) == (1, 4)

    def test_a_silent_study_is_ready_one_quiet_period_after_a_long_outage(self) -> None:
        changelog: dict[str, bytes] = {}
        first = assembler()
        give(first, 0.0, *images(STUDY, 3))
        stored(changelog, first.changes(at(0.1)))
        second = assembler(changelog, 7200.0)
        assert ready(second, 7204.9) == []
        assert [event.revision for event in ready(second, 7205.0)] == [1]

    def test_the_hard_cap_goes_on_counting(self) -> None:
        changelog: dict[str, bytes] = {}
        machine = assembler()
        fired = []
        for second in range(0, 700, 4):
            give(machine, float(second), instance(STUDY, second))
            fired += ready(machine, float(second))
            if second == 300:
                give(machine, 300.0, instance(STUDY, 10_000))
                stored(changelog, machine.changes(at(300.0)))
                machine = assembler(changelog, 300.0)
        assert [(event.reason, event.occurred_at) for event in fired] == [(ReadyReason.HARD_CAP, at(600.0).utc)]

    def test_a_hint_outlives_it(self) -> None:
        changelog: dict[str, bytes] = {}
        first = assembler()
        give(first, 0.0, *images(STUDY, 3, association="a"), hint(STUDY, 3, association="a"))
        stored(changelog, first.changes(at(0.1)))
        (event,) = ready(assembler(changelog, 10.0), 10.5)
        assert event.reason is ReadyReason.ASSOCIATION_RELEASED

    def test_a_ready_study_stays_ready_and_the_next_revision_counts_on(self) -> None:
        changelog: dict[str, bytes] = {}
        first = assembler()
        give(first, 0.0, *images(STUDY, 3))
        first.wake(at(5.0), False)
        stored(changelog, first.changes(at(5.0)))
        second = assembler(changelog, 10.0)
        give(second, 11.0, *images(STUDY, 3))
        assert ready(second, 100.0) == []
        give(second, 101.0, instance(STUDY, 3))
        assert [(event.revision, event.instance_count) for event in ready(second, 106.0)] == [(2, 4)]

    def test_an_old_study_is_forgotten_with_a_tombstone(self) -> None:
        changelog: dict[str, bytes] = {}
        first = assembler()
        give(first, 0.0, *images(STUDY, 3))
        first.wake(at(5.0), False)
        stored(changelog, first.changes(at(5.0)))
        days = 86_400.0
        second = assembler(changelog, 29.9 * days)
        assert second.changes(at(29.9 * days)) == []
        assert second.changes(at(30.1 * days)) == [Change(STUDY, None)]
        assert second.changes(at(31.0 * days)) == []


def test_an_event_of_another_kind_is_refused() -> None:
    machine = assembler()
    give(machine, 0.0, *images(STUDY, 2))
    (event,) = ready(machine, 5.0)
    with pytest.raises(InvalidMessage, match="StudyReady does not belong"):
        machine.accept(received(event), at(6.0))
    with pytest.raises(InvalidMessage, match="not a UID"):
        give(machine, 6.0, replace(instance(STUDY, 1), study_instance_uid="2.25.1|2"))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),  # instance
            st.integers(1, 3),  # series
            st.floats(0.0, 9.0),  # seconds since the one before
            st.booleans(),  # restart after it
        ),
        min_size=1,
        max_size=40,
    )
)
def test_in_any_order_with_any_duplicates_and_restarts_nothing_is_lost_and_revisions_count_up(
    arrivals: list[tuple[int, int, float, bool]],
) -> None:
    changelog: dict[str, bytes] = {}
    machine = assembler()
    seconds = 0.0
    revisions: list[StudyReady] = []

    def settle() -> None:
        revisions.extend(
            output.event for output in machine.wake(at(seconds), False) if isinstance(output.event, StudyReady)
        )
        stored(changelog, machine.changes(at(seconds)))

    for number, series, gap, restart in arrivals:
        seconds += gap
        settle()
        give(machine, seconds, instance(STUDY, number, series=series))
        settle()
        if restart:
            machine = assembler(changelog, seconds)
    seconds += 6.0
    settle()
    assert [event.revision for event in revisions] == list(range(1, len(revisions) + 1))
    sent = {f"{STUDY}.{series}.{number}" for number, series, _, _ in arrivals}
    told = [{uid for series in event.series for uid in series.sop_instance_uids} for event in revisions]
    assert told[-1] == sent
    assert all(earlier < later for earlier, later in itertools.pairwise(told))
    assert all(event.instance_count == len(uids) for event, uids in zip(revisions, told, strict=True))


@given(st.permutations(range(8)), st.permutations(range(8)))
def test_the_order_of_arrival_does_not_show(one: list[int], other: list[int]) -> None:
    def told(order: list[int]) -> StudyReady:
        machine = assembler()
        for number in order:
            sop_class = SR if number == 0 else instance(STUDY, 0).sop_class_uid
            give(
                machine,
                0.0,
                instance(
                    STUDY,
                    number,
                    series=number % 3,
                    sop_class=sop_class,
                    occurred=START + timedelta(seconds=number),
                    study_description=f"description {number}",
                    calling_ae_title=f"AE{number}" if number % 2 else None,
                    requested_procedure_priority=("LOW", "ROUTINE", "STAT", None)[number % 4],
                ),
            )
        (event,) = ready(machine, 10.0)
        return event

    assert told(one) == told(other)
    assert told(one).requested_procedure_priority == "STAT"


def test_other_content_of_an_instance_makes_the_next_revision_and_the_same_again_makes_none() -> None:
    machine = assembler()
    first, *rest = (instance(STUDY, number) for number in range(3))
    give(machine, 0.0, first, *rest)
    assert [event.revision for event in ready(machine, 5.0)] == [1]
    give(machine, 60.0, first)
    assert ready(machine, 70.0) == []
    give(machine, 80.0, replace(first, sha256="b" * 64, replaces=True))
    (event,) = ready(machine, 85.0)
    assert (event.revision, event.instance_count) == (2, 3)
