"""The computing thread with a runner that the test steers, step by step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from producers.telemetry import Telemetry
from schemas.errors import DestinationUnavailable
from schemas.events import InferenceTask, TaskState
from schemas.topics import Priority
from streams.worker.answers import Answer
from streams.worker.backlog import Backlog, Job
from streams.worker.executor import Executor
from streams.worker.intake import Answered
from tests.streams.worker.tasks import job


class Announced:
    """Keeps what would be published."""

    def __init__(self) -> None:
        self.moves: list[tuple[str, TaskState]] = []

    def __call__(self, entry: Job, state: TaskState) -> None:
        self.moves.append((entry.task.task_id, state))

    def settle(self) -> None:
        pass


class Runner:
    """Runs what the test gives it."""

    def __init__(self, run: Callable[[InferenceTask, Callable[[TaskState], None]], Answer]) -> None:
        self.run = run

    def unexpected(self, task: InferenceTask, error: Exception) -> Answer:
        return Answer(f"unexpected {type(error).__name__}", ())


class Bench:
    def __init__(self, run: Callable[[InferenceTask, Callable[[TaskState], None]], Answer]) -> None:
        self.backlog, self.answered, self.announced = Backlog(time.monotonic), Answered(), Announced()
        self.telemetry = Telemetry()
        runner: Any = Runner(run)
        announcer: Any = self.announced
        Executor(self.backlog, runner, announcer, self.answered, self.telemetry).start()

    def next(self) -> tuple[Job, Answer]:
        return self.answered.get(timeout=60)


def test_an_emergency_suspends_what_runs_at_its_next_step() -> None:
    running, go_on = threading.Event(), threading.Event()

    def run(task: InferenceTask, on_step: Callable[[TaskState], None]) -> Answer:
        on_step(TaskState.PREPROCESSING)
        if task.priority is Priority.P4_ROUTINE:
            running.set()
            assert go_on.wait(60)
        on_step(TaskState.INFERRING)
        return Answer("done", ())

    bench = Bench(run)
    bench.backlog.add(routine := job(0, Priority.P4_ROUTINE))
    assert running.wait(60)
    bench.backlog.add(job(0, Priority.P2_URGENT))
    bench.backlog.add(urgent := job(0, Priority.P1_EMERGENCY))
    go_on.set()
    order = [bench.next()[0].task.priority.rank for _ in range(3)]
    assert order == [1, 4, 2]
    assert bench.announced.moves[:4] == [
        (routine.task.task_id, TaskState.PREPROCESSING),
        (urgent.task.task_id, TaskState.PREPROCESSING),
        (urgent.task.task_id, TaskState.INFERRING),
        (routine.task.task_id, TaskState.INFERRING),
    ]
    bench.backlog.close()


def test_an_abandoned_task_stops_at_its_next_step_without_an_answer() -> None:
    running, go_on = threading.Event(), threading.Event()

    def run(task: InferenceTask, on_step: Callable[[TaskState], None]) -> Answer:
        if task.priority is Priority.P3_NORMAL:
            running.set()
            assert go_on.wait(60)
        on_step(TaskState.INFERRING)
        return Answer("done", ())

    bench = Bench(run)
    bench.backlog.add(lost := job(0))
    assert running.wait(60)
    bench.backlog.drop([lost.partition])
    go_on.set()
    bench.backlog.add(after := job(0, Priority.P4_ROUTINE))
    assert bench.next()[0] is after
    assert bench.announced.moves == [(after.task.task_id, TaskState.INFERRING)]
    bench.backlog.close()


def test_a_gateway_that_is_away_is_tried_again_while_others_go_on() -> None:
    tries = []

    def run(task: InferenceTask, on_step: Callable[[TaskState], None]) -> Answer:
        tries.append(task.priority.rank)
        if task.priority is Priority.P1_EMERGENCY and tries.count(1) < 2:
            raise DestinationUnavailable("away")
        return Answer("done", ())

    bench = Bench(run)
    bench.backlog.add(job(0, Priority.P1_EMERGENCY))
    bench.backlog.add(job(0, Priority.P4_ROUTINE))
    assert [bench.next()[0].task.priority.rank for _ in range(2)] == [4, 1]
    assert tries == [1, 4, 1] or tries == [4, 1, 1]
    assert b'scanstream_destination_up{destination="gateway"} 1.0' in bench.telemetry.exposition()
    bench.backlog.close()


def test_an_unexpected_error_is_an_answer_and_the_thread_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    def run(task: InferenceTask, on_step: Callable[[TaskState], None]) -> Answer:
        if task.attempt == 1:
            raise ZeroDivisionError
        return Answer("done", ())

    bench = Bench(run)
    bench.backlog.add(job(0, attempt=1))
    assert bench.next()[1].outcome == "unexpected ZeroDivisionError"
    bench.backlog.add(job(1, attempt=2))
    assert bench.next()[1].outcome == "done"
    bench.backlog.close()
