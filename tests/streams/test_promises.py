"""Hints of those who know how many instances a study has: a table of moments, as for the other timers."""

from __future__ import annotations

import pytest

from schemas.events import HintKind, ReadyReason
from streams.assembly import MAX_PROMISES
from tests.streams.samples import at, hint, instance
from tests.streams.test_assembly import STUDY, assembler, give, images, ready, stored

MPPS = HintKind.MPPS_COMPLETED
COMMITMENT = HintKind.STORAGE_COMMITMENT


@pytest.mark.parametrize("kind", [MPPS, HintKind.INSTANCE_AVAILABILITY, COMMITMENT])
def test_a_promise_kept_makes_the_study_ready_at_once_also_of_one_image(kind: HintKind) -> None:
    machine = assembler()
    give(machine, 0.0, *images(STUDY, 1), hint(STUDY, 1, kind=kind))
    assert ready(machine, 0.49) == []
    (event,) = ready(machine, 0.5)
    assert (event.reason.value, event.instance_count) == (kind.value, 1)


@pytest.mark.parametrize("first", ["promise", "images"])
def test_a_promise_is_kept_when_the_last_instance_comes_though_others_still_send(first: str) -> None:
    machine = assembler()
    promise = hint(STUDY, 4, kind=MPPS)
    if first == "promise":
        give(machine, 0.0, promise)
    give(machine, 1.0, *images(STUDY, 3, association="a"))
    if first == "images":
        give(machine, 1.0, promise)
    assert ready(machine, 3.0) == []
    give(machine, 4.0, instance(STUDY, 3, association="b"))
    assert ready(machine, 4.49) == []
    (event,) = ready(machine, 4.5)
    assert (event.reason, event.instance_count) == (ReadyReason.MPPS_COMPLETED, 4)


def test_a_promise_of_more_than_is_here_outweighs_a_release_and_holds_nothing_up_for_ever() -> None:
    machine = assembler()
    release = hint(STUDY, 3, association="a")
    give(machine, 0.0, *images(STUDY, 3, association="a"), hint(STUDY, 9, kind=MPPS), release)
    assert ready(machine, 4.9) == []
    (event,) = ready(machine, 5.0)
    assert (event.reason, event.revision) == (ReadyReason.QUIET, 1)
    # the rest comes late, and the promise still tells when it is all there
    give(machine, 60.0, *(instance(STUDY, number) for number in range(3, 9)))
    (event,) = ready(machine, 60.5)
    assert (event.reason, event.revision, event.instance_count) == (ReadyReason.MPPS_COMPLETED, 2, 9)


def test_a_promise_takes_back_the_word_of_an_earlier_release() -> None:
    machine = assembler()
    give(machine, 0.0, *images(STUDY, 3, association="a"), hint(STUDY, 3, association="a"))
    give(machine, 0.1, hint(STUDY, 4, kind=COMMITMENT))
    assert ready(machine, 4.9) == []
    assert [event.reason for event in ready(machine, 5.0)] == [ReadyReason.QUIET]


def test_a_promise_says_nothing_of_what_comes_after_it_was_kept() -> None:
    machine = assembler()
    give(machine, 0.0, *images(STUDY, 3), hint(STUDY, 3, kind=COMMITMENT))
    give(machine, 0.2, instance(STUDY, 3))
    assert ready(machine, 5.1) == []
    (event,) = ready(machine, 5.2)
    assert (event.reason, event.instance_count) == (ReadyReason.QUIET, 4)


def test_a_promise_the_greatest_counts() -> None:
    machine = assembler()
    give(machine, 0.0, hint(STUDY, 4, kind=MPPS), hint(STUDY, 2, kind=COMMITMENT), *images(STUDY, 3))
    assert ready(machine, 2.0) == []
    give(machine, 2.0, hint(STUDY, 3, kind=COMMITMENT), instance(STUDY, 3))
    assert [event.instance_count for event in ready(machine, 2.5)] == [4]


def test_a_promise_of_a_finished_study_waits_for_its_late_images() -> None:
    machine = assembler()
    give(machine, 0.0, *images(STUDY, 3))
    ready(machine, 5.0)
    give(machine, 6.0, hint(STUDY, 5, kind=MPPS))
    assert ready(machine, 20.0) == []
    assert machine.waiting == 0
    give(machine, 30.0, instance(STUDY, 3))
    give(machine, 33.0, instance(STUDY, 4))
    assert [event.revision for event in ready(machine, 33.5)] == [2]
    give(machine, 40.0, hint(STUDY, 5, kind=COMMITMENT))
    assert ready(machine, 400.0) == []


def test_a_promise_outlives_a_restart() -> None:
    changelog: dict[str, bytes] = {}
    first = assembler()
    give(first, 0.0, *images(STUDY, 3), hint(STUDY, 5, kind=MPPS))
    stored(changelog, first.changes(at(0.1)))
    second = assembler(changelog, 2.0)
    give(second, 3.0, instance(STUDY, 3), instance(STUDY, 4))
    assert [event.reason for event in ready(second, 3.5)] == [ReadyReason.MPPS_COMPLETED]


def test_a_promise_for_studies_that_never_come_take_bounded_memory() -> None:
    machine = assembler()
    for number in range(MAX_PROMISES + 1):
        give(machine, 0.0, hint(f"{STUDY}.{number}", 1, kind=MPPS))
    give(machine, 1.0, instance(f"{STUDY}.0", 1), instance(f"{STUDY}.1", 1))
    assert [event.study_instance_uid for event in ready(machine, 1.5)] == [f"{STUDY}.1"]
