"""What goes wrong around a task: gateways away, processes and workers lost, other nodes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemas.events import (
    BegunTask,
    InferenceResult,
    ResultOutcome,
    TaskState,
)
from schemas.topics import TASK_TOPICS
from streams.worker.gateways import PROBE_FIRST_S
from streams.worker.job import Job, Partition
from streams.worker.protocol import Abandon, Begin, Unreachable
from streams.worker.supervisor import Died
from streams.worker.verdicts import PATIENCE
from tests.streams.worker.table import FAR, MODEL, P1, P3, P4, Table
from tests.streams.worker.tasks import START, job


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
