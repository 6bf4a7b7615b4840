"""Commands at every stage of a task: cancelled, upgraded, superseded, held, released."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from schemas.errors import TransientFailure
from schemas.events import (
    Code,
    CommandKind,
    InferenceResult,
    TaskState,
)
from streams.worker import answers
from streams.worker.gateways import PROBE_FIRST_S
from streams.worker.job import Job
from streams.worker.protocol import Abandon, Begin, Rerank, Unreachable
from streams.worker.schedule import AGEING_S
from streams.worker.supervisor import Died
from tests.streams.worker.table import FAR, MODEL, P1, P2, P3, P4, Table
from tests.streams.worker.tasks import START, job


@pytest.mark.parametrize("stage", ["unread", "waiting", "held", "begun", "answered"])
def test_a_task_is_cancelled_at_every_stage(stage: str) -> None:
    table = Table(prefetch=1)
    other, entry = job(offset=1, deadline=START), job(offset=2, deadline=FAR)
    if stage == "unread":
        table.command(entry, CommandKind.CANCEL, reason="wrong patient")
    if stage in {"waiting", "held"}:
        table.take(other)
    table.take(entry)
    if stage == "held":
        table.command(entry, CommandKind.HOLD)
    if stage == "answered":
        table.ended(entry)
    if stage != "unread":
        table.command(entry, CommandKind.CANCEL, reason="wrong patient")
    if stage == "begun":
        table.ended(entry)  # it was too late to stop: nobody wants to know
    assert [about for _, about in table.settled] == [entry]
    if stage == "answered":
        assert table.final().state is TaskState.COMPLETED
    else:
        assert table.final().state is TaskState.CANCELLED
        assert table.final().reason == "cancelled by operator: wrong patient"
    assert (Abandon(entry.name) in table.told) == (stage == "begun")
    assert not list(table.desk.schedule)


def test_a_command_that_says_why_in_codes_is_told_by_their_meaning() -> None:
    table = Table()
    entry = job(offset=1)
    table.take(entry)
    codes = (Code("110510", "DCM", "Duplicate order"), Code("110502", "DCM", "Incorrect procedure ordered"))
    table.command(entry, CommandKind.CANCEL, reason_codes=codes)
    assert table.final().reason == "cancelled by operator: Duplicate order, Incorrect procedure ordered"


def test_the_next_attempt_of_a_cancelled_task_is_cancelled_when_it_comes() -> None:
    table = Table()
    first = job(offset=1)
    table.take(first)
    table.ended(first, answers.failed_for_now(first.task, MODEL, TransientFailure("x"), "node-1", START))
    table.desk.written(first, table.now)
    table.command(first, CommandKind.CANCEL)
    retry = table.settled[0][0].answer.retry
    assert retry is not None
    second = Job(retry, first.received._replace(offset=2))
    table.take(second)
    assert table.begun() == [first.task.task_id]
    assert table.final().state is TaskState.CANCELLED


@pytest.mark.parametrize("stage", ["unread", "waiting", "begun"])
def test_an_upgrade_makes_a_task_an_emergency_wherever_it_is(stage: str) -> None:
    table = Table(prefetch=1)
    upgrade = {
        "priority": P1,
        "priority_reason": "order ORM: STAT",
        "rule_revision": "7",
        "deadline": START + timedelta(seconds=60),
    }
    night = START + timedelta(hours=12)
    other = job(offset=1, priority=P4, deadline=START)
    entry = job(offset=2, priority=P4, deadline=FAR, not_before=None if stage == "begun" else night)
    if stage == "unread":
        table.command(entry, CommandKind.UPGRADE, **upgrade)
    if stage == "waiting":
        table.take(other)
    table.take(entry)
    if stage != "unread":
        table.command(entry, CommandKind.UPGRADE, **upgrade)
    assert table.begun()[-1] == entry.task.task_id
    ranks = [message.rank for message in table.told if isinstance(message, Begin | Rerank)]
    assert ranks[-1] < 1
    assert table.said[-1].priority is P1
    assert table.said[-1].reason == "upgraded by operator"
    original = dataclasses.replace(entry.task, priority=P4, deadline=FAR)
    table.ended(entry, answers.could_not_run(original, MODEL, TransientFailure("x"), "node-1", START))
    result = next(event for _, _, event in table.answer().events if isinstance(event, InferenceResult))
    assert (result.priority, result.deadline) == (P1, START + timedelta(seconds=60))
    assert entry.task.priority_reason == "order ORM: STAT"


def test_what_waited_for_its_window_begins_behind_what_is_more_urgent() -> None:
    table = Table(prefetch=1)
    night = START + timedelta(hours=10)
    routine = job(offset=1, priority=P4, deadline=night + timedelta(hours=4), not_before=night)
    table.take(routine)
    table.seconds = 36_000.0
    # deadlines do not help: this one is later than that of the routine work
    normal = job(offset=2, priority=P3, deadline=night + timedelta(hours=5))
    table.take(normal)
    assert table.begun() == [normal.task.task_id]


def test_what_waited_for_its_window_and_became_more_urgent_grows_old_like_others() -> None:
    table = Table(prefetch=1)
    night = START + timedelta(hours=10)
    routine = job(offset=1, priority=P4, deadline=night + timedelta(hours=4), not_before=night)
    table.take(routine)
    table.command(routine, CommandKind.UPGRADE, priority=P3)
    assert table.begun() == [routine.task.task_id]
    table.later(AGEING_S + 1)
    assert isinstance(table.told[-1], Rerank)


def test_a_task_never_becomes_less_urgent() -> None:
    table = Table()
    entry = job(priority=P2)
    table.take(entry)
    table.command(entry, CommandKind.UPGRADE, priority=P3)
    assert entry.task.priority is P2
    assert table.said == []


@pytest.mark.parametrize("begun", [False, True])
def test_what_a_later_revision_takes_the_place_of_is_not_begun_and_goes_on_when_it_is(begun: bool) -> None:
    table = Table()
    entry = job()
    if begun:
        table.take(entry)
    table.command(entry, CommandKind.CANCEL, unless_begun=True, reason="revision 2 of the study takes its place")
    if begun:
        assert Abandon(entry.name) not in table.told
        table.ended(entry)
        assert table.final().state is TaskState.COMPLETED
        return
    table.take(entry)
    assert table.begun() == []
    assert table.final().state is TaskState.CANCELLED
    assert table.final().reason == "cancelled by operator: revision 2 of the study takes its place"


@pytest.mark.parametrize("how", ["unreachable", "died", "held"])
def test_what_is_superseded_and_has_to_wait_again_is_not_begun_again(how: str) -> None:
    table = Table()
    entry = job()
    table.take(entry)
    table.command(entry, CommandKind.CANCEL, unless_begun=True)
    match how:
        case "unreachable":
            table.desk.unreachable(Unreachable(entry.name, "refused", None), table.now)
        case "died":
            table.desk.died(Died("ended", ()), table.now)
        case _:
            table.command(entry, CommandKind.HOLD)
    table.later(PROBE_FIRST_S)
    assert len(table.begun()) == len(table.settled) == 1
    assert table.final().state is TaskState.CANCELLED
    assert not len(table.desk.schedule)


@pytest.mark.parametrize("begun", [False, True])
def test_what_is_held_waits_for_its_release(begun: bool) -> None:
    table = Table()
    entry = job()
    if begun:
        table.take(entry)
    table.command(entry, CommandKind.HOLD, reason="patient objects")
    if not begun:
        table.take(entry)
    assert (Abandon(entry.name) in table.told) == begun
    assert len(table.begun()) == int(begun)
    assert table.said[-1].state is TaskState.QUEUED
    assert table.said[-1].reason == "held by operator: patient objects"
    table.command(entry, CommandKind.RELEASE)
    assert len(table.begun()) == 1 + int(begun)


def test_commands_that_are_read_once_more_do_nothing() -> None:
    table = Table()
    entry = job(priority=P4, deadline=FAR)
    table.take(entry)
    for kind in (CommandKind.HOLD, CommandKind.RELEASE, CommandKind.UPGRADE):
        table.command(entry, kind, priority=P2)
    before, said = list(table.told), list(table.said)
    heard = [*table.commands]
    assert [command.kind for command in heard] == [CommandKind.HOLD, CommandKind.RELEASE, CommandKind.UPGRADE]
    for command in heard:
        table.desk.hear(command, table.now)
        table.desk.dispatch(table.now)
    assert (table.told, table.said) == (before, said)
    table.command(entry, CommandKind.HOLD)  # a new one of the same kind is obeyed
    assert entry.held
