"""What was done while Kafka was away is kept, unless somebody else has moved the alarm meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from confluent_kafka import Consumer

from consumers.escalation import alarm
from consumers.escalation.book import Book
from consumers.escalation.journal import Journal
from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from schemas.events import EscalationStage, EscalationStep
from tests.consumers.escalation.findings import NOON, critical, three_contacts

CHAIN = three_contacts().chain("default")


def way() -> list[EscalationStep]:
    """Opened, first told, second told, third told."""
    result = critical("journal", at=NOON)
    step = alarm.opened(result.findings[0], result, "default", CHAIN, NOON, rehearsal=False)
    steps = [step]
    for number in range(3):
        step = alarm.taken(step, step.pending[0], CHAIN, NOON + timedelta(minutes=5 * number))
        steps.append(step)
    return steps


def no_publisher() -> EventPublisher:
    raise AssertionError("nothing is written here")


def after(committed: EscalationStep | None, done: list[EscalationStep]) -> tuple[EscalationStep | None, Journal]:
    """State after partitions came with ``committed``, where ``done`` was not committed."""
    # no client is touched by what is tested
    journal = Journal(no_publisher, cast(Consumer, None), Telemetry())
    for before, step in zip([None, *done], done, strict=False):
        journal.add(3, step, before)
    return _reconciled(journal, committed)


def _reconciled(journal: Journal, committed: EscalationStep | None) -> tuple[EscalationStep | None, Journal]:
    book = Book()
    if committed is not None:
        book.restore(3, [committed])
    journal.reconcile(book)
    return book.find(way()[0].escalation_id), journal


def following(steps: list[EscalationStep], begin: int) -> Journal:
    journal = Journal(no_publisher, cast(Consumer, None), Telemetry())
    for before, step in zip(steps[begin - 1 :], steps[begin:], strict=False):
        journal.add(3, step, before)
    return journal


def test_steps_that_follow_the_committed_one_are_kept() -> None:
    steps = way()
    state, journal = _reconciled(following(steps, 2), steps[1])
    assert state == steps[3]
    assert journal.has_steps


def test_a_commit_that_arrived_though_its_answer_did_not_is_not_done_again() -> None:
    steps = way()
    state, journal = _reconciled(following(steps, 2), steps[2])
    assert state == steps[3]
    assert journal.has_steps
    state, journal = _reconciled(following(steps, 2), steps[3])
    assert state == steps[3]
    assert not journal.has_steps


def test_steps_are_given_up_where_somebody_else_moved_the_alarm() -> None:
    steps = way()
    answered = alarm.acknowledged(steps[1], "first", None, NOON)
    state, journal = _reconciled(following(steps, 2), answered)
    assert state is not None and state.stage is EscalationStage.ACKNOWLEDGED
    assert not journal.has_steps


def test_an_opening_that_is_not_committed_is_given_up_because_its_result_is_read_again() -> None:
    state, journal = after(None, way()[:1])
    assert state is None
    assert not journal.has_steps


def test_nobody_may_be_told_before_the_opening_is_committed() -> None:
    journal = Journal(no_publisher, cast(Consumer, None), Telemetry())
    opened = way()[0]
    journal.add(3, opened, None)
    assert journal.is_uncommitted_opening(opened.escalation_id)
    assert not journal.is_uncommitted_opening("another")
