"""Two and three worker processes on a real Kafka; what computes in them sleeps, so that order can be seen."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.events import (
    CommandKind,
    InferenceResult,
    InferenceTask,
    NodeHeartbeat,
    NodeState,
    PriorResult,
    ResultOutcome,
    TaskState,
    TaskStatus,
)
from schemas.settings import KafkaSettings
from schemas.topics import Priority
from streams.worker.priors import CHANGE, CHANGE_PERCENT
from tests.streams.worker.site import Watch, command, submit, watch, worker
from tests.streams.worker.tasks import new_study, task

pytestmark = pytest.mark.integration

P1, P2, P3, P4 = Priority


@pytest.fixture
def out(kafka_settings: KafkaSettings) -> Iterator[Watch]:
    with watch(kafka_settings) as seen:
        yield seen


def toy(
    settings: KafkaSettings, directory: Path, node: str = "node-1", step_s: float = 0.02, **environment: str
) -> AbstractContextManager[Any]:
    return worker(
        settings,
        directory,
        node,
        "tests.streams.worker.toy",
        f"{node}.log",
        TOY_STEP_S=str(step_s),
        **environment,
    )


def fresh(priority: Priority = P3, **changes: Any) -> InferenceTask:
    now = datetime.now(UTC).replace(microsecond=0)
    given = {"occurred_at": now, "created_at": now, "deadline": now + timedelta(hours=1), **changes}
    return task(new_study(), priority, **given)


def ready(out: Watch, *nodes: str) -> None:
    def states() -> bool:
        newest = {beat.node: beat.state for beat in out.all(NodeHeartbeat)}
        return all(newest.get(node) is NodeState.READY for node in nodes)

    out.until(states, f"{nodes} to be ready")


def all_done(out: Watch, tasks: list[InferenceTask]) -> bool:
    done = {result.task_id for result in out.all(InferenceResult)}
    return all(entry.task_id in done for entry in tasks)


def test_three_workers_let_emergencies_in_and_answer_each_task_once_though_one_is_killed(
    kafka_settings: KafkaSettings, out: Watch, tmp_path: Path
) -> None:
    backlog = [fresh(P4, indication="steps=4") for _ in range(150)]
    urgent = [fresh(P2) for _ in range(10)]
    submit(kafka_settings, *backlog)
    with ExitStack() as stack:
        children = [stack.enter_context(toy(kafka_settings, tmp_path, f"node-{n}")) for n in (1, 2, 3)]
        ready(out, "node-1", "node-2", "node-3")
        emergencies = [fresh(P1) for _ in range(6)]
        submit(kafka_settings, *emergencies, *urgent)
        out.until(lambda: all_done(out, emergencies), "the emergencies")
        assert not all_done(out, backlog), "there was no backlog to overtake"
        children[1].send_signal(signal.SIGKILL)
        children[1].wait(60)
        stack.enter_context(toy(kafka_settings, tmp_path, "node-2"))
        out.until(lambda: all_done(out, backlog + urgent), "everything", 180)
    out.read(1.0)
    ours = {entry.task_id for entry in (*backlog, *urgent, *emergencies)}
    results = [result.task_id for result in out.all(InferenceResult) if result.task_id in ours]
    assert len(results) == len(set(results)) == len(ours)
    completed = [s.task_id for s in out.all(TaskStatus) if s.state is TaskState.COMPLETED and s.task_id in ours]
    assert len(completed) == len(ours)
    nodes = {result.node for result in out.all(InferenceResult)}
    assert nodes == {"node-1", "node-2", "node-3"}


def test_a_worker_that_joins_takes_nothing_away_that_stays(
    kafka_settings: KafkaSettings, out: Watch, tmp_path: Path
) -> None:
    tasks = [fresh(P3, indication="steps=100000") for _ in range(12)]
    with toy(kafka_settings, tmp_path, "node-1", SCANSTREAM_WORKER_PREFETCH="12"):
        ready(out, "node-1")
        submit(kafka_settings, *tasks)
        out.until(
            lambda: len({s.task_id for s in out.all(TaskStatus) if s.state is TaskState.PREPROCESSING}) == 12,
            "all to be begun",
        )
        with toy(kafka_settings, tmp_path, "node-2", SCANSTREAM_WORKER_PREFETCH="12"):
            ready(out, "node-2")
            for entry in tasks:
                command(kafka_settings, entry, CommandKind.CANCEL)
            out.until(
                lambda: all(TaskState.CANCELLED in out.states(entry.task_id) for entry in tasks), "all cancelled"
            )
    begun = [(s.task_id, s.node) for s in out.all(TaskStatus) if s.state is TaskState.PREPROCESSING]
    cancelled = {s.task_id: s.node for s in out.all(TaskStatus) if s.state is TaskState.CANCELLED}
    stayed = [entry.task_id for entry in tasks if cancelled[entry.task_id] == "node-1"]
    assert stayed
    assert all(begun.count((task_id, "node-1")) == 1 for task_id in stayed)
    assert not out.all(InferenceResult)


def test_commands_reach_a_task_at_every_stage(kafka_settings: KafkaSettings, out: Watch, tmp_path: Path) -> None:
    night = datetime.now(UTC) + timedelta(hours=8)
    before, held, timed = fresh(), fresh(), fresh(P4, not_before=night)
    command(kafka_settings, before, CommandKind.CANCEL, reason="ordered in error")
    command(kafka_settings, held, CommandKind.HOLD)
    submit(kafka_settings, before, held, timed)
    with toy(kafka_settings, tmp_path):
        out.until(lambda: TaskState.CANCELLED in out.states(before.task_id), "the task that was not read yet")
        running = fresh(indication="steps=100000")
        submit(kafka_settings, running)
        out.until(lambda: TaskState.INFERRING in out.states(running.task_id), "it to run")
        command(kafka_settings, running, CommandKind.CANCEL)
        out.until(lambda: TaskState.CANCELLED in out.states(running.task_id), "the task that ran")
        out.until(lambda: out.events(TaskStatus, held.task_id), "the word that it is held")
        assert not out.events(TaskStatus, timed.task_id)
        command(kafka_settings, timed, CommandKind.UPGRADE, priority=P1, priority_reason="STAT", rule_revision="9")
        upgraded = out.result(timed.task_id)
        command(kafka_settings, held, CommandKind.RELEASE)
        out.result(held.task_id)
    assert upgraded.priority is P1
    reasons = {moved.reason for moved in out.events(TaskStatus, before.task_id)}
    assert reasons == {"cancelled by operator: ordered in error"}
    for entry in (before, running):
        assert not out.events(InferenceResult, entry.task_id)
        assert out.states(entry.task_id)[-1] is TaskState.CANCELLED


def test_what_failed_on_a_node_is_tried_on_another_one(
    kafka_settings: KafkaSettings, out: Watch, tmp_path: Path
) -> None:
    with toy(kafka_settings, tmp_path, "node-1"), toy(kafka_settings, tmp_path, "node-2"):
        ready(out, "node-1", "node-2")
        tasks = [fresh(P2, indication=f"fails-on=node-{number % 2 + 1}") for number in range(6)]
        submit(kafka_settings, *tasks)

        def retries() -> list[InferenceTask]:
            return [entry for entry in out.all(InferenceTask) if entry.attempt == 2]

        out.until(lambda: len(retries()) + len(out.all(InferenceResult)) >= 6, "the first attempts")
        failed = retries()
        assert failed
        for entry in failed:  # as the streams process does when the time has come
            submit(kafka_settings, dataclasses.replace(entry, not_before=None))
        results = [out.result(entry.task_id) for entry in failed]
    for entry, result in zip(failed, results, strict=True):
        assert result.node not in entry.excluded_nodes
        assert result.attempt == 2
    out.read(0.5)
    assert len(out.all(InferenceResult)) == 6


def test_without_another_node_it_is_tried_where_it_failed(
    kafka_settings: KafkaSettings, out: Watch, tmp_path: Path
) -> None:
    asked = fresh(P2, excluded_nodes=("node-1",), attempt=2)
    submit(kafka_settings, asked)
    with toy(kafka_settings, tmp_path, "node-1"):
        assert out.result(asked.task_id).node == "node-1"


def test_a_stop_hands_back_what_cannot_end_in_time(
    kafka_settings: KafkaSettings, out: Watch, tmp_path: Path
) -> None:
    short, long, waiting = fresh(P2, indication="steps=60"), fresh(indication="steps=3000"), fresh(P4)
    with toy(kafka_settings, tmp_path, SCANSTREAM_WORKER_DRAIN_S="4", SCANSTREAM_WORKER_PREFETCH="2") as child:
        ready(out, "node-1")
        submit(kafka_settings, short, long, waiting)
        for entry in (long, short):
            out.until(lambda: TaskState.PREPROCESSING in out.states(entry.task_id), "it to begin")  # noqa: B023 - used before the next turn
        out.until(lambda: TaskState.INFERRING in out.states(short.task_id), "the first to compute")
        child.terminate()
        assert child.wait(30) == 0
        out.read(0.5)
        assert out.events(InferenceResult, short.task_id)
        assert not out.events(InferenceResult, long.task_id)
        beats = [beat.state for beat in out.all(NodeHeartbeat) if beat.node == "node-1"]
        assert beats[-1] is NodeState.DRAINING
    with toy(kafka_settings, tmp_path, step_s=0.001):
        for entry in (long, waiting):
            out.result(entry.task_id)
    out.read(0.5)
    assert len(out.all(InferenceResult)) == 3


def test_what_ends_the_whole_worker_is_given_up_after_three_of_them(
    kafka_settings: KafkaSettings, out: Watch, tmp_path: Path
) -> None:
    poison = fresh(P2, indication="steps=100000")
    submit(kafka_settings, poison)
    for life in range(3):
        with toy(kafka_settings, tmp_path) as child:
            out.until(
                lambda: [b for b in out.all(NodeHeartbeat) if [entry.deaths for entry in b.begun] == [life]],  # noqa: B023 - used before the next turn
                "the word that it is begun",
            )
            child.send_signal(signal.SIGKILL)
            child.wait(60)
    with toy(kafka_settings, tmp_path):
        result = out.result(poison.task_id)
    assert result.outcome is ResultOutcome.COULD_NOT_RUN
    assert "3 workers vanished" in (result.reason or "")


def test_a_result_is_compared_with_the_one_before_and_a_restart_forgets_nothing(
    kafka_settings: KafkaSettings, out: Watch, tmp_path: Path
) -> None:
    patient = new_study()
    now = datetime.now(UTC).replace(microsecond=0)
    studies = [
        fresh(P2, patient_key=patient, indication=f"volume={volume}", created_at=now + timedelta(seconds=number))
        for number, volume in enumerate((200, 150))
    ]
    for entry in studies:
        with toy(kafka_settings, tmp_path):
            submit(kafka_settings, entry)
            out.result(entry.task_id)
    first, second = (out.result(entry.task_id) for entry in studies)
    assert first.prior is None
    assert len(first.findings[0].measurements) == 1
    assert second.prior is not None
    assert (second.prior.study_instance_uid, second.prior.result_id) == (first.study_instance_uid, first.event_id)
    values = {measured.code: (measured.value, measured.unit.value) for measured in second.findings[0].measurements}
    assert values[CHANGE] == (-50.0, "mL")
    assert values[CHANGE_PERCENT] == (-25.0, "%")
    key = f"{patient}/{studies[0].model_name}".encode()
    kept = [item.event for item in out.seen if item.key == key and isinstance(item.event, PriorResult)]
    assert [entry.values[0].measurement.value for entry in kept] == [200, 150]


def test_a_worker_for_emergencies_reads_nothing_else(
    kafka_settings: KafkaSettings, out: Watch, tmp_path: Path
) -> None:
    routine, emergency = fresh(P4), fresh(P1)
    with toy(kafka_settings, tmp_path, "node-1", SCANSTREAM_WORKER_MODE="emergency-only"):
        ready(out, "node-1")
        submit(kafka_settings, routine, emergency)
        out.result(emergency.task_id)
        with toy(kafka_settings, tmp_path, "node-2"):
            assert out.result(routine.task_id).node == "node-2"
