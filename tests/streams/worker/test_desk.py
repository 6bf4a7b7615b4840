"""Tasks, commands and words of the computing process in, what is begun and written out."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from producers.telemetry import Telemetry
from schemas.errors import TransientFailure
from schemas.events import (
    BegunTask,
    CommandKind,
    InferenceResult,
    ModelIdentity,
    ResultOutcome,
    StageTime,
    TaskCommand,
    TaskState,
    TaskStatus,
)
from schemas.topics import TASK_TOPICS, Priority, Topic
from streams.clock import Instant
from streams.worker import answers
from streams.worker.answers import Answer
from streams.worker.desk import PATIENCE, Desk
from streams.worker.gateways import PROBE_FIRST_S
from streams.worker.job import Job, Partition, Stage
from streams.worker.ledger import Settlement
from streams.worker.protocol import Abandon, Begin, Ended, Moved, Name, Rerank, ToChild, Unreachable
from streams.worker.schedule import AGEING_S
from streams.worker.supervisor import Died
from streams.worker.surroundings import Surroundings
from tests.streams.worker.tasks import START, job

P1, P2, P3, P4 = Priority
FAR = START + timedelta(days=2)
MODEL = ModelIdentity("mri-brain-segmentation", "1", "ab" * 32, "maker", "2.25.1", "onnx")


class Table:
    """A desk, and everything that it does."""

    def __init__(self, prefetch: int = 2, elsewhere: Partition | float | None = None, **options: Any) -> None:
        self.told: list[ToChild] = []
        self.settled: list[tuple[Settlement, Job]] = []
        self.said: list[TaskStatus] = []
        self.commands: list[TaskCommand] = []
        self.vanished: dict[Name, int] = {}
        self.computing: tuple[Name, ...] = ()
        self.seconds = 0.0
        self.telemetry = Telemetry()
        around = Surroundings(
            tell=self.told.append,
            settle=lambda settlement, job: self.settled.append((settlement, job)),
            announce=lambda _, moved: self.said.append(moved),
            identity=lambda _: MODEL,
            computing=lambda: self.computing,
            prior=lambda _: None,
            vanished=lambda name: self.vanished.get(name, 0),
            elsewhere=lambda _, __: elsewhere,
        )
        self.desk = Desk("node-1", around, self.telemetry, prefetch, **options)

    @property
    def now(self) -> Instant:
        return Instant(self.seconds, START + timedelta(seconds=self.seconds))

    def take(self, *jobs: Job) -> None:
        for entry in jobs:
            self.desk.take(entry, self.now)
        self.desk.dispatch(self.now)

    def command(self, about: Job, kind: CommandKind, **given: Any) -> None:
        event_id = f"{kind}-{len(self.commands)}"
        task = about.task
        command = TaskCommand(event_id, START, task.task_id, task.study_instance_uid, kind, "operator", **given)
        self.commands.append(command)
        self.desk.hear(command, self.now)
        self.desk.dispatch(self.now)

    def later(self, seconds: float) -> None:
        self.seconds += seconds
        self.desk.dispatch(self.now)

    def begun(self) -> list[str]:
        return [message.task.task_id for message in self.told if isinstance(message, Begin)]

    def moved(self, about: Job, state: TaskState = TaskState.INFERRING, progress: int = 40) -> None:
        self.desk.moved(Moved(about.name, state, progress), self.now)

    def ended(self, about: Job, answer: Answer | None = None) -> None:
        moved = answers.status(about.task, TaskState.COMPLETED, "node-1", self.now.utc)
        plain = Answer("done", ((Topic.STATUS, about.task.task_id, moved),), stages=(StageTime("fetch", 5.0),))
        self.desk.ended(Ended(about.name, answer or plain), self.now)
        self.desk.dispatch(self.now)

    def final(self) -> TaskStatus:
        """Status of the answer that was settled last."""
        (status,) = (event for _, _, event in self.answer().events if isinstance(event, TaskStatus))
        return status

    def answer(self) -> Answer:
        return self.settled[-1][0].answer

    def metric(self, name: str) -> float:
        text = self.telemetry.exposition().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text if line.startswith(name))


def test_as_many_of_a_class_are_under_way_as_are_prefetched_and_every_emergency() -> None:
    table = Table(prefetch=2)
    routine = [job(offset=n, priority=P4, deadline=FAR) for n in range(4)]
    urgent = [job(offset=n, priority=P2, deadline=FAR) for n in range(4)]
    emergencies = [job(offset=n, priority=P1, deadline=FAR) for n in range(4)]
    table.take(*routine)
    assert len(table.begun()) == 2
    table.take(*urgent)
    assert len(table.begun()) == 4
    table.take(*emergencies)
    assert len(table.begun()) == 8
    # nothing else begins while an emergency is under way
    table.ended(routine[0])
    assert len(table.begun()) == 8
    for entry in emergencies:
        table.ended(entry)
    table.ended(urgent[0])
    assert len(table.begun()) == 9


def test_no_class_starves_while_another_has_more_than_can_be_done() -> None:
    table = Table(prefetch=2)
    jobs = [job(offset=n, priority=priority, deadline=FAR) for priority in (P4, P3, P2) for n in range(200)]
    table.take(*jobs)
    done: list[Priority] = []
    while len(done) < 130:
        at_work = {message.task.task_id: message.rank for message in table.told if isinstance(message, Begin)}
        entry = min(
            (entry for entry in jobs if entry.stage is Stage.BEGUN), key=lambda entry: at_work[entry.task.task_id]
        )
        table.ended(entry)
        done.append(entry.task.priority)
    assert done.count(P2) == pytest.approx(80, abs=4)
    assert done.count(P3) == pytest.approx(40, abs=4)
    assert done.count(P4) == pytest.approx(10, abs=3)


def test_beside_emergencies_a_reserve_has_one_task_at_a_time() -> None:
    table = Table(prefetch=4, one_at_a_time=True)
    table.take(*(job(offset=n, priority=P2, deadline=FAR) for n in range(3)))
    assert len(table.begun()) == 1
    table.take(job(priority=P1))
    assert len(table.begun()) == 2


def test_an_emergency_suspends_what_computes_and_that_is_counted() -> None:
    table = Table()
    routine, emergency = job(priority=P4, deadline=FAR), job(priority=P1)
    table.take(routine)
    table.computing = (routine.name,)
    table.take(emergency)
    first, second = (message for message in table.told if isinstance(message, Begin))
    assert second.rank < first.rank
    assert table.metric("scanstream_worker_preemptions_total") == 1
    table.computing = (emergency.name,)
    table.take(job(priority=P1, offset=9))
    assert table.metric("scanstream_worker_preemptions_total") == 1


def test_a_task_is_answered_once_and_its_stages_are_measured() -> None:
    table = Table()
    entry = job(priority=P3)
    table.take(entry)
    table.moved(entry)
    table.ended(entry)
    table.ended(entry)
    assert [settled for _, settled in table.settled] == [entry]
    assert table.final().reason is None
    assert table.metric("scanstream_inference_seconds_count") == 1
    table.desk.written(entry, table.now)
    assert list(table.desk) == []


def test_a_missed_deadline_is_said_and_counted() -> None:
    table = Table()
    entry = job(priority=P3, deadline=START + timedelta(seconds=30))
    table.take(entry)
    table.seconds = 42
    table.ended(entry)
    assert "12 s after the deadline" in (table.final().reason or "")
    assert table.metric("scanstream_worker_deadlines_missed_total") == 1


def test_what_is_of_no_use_any_more_is_not_run() -> None:
    table = Table(prefetch=1)
    running, waiting = (job(offset=n, useful_until=START + timedelta(seconds=30)) for n in range(2))
    table.take(running, waiting)
    table.later(31)
    assert table.begun() == [running.task.task_id]
    ((settlement, about),) = table.settled
    assert about is waiting
    assert settlement.answer.outcome == "not_useful"
    assert table.final().state is TaskState.FAILED
    assert (table.final().reason or "").startswith("no longer useful since 2026-03-01T08:00:30+00:00")
    table.ended(running)  # what runs is let to its end
    assert table.final().state is TaskState.COMPLETED


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


def test_a_gateway_that_is_away_costs_one_task_and_the_others_go_on() -> None:
    table = Table(prefetch=1)
    away = [job(offset=n, deadline=FAR, retrieve_url="http://away:1/dicom-web/studies/1") for n in range(3)]
    here = job(offset=9, deadline=FAR + timedelta(1), retrieve_url="http://here:1/dicom-web/studies/1")
    table.take(*away, here)
    table.moved(away[0], TaskState.PREPROCESSING, 10)
    table.desk.unreachable(Unreachable(away[0].name, "refused", None), table.now)
    table.desk.dispatch(table.now)
    assert table.begun() == [away[0].task.task_id, here.task.task_id]
    assert table.said[-1].state is TaskState.QUEUED
    assert table.metric("scanstream_destination_up") == 0
    table.moved(here)
    table.ended(here)
    table.later(PROBE_FIRST_S)  # one tries, and brings the others back
    tried = next(entry for entry in away if entry.task.task_id == table.begun()[-1])
    assert len(table.begun()) == 3
    table.later(PROBE_FIRST_S)
    assert len(table.begun()) == 3
    table.moved(tried)
    table.ended(tried)
    table.later(PROBE_FIRST_S)
    assert len(table.begun()) == 4
    assert table.metric("scanstream_destination_up") == 1
    assert table.settled[-1][0].attempt == 1


@pytest.mark.parametrize("computing", [False, True])
def test_a_process_that_dies_while_it_tries_a_gateway_does_not_keep_it_away_for_ever(computing: bool) -> None:
    table = Table(prefetch=1)
    first, second = (job(offset=n, deadline=FAR, retrieve_url="http://away:1/studies/1") for n in range(2))
    table.take(first, second)
    table.desk.unreachable(Unreachable(first.name, "refused", None), table.now)
    table.later(PROBE_FIRST_S)
    assert len(table.begun()) == 2
    table.desk.died(Died("ended", (first.name, second.name) if computing else ()), table.now)
    table.later(PROBE_FIRST_S)
    table.later(PROBE_FIRST_S)
    assert len(table.begun()) == 3


def test_a_gateway_that_is_gone_for_ever_is_given_up_with_the_reason() -> None:
    table = Table()
    entry = job()
    table.take(entry)
    table.desk.unreachable(Unreachable(entry.name, "refused", None), table.now)
    table.desk.look_at_gateways(table.now)
    assert table.settled == []
    table.seconds = (entry.task.deadline - START + PATIENCE).total_seconds()
    table.desk.look_at_gateways(table.now)
    assert table.answer().outcome == ResultOutcome.COULD_NOT_RUN.value
    assert "does not answer" in (table.final().reason or "")
    table.later(60)
    assert len(table.begun()) == 1


def test_what_the_process_died_over_is_counted_and_the_rest_is_begun_again() -> None:
    table = Table(prefetch=3)
    culprit, beside, third = (job(offset=n, deadline=FAR) for n in range(3))
    table.take(culprit, beside, third)
    table.moved(beside)
    table.desk.died(Died("ended", (culprit.name,)), table.now)
    assert table.answer().outcome == "retry"
    retry = table.answer().retry
    assert retry is not None
    assert (retry.attempt, retry.excluded_nodes, retry.losses) == (2, ("node-1",), 1)
    assert "was lost over this task" in str(table.answer().error)
    table.desk.dispatch(table.now)
    assert table.begun().count(beside.task.task_id) == 2
    assert len(table.settled) == 1
    again = Job(retry, culprit.received._replace(offset=20))
    table.desk.written(culprit, table.now)
    table.ended(beside)
    table.ended(third)
    table.seconds = 6
    table.take(again)
    assert table.told[-1] == Begin(retry, again.rank, alone=True)


def test_what_failed_without_a_loss_has_others_beside_it() -> None:
    table = Table(prefetch=2)
    harmless, other = job(attempt=3, deadline=FAR), job(offset=8, deadline=FAR)
    table.take(harmless, other)
    assert [message.alone for message in table.told if isinstance(message, Begin)] == [False, False]


@pytest.mark.parametrize(("vanished", "alone"), [(0, False), (1, False), (2, True)])
def test_what_workers_vanished_over_is_tried_again_and_last_alone(vanished: int, alone: bool) -> None:
    table = Table()
    entry = job(deadline=FAR)
    table.vanished[entry.name] = vanished
    table.take(entry)
    (begin,) = table.told
    assert isinstance(begin, Begin)
    assert begin.alone is alone
    assert table.desk.begun_tasks == (BegunTask(*entry.name, vanished),)


def test_emergencies_over_which_two_workers_vanished_are_tried_one_by_one() -> None:
    table = Table()
    routine, healthy = job(offset=7, deadline=FAR), job(offset=8, priority=P1, deadline=FAR)
    suspects = [job(offset=n, priority=P1, deadline=FAR + timedelta(hours=n)) for n in (1, 2)]
    table.vanished = {entry.name: 2 for entry in suspects}
    table.take(routine)
    table.take(healthy, *suspects)
    order = [healthy, *suspects]
    for entry in order:  # each ends before the next one begins
        assert [name for name in table.desk.begun_tasks if name.task_id != routine.task.task_id] == [
            BegunTask(*entry.name, table.vanished.get(entry.name, 0))
        ]
        table.ended(entry)
    assert table.begun()[-1] == routine.task.task_id


def test_what_three_workers_vanished_over_is_given_up_with_a_result() -> None:
    table = Table()
    entry, other = job(deadline=FAR), job(offset=8, deadline=FAR)
    table.vanished[entry.name] = 3
    table.take(entry, other)
    assert table.begun() == [other.task.task_id]
    assert table.answer().outcome == ResultOutcome.COULD_NOT_RUN.value
    assert "3 workers vanished" in (table.final().reason or "")


def test_what_kills_while_it_is_read_is_found_by_being_alone() -> None:
    table = Table(prefetch=3)
    jobs = [job(offset=n, deadline=FAR) for n in range(2)]
    table.take(*jobs)
    for _ in range(2):
        table.desk.died(Died("ended", ()), table.now)
        table.desk.dispatch(table.now)
    last = table.told[-1]
    assert isinstance(last, Begin)
    assert last.alone
    assert len(table.begun()) == 5  # nothing beside it
    table.desk.died(Died("ended", ()), table.now)
    assert table.answer().outcome == "retry"


def test_after_its_attempts_it_is_given_up_with_a_result() -> None:
    table = Table()
    entry = job(attempt=3, excluded_nodes=("node-2", "node-3"))
    table.take(entry)
    table.desk.died(Died("step", (entry.name,)), table.now)
    assert table.answer().outcome == ResultOutcome.COULD_NOT_RUN.value
    result = next(event for _, _, event in table.answer().events if isinstance(event, InferenceResult))
    assert (result.outcome, result.model) == (ResultOutcome.COULD_NOT_RUN, MODEL)


def test_an_emergency_does_not_wait_for_what_must_be_alone() -> None:
    table = Table()
    alone, emergency = job(attempt=2, losses=1, priority=P4, deadline=FAR), job(priority=P1)
    table.take(alone)
    table.take(emergency)
    assert table.told[-2:] == [Abandon(alone.name), Begin(emergency.task, emergency.rank)]
    table.ended(emergency)
    assert table.begun()[-1] == alone.task.task_id


def test_a_task_that_failed_here_is_given_to_another_node() -> None:
    to = Partition(TASK_TOPICS[P3].value, 4)
    table = Table(elsewhere=to)
    entry, other = job(excluded_nodes=("node-1",), attempt=2), job(offset=8, excluded_nodes=("node-2",))
    table.take(entry, other)
    assert table.begun() == [other.task.task_id]
    settlement, about = table.settled[-1]
    assert about is entry
    assert settlement.forward is not None
    assert (settlement.forward.task, settlement.forward.to) == (entry.task, to)
    assert table.final().state is TaskState.QUEUED


def test_without_another_node_it_is_run_where_it_failed() -> None:
    table = Table(elsewhere=None)
    entry = job(excluded_nodes=("node-1",), attempt=2)
    table.take(entry)
    assert table.begun() == [entry.task.task_id]


def test_it_waits_for_the_word_who_has_which_partition() -> None:
    table = Table(elsewhere=0.5)
    entry = job(excluded_nodes=("node-1",), attempt=2)
    table.take(entry)
    assert table.begun() == []
    table.later(0.6)
    assert table.begun() == [entry.task.task_id]


def test_a_task_that_is_there_twice_is_run_one_after_the_other() -> None:
    table = Table()
    first = job(offset=1)
    second = Job(first.task, first.received._replace(offset=2))
    table.take(first, second)
    assert len(table.begun()) == 1
    table.ended(first)
    assert len(table.begun()) == 1
    table.desk.written(first, table.now)
    table.later(0)
    assert len(table.begun()) == 2
    table.ended(second)
    assert [about for _, about in table.settled] == [first, second]


def test_what_is_not_ours_any_more_is_forgotten_at_every_stage() -> None:
    table = Table(prefetch=1)
    begun, waiting, kept = (job(offset=n, deadline=FAR) for n in range(3))
    twin = Job(begun.task, begun.received._replace(offset=9))
    table.take(begun, waiting, kept, twin)
    table.desk.let_go([begun, waiting], table.now)
    assert Abandon(begun.name) in table.told
    table.ended(begun)
    assert table.settled == []
    assert set(table.desk) == {kept, twin}
    table.later(0)
    assert table.begun()[-1] == kept.task.task_id


def test_at_a_stop_what_computes_goes_on_and_the_rest_is_handed_back() -> None:
    table = Table(prefetch=2)
    computing, decoding = (job(offset=n, deadline=FAR) for n in range(2))
    table.take(computing, decoding)
    table.moved(computing)
    table.desk.stop_prefetching()
    assert [message for message in table.told if isinstance(message, Abandon)] == [Abandon(decoding.name)]
    table.desk.hand_back(table.now)
    assert table.told[-1] == Abandon(computing.name)
    assert table.desk.begun_tasks == ()
    table.desk.hand_back(table.now)
    assert [(moved.state, moved.reason) for moved in table.said[1:]] == [(TaskState.QUEUED, "node-1 stops")]
    assert table.settled == []


def test_what_was_begun_moves_up_while_it_waits_for_its_turn() -> None:
    table = Table()
    entry = job(priority=P4, deadline=FAR)
    table.take(entry)
    before = entry.rank
    table.later(AGEING_S)
    (rerank,) = (message for message in table.told if isinstance(message, Rerank))
    assert rerank.rank < before


def test_progress_is_told_now_and_then() -> None:
    table = Table()
    entry = job()
    table.take(entry)
    for progress in range(40, 80):
        table.moved(entry, TaskState.INFERRING, progress)
    assert [moved.progress for moved in table.said] == [40, 50, 60, 70]
    assert len({moved.event_id for moved in table.said}) == 4
    assert entry.stage is Stage.BEGUN
