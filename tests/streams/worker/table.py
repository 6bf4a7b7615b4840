"""A desk with everything that it does written down, for tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from producers.telemetry import Telemetry
from schemas.events import (
    CommandKind,
    ModelIdentity,
    StageTime,
    TaskCommand,
    TaskState,
    TaskStatus,
)
from schemas.topics import Priority, Topic
from streams.clock import Instant
from streams.worker import answers
from streams.worker.answers import Answer
from streams.worker.desk import Desk
from streams.worker.job import Job, Partition
from streams.worker.ledger import Settlement
from streams.worker.protocol import Begin, Ended, Moved, Name, ToChild
from streams.worker.surroundings import Surroundings
from tests.streams.worker.tasks import START

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
