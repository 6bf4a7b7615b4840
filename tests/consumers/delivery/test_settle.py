from __future__ import annotations

from datetime import timedelta

import pytest

from consumers.delivery.item import Subject
from consumers.delivery.outcome import NOTHING_TO_DO, status_of
from consumers.delivery.settle import Clerk
from schemas.errors import InvalidMessage, TransientFailure
from schemas.events import DeliveryStatus, ObjectOutcome
from schemas.headers import header
from tests.consumers.delivery.items import TEMPLATE, adjudication, item, received, retry_of, verdict, work
from tests.consumers.results import FINISHED

NOW = FINISHED + timedelta(seconds=2)
CLERK = Clerk("scanstream.writer.stow", "stow")


def objects(*statuses: DeliveryStatus) -> tuple[ObjectOutcome, ...]:
    return tuple(
        ObjectOutcome("1.2", f"1.{place}", status, status_code=409, reason=f"because {place}")
        for place, status in enumerate(statuses)
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), DeliveryStatus.SKIPPED),
        ((DeliveryStatus.SKIPPED,), DeliveryStatus.SKIPPED),
        ((DeliveryStatus.STORED, DeliveryStatus.SKIPPED), DeliveryStatus.STORED),
        ((DeliveryStatus.STORED, DeliveryStatus.FAILED), DeliveryStatus.PARTIAL),
        ((DeliveryStatus.FAILED, DeliveryStatus.FAILED), DeliveryStatus.FAILED),
        ((DeliveryStatus.PARTIAL,), DeliveryStatus.PARTIAL),
    ],
)
def test_status_is_that_of_the_objects(given: tuple[DeliveryStatus, ...], expected: DeliveryStatus) -> None:
    assert status_of(objects(*given)) is expected


def test_stored_is_an_outcome_and_nothing_else() -> None:
    settled = CLERK.answered(work(item("study", 0)), objects(DeliveryStatus.STORED), NOW)
    assert settled.forward is None
    assert settled.outcome is not None
    assert settled.outcome.status is DeliveryStatus.STORED
    assert settled.outcome.latency_ms == 6000
    assert settled.outcome.reason is None


def test_a_second_delivery_is_the_same_event() -> None:
    first = CLERK.answered(work(item("study", 0)), objects(DeliveryStatus.STORED), NOW)
    second = CLERK.answered(work(item("study", 5)), objects(DeliveryStatus.STORED), NOW + timedelta(seconds=9))
    assert first.outcome is not None
    assert second.outcome is not None
    assert first.outcome.event_id == second.outcome.event_id


def test_a_partly_refused_result_is_kept_as_a_dead_letter() -> None:
    settled = CLERK.answered(work(item("study", 4)), objects(DeliveryStatus.STORED, DeliveryStatus.FAILED), NOW)
    assert settled.outcome is not None
    assert settled.outcome.status is DeliveryStatus.PARTIAL
    assert settled.outcome.reason == "because 1"
    assert settled.forward is not None
    assert settled.forward.topic == "scanstream.writer.stow.dlq"
    assert header(settled.forward.headers, "scanstream_error") == "PermanentRejection"


def test_nothing_to_do_is_said() -> None:
    settled = CLERK.answered(work(item("study", 0)), (), NOW)
    assert settled.outcome is not None
    assert (settled.outcome.status, settled.outcome.reason) == (DeliveryStatus.SKIPPED, NOTHING_TO_DO)


def test_a_retry_keeps_its_first_place_and_counts_attempts() -> None:
    first = item("study", 7)
    later = NOW + timedelta(seconds=5)
    again = retry_of(first, 0, later)
    settled = CLERK.retry(work(again), TransientFailure("again"), NOW, later)
    assert settled.outcome is None
    assert settled.forward is not None
    told = settled.forward.headers
    assert settled.forward.topic == "scanstream.writer.stow.retry"
    assert header(told, "scanstream_offset") == "7"
    assert header(told, "scanstream_attempt") == "2"
    assert header(told, "scanstream_not_before") == later.isoformat(timespec="milliseconds")


def test_a_dead_letter_carries_place_reason_and_attempt() -> None:
    settled = CLERK.given_up(work(item("study", 7)), InvalidMessage("the mask is empty"), NOW)
    assert settled.outcome is not None
    assert settled.outcome.status is DeliveryStatus.FAILED
    assert settled.outcome.reason == "InvalidMessage: the mask is empty"
    assert settled.forward is not None
    told = settled.forward.headers
    assert header(told, "scanstream_topic") == "inference.results"
    assert header(told, "scanstream_reason") == "the mask is empty"
    assert header(told, "scanstream_attempt") == "1"
    assert header(told, "scanstream_not_before") is None


def test_headers_of_a_replayed_dead_letter_do_not_count_as_attempts() -> None:
    replayed = received(3, headers=[("scanstream_attempt", b"4"), ("scanstream_offset", b"1")])
    assert (replayed.attempt, replayed.first_offset) == (1, 3)
    settled = CLERK.unreadable(replayed, InvalidMessage("bytes"), NOW)
    assert settled.outcome is None
    assert settled.forward is not None
    assert header(settled.forward.headers, "scanstream_offset") == "3"


def test_the_outcome_of_a_verdict_follows_from_the_verdict_and_counts_from_it() -> None:
    of_result = CLERK.answered(work(item("study", 0)), objects(DeliveryStatus.STORED), NOW)
    told = Subject(TEMPLATE, adjudication(TEMPLATE))
    of_verdict = CLERK.answered(work(verdict("study", 1, 2000), told), objects(DeliveryStatus.STORED), NOW)
    assert of_result.outcome is not None
    assert of_verdict.outcome is not None
    assert of_verdict.outcome.event_id != of_result.outcome.event_id
    assert of_verdict.outcome.latency_ms == 2000
