"""The Kafka side of the worker on a real Kafka, with a ledger that fails when the test says so."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, PermanentRejection
from schemas.events import Event, TaskState, TaskStatus
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, Priority, Topic, spec_of
from streams.clock import system_clock
from streams.worker.answers import Answer, status
from streams.worker.backlog import Backlog, Job
from streams.worker.intake import Answered, Intake
from streams.worker.ledger import Ledger
from tests.streams.worker.site import Watch, end_of, submit, watch
from tests.streams.worker.tasks import START, new_study, task

pytestmark = pytest.mark.integration


class Faulty(Ledger):
    """Fails after or before the commit, as often as it is told to."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.lose_acknowledgements = self.refuse = 0

    def write(self, publisher: EventPublisher, job: Job, answer: Answer) -> None:
        if self.refuse:
            self.refuse -= 1
            with publisher.transaction():
                raise DestinationUnavailable("the transaction was aborted")
        super().write(publisher, job, answer)
        if self.lose_acknowledgements:
            self.lose_acknowledgements -= 1
            raise DestinationUnavailable("the commit was not acknowledged")


class Side:
    """One worker without its computing thread: the test computes."""

    def __init__(self, settings: KafkaSettings, group: str, name: str, codec: Codec | None = None) -> None:
        self.consumer, self.telemetry = new_consumer(consumer_config(settings, name, group)), Telemetry()
        self.backlog, self.answered = Backlog(time.monotonic), Answered()
        self.ledger = Faulty(self.consumer, Codec(), "/test/worker", system_clock)

        def publisher() -> EventPublisher:
            return EventPublisher(settings, Codec(), "/test/worker", Telemetry(), f"{group}.{name}")

        self.intake = Intake(
            self.consumer, publisher, self.ledger, codec or Codec(), self.backlog, self.answered, self.telemetry
        )
        self.intake.subscribe()
        self.held: list[Job] = []

    def turn(self) -> None:
        self.intake.turn()
        while (job := self.backlog.take_emergency()) is not None:
            self.held.append(job)

    def job(self, *others: Side) -> Job:
        """Next job, as the computing thread would take it."""
        until(lambda: self.held, self, *others)
        return self.held.pop(0)

    def answer(self, job: Job) -> None:
        moved = status(job.task, TaskState.COMPLETED, "node", START)
        self.answered.put((job, Answer("done", ((Topic.STATUS, job.task.task_id, moved),))))


def until(condition: Callable[[], Any], *sides: Side, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        for side in sides:
            side.turn()


@pytest.fixture
def out(kafka_settings: KafkaSettings) -> Iterator[Watch]:
    with watch(kafka_settings) as seen:
        yield seen


@contextmanager
def side(settings: KafkaSettings, group: str, name: str = "one", codec: Codec | None = None) -> Iterator[Side]:
    made = Side(settings, group, name, codec)
    try:
        yield made
    finally:
        made.backlog.close()
        made.intake.close()


def two_emergencies() -> tuple[Any, Any]:
    """Two tasks of one study, hence of one partition."""
    study = new_study()
    return tuple(task(study, Priority.P1_EMERGENCY, task_id=f"{study}-{number}") for number in (1, 2))  # type: ignore[return-value] # there are two


def new_group(settings: KafkaSettings) -> str:
    """A group that begins at the present end of the task topics: other tests' tasks are not its."""
    group = f"test.intake.{random.randrange(10**12)}"
    consumer = new_consumer(consumer_config(settings, "new-group", group))
    partitions = [
        TopicPartition(topic.value, number)
        for topic in TASK_TOPICS.values()
        for number in range(spec_of(topic).partitions)
    ]
    for entry in partitions:
        entry.offset = end_of(consumer, entry)
    consumer.commit(offsets=partitions, asynchronous=False)
    consumer.close()
    return group


@pytest.mark.parametrize("committed", [False, True])
def test_a_transaction_whose_end_is_unknown_is_looked_up_and_never_doubled(
    kafka_settings: KafkaSettings, out: Watch, committed: bool
) -> None:
    first, second = two_emergencies()
    with side(kafka_settings, new_group(kafka_settings)) as one:
        until(lambda: one.intake.assigned, one)
        one.ledger.refuse, one.ledger.lose_acknowledgements = int(not committed), int(committed)
        submit(kafka_settings, first, second)
        job = one.job()
        assert job.task == first
        one.answer(job)
        if not committed:
            again = one.job()
            assert (again.task, again.received.offset) == (first, job.received.offset)
            one.answer(again)
        after = one.job()
        assert after.task == second
        one.answer(after)
        out.until(lambda: one.turn() or out.events(TaskStatus, second.task_id), "the second status")
    assert len(out.events(TaskStatus, first.task_id)) == 1
    assert len(out.events(TaskStatus, second.task_id)) == 1


class RegistryAway(Codec):
    """Needs a registry that is away at first."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 2

    def decode(self, payload: bytes | None) -> Event:
        if self.failures:
            self.failures -= 1
            raise DestinationUnavailable("the schema registry does not answer")
        return super().decode(payload)


def test_a_registry_that_is_away_is_waited_for(kafka_settings: KafkaSettings) -> None:
    first, second = two_emergencies()
    codec = RegistryAway()
    with side(kafka_settings, new_group(kafka_settings), codec=codec) as one:
        until(lambda: one.intake.assigned, one)
        submit(kafka_settings, first, second)
        for expected in (first, second):
            job = one.job()
            assert job.task == expected
            one.answer(job)
    assert codec.failures == 0


def test_what_runs_while_its_partition_moves_is_done_again_and_answered_once(
    kafka_settings: KafkaSettings, out: Watch
) -> None:
    """Some partitions stay where they are, others move: all of them were paused, and all go on."""
    tasks = [task(new_study(), Priority.P1_EMERGENCY) for _ in range(12)]
    group = new_group(kafka_settings)

    def answered() -> bool:
        return all(out.events(TaskStatus, asked.task_id) for asked in tasks)

    with side(kafka_settings, group) as one:
        until(lambda: one.intake.assigned, one)
        submit(kafka_settings, *tasks)
        until(lambda: len(one.held) >= 3, one)
        before = list(one.held)
        with side(kafka_settings, group, "two") as two:
            until(lambda: all(job.abandoned.is_set() for job in before) and two.intake.assigned, one, two)
            one.held = [job for job in one.held if job not in before]
            for job in before:
                one.answer(job)

            def work() -> bool:
                for owner in (one, two):
                    owner.turn()
                    while owner.held:
                        owner.answer(owner.held.pop())
                return answered()

            out.until(work, "all statuses")
            for _ in range(50):
                work()
            out.read(0.5)
    assert [len(out.events(TaskStatus, asked.task_id)) for asked in tasks] == [1] * len(tasks)


def test_a_second_process_in_the_same_place_ends_the_first(kafka_settings: KafkaSettings, out: Watch) -> None:
    first, _ = two_emergencies()
    group = new_group(kafka_settings)
    with side(kafka_settings, group) as one:
        until(lambda: one.intake.assigned, one)
        submit(kafka_settings, first)
        job = one.job()
        successor = EventPublisher(kafka_settings, Codec(), "/test/worker", Telemetry(), f"{group}.one")
        successor.start()
        one.answer(job)
        with pytest.raises(PermanentRejection, match="another process holds this place"):
            until(lambda: False, one)
    assert not out.events(TaskStatus, first.task_id)
