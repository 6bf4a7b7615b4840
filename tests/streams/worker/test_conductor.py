"""The loop on a real Kafka, over a computing process that says what the test wants."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from producers.kafka import EventPublisher
from producers.process import Process
from producers.telemetry import Telemetry
from producers.waiting import TimeLeft
from schemas.codec import Codec
from schemas.events import InferenceTask, TaskState
from schemas.settings import KafkaSettings, ProcessSettings
from schemas.topics import Topic
from streams.clock import system_clock
from streams.worker.announce import Announcer
from streams.worker.answers import Answer, status
from streams.worker.conductor import STOP_S, CommandQueue, Conductor
from streams.worker.heartbeat import Heart
from streams.worker.protocol import Begin, Ended, FromChild, Loaded, Moved, ToChild
from streams.worker.supervisor import Patience, Supervisor
from tests.streams.worker.child.fake import FakeChild
from tests.streams.worker.site import Watch, submit, watch
from tests.streams.worker.tasks import START
from tests.streams.worker.test_commits import Side, new_group, of_one_partition

pytestmark = pytest.mark.integration

#: More than two transactions hold.
TASKS = 130


class Sudden(FakeChild):
    """Has all answers at once, at the moment of a request to stop."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop
        self._begun: list[InferenceTask] = []
        self.say(Loaded("toy", ()))

    def send(self, message: ToChild) -> None:
        super().send(message)
        if isinstance(message, Begin):
            self._begun.append(message.task)
            self.say(Moved((message.task.task_id, message.task.attempt), TaskState.INFERRING, 40))
        if len(self._begun) == TASKS:
            for task in self._begun:
                moved = status(task, TaskState.COMPLETED, "one", START)
                answer = Answer("done", ((Topic.STATUS, task.task_id, moved),))
                self.say(Ended((task.task_id, task.attempt), answer))

    def receive(self, timeout_s: float) -> FromChild | None:
        message = super().receive(timeout_s)
        if isinstance(message, Ended):
            self._stop.set()
        return message


class Whole(Side):
    """All of a worker but its computing process."""

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        super().__init__(settings, group, "one")
        self.process = Process("worker", ProcessSettings(node="one"))
        live = EventPublisher(settings, Codec(), "/test/worker", Telemetry())
        self.supervisor = Supervisor(
            lambda: Sudden(self.process.stop), Patience(60, 60), lambda: system_clock().monotonic
        )
        heart = Heart(live, Telemetry(), "one", START, lambda: self.desk)
        self.conductor = Conductor(
            self.process,
            self.desk,
            self.supervisor,
            self.partitions,
            self.commits,
            Announcer(live),
            heart,
            CommandQueue(),
            lambda: True,
            10.0,
            TimeLeft(self.process.stop, STOP_S),
            system_clock,
        )

    def tell(self, message: ToChild) -> None:
        self.supervisor.send(message)


@pytest.fixture
def out(kafka_settings: KafkaSettings) -> Iterator[Watch]:
    with watch(kafka_settings) as seen:
        yield seen


def test_all_that_was_computed_is_written_before_it_leaves(kafka_settings: KafkaSettings, out: Watch) -> None:
    tasks = of_one_partition(TASKS)
    whole = Whole(kafka_settings, new_group(kafka_settings))
    try:
        submit(kafka_settings, *tasks)
        whole.conductor.run(whole.intake)
    finally:
        whole.consumer.close()
    out.read(1.0)
    assert [out.states(asked.task_id)[-1:] for asked in tasks] == [[TaskState.COMPLETED]] * TASKS
