"""Reading, ordering and writing on a real Kafka, with a ledger that fails when the test says so."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, PermanentRejection
from schemas.events import CommandKind, Event, InferenceTask, TaskCommand, TaskState, TaskStatus
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, Priority, Topic, spec_of
from streams.clock import system_clock
from streams.worker.answers import Answer, status
from streams.worker.commits import Commits
from streams.worker.desk import Desk
from streams.worker.intake import Intake
from streams.worker.job import Job, Partition
from streams.worker.ledger import Ledger, Settlement, unreadable
from streams.worker.partitions import Partitions, ReadAhead
from streams.worker.protocol import Begin, Ended, ToChild
from streams.worker.surroundings import Surroundings
from tests.streams.worker.site import Watch, end_of, submit, watch
from tests.streams.worker.tasks import START, new_study, task

pytestmark = pytest.mark.integration


class Faulty(Ledger):
    """Fails after or before the commit, as often as it is told to."""

    lose_acknowledgements = refuse = 0

    def write(
        self, publisher: EventPublisher, settlements: Sequence[Settlement], offsets: Sequence[TopicPartition]
    ) -> None:
        if self.refuse:
            self.refuse -= 1
            with publisher.transaction():
                raise DestinationUnavailable("the transaction was aborted")
        super().write(publisher, settlements, offsets)
        if self.lose_acknowledgements:
            self.lose_acknowledgements -= 1
            raise DestinationUnavailable("the commit was not acknowledged")


class Side:
    """A worker without its computing process: the test computes."""

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        name: str,
        codec: Codec | None = None,
        read_ahead: ReadAhead | None = None,
    ) -> None:
        self.told: list[ToChild] = []
        self.assignments = 0
        consumer = new_consumer(consumer_config(settings, name, group, fetch_wait_ms=50))
        around = Surroundings(
            tell=self.tell,
            settle=lambda settlement, job: self.commits.add(settlement, job),
            announce=lambda _, __: None,
            identity=lambda _: None,
            computing=lambda: (),
            prior=lambda _: None,
            vanished=lambda _: 0,
            elsewhere=lambda _, __: None,
        )
        self.desk = Desk(name, around, Telemetry(), prefetch=1000)
        self.partitions = Partitions(
            consumer, Priority, lambda: self.desk, self._let_go, threading.Event(), read_ahead
        )
        self.ledger = Faulty(consumer, Codec(), "/test/worker", system_clock)
        publisher = EventPublisher(settings, Codec(), "/test/worker", Telemetry(), f"{group}.{name}", group)
        self.commits = Commits(self.partitions, self.ledger, publisher, lambda: None, time.monotonic)
        self.intake = Intake(
            consumer,
            self.partitions,
            codec or Codec(),
            Telemetry(),
            lambda job: self.desk.take(job, system_clock()),
            lambda received, error: self.commits.add(unreadable(received, error)),
            time.monotonic,
        )
        self.consumer = consumer
        self.partitions.subscribe()

    def turn(self) -> None:
        self.desk.dispatch(system_clock())
        for entry in self.commits.write():
            self.partitions.gone(entry.settlement.received)
            if entry.job is not None:
                self.desk.written(entry.job, system_clock())
            partition = entry.settlement.received.partition
            self.desk.schedule.restrict(partition, self.partitions.books.only(partition), system_clock())
        self.partitions.steer(hold=self.intake.waits)
        self.intake.read(0.01)

    def tell(self, message: ToChild) -> None:
        self.told.append(message)

    def turned(self) -> bool:
        self.turn()
        return True

    def begun(self) -> list[InferenceTask]:
        return [message.task for message in self.told if isinstance(message, Begin)]

    def answer(self, asked: InferenceTask) -> None:
        moved = status(asked, TaskState.COMPLETED, "node", START)
        answer = Answer("done", ((Topic.STATUS, asked.task_id, moved),))
        self.desk.ended(Ended((asked.task_id, asked.attempt), answer), system_clock())

    def _let_go(self, jobs: list[Job]) -> None:
        self.assignments += 1
        self.desk.let_go(jobs, system_clock())
        self.commits.drop(jobs)
        for job in jobs:
            self.partitions.gone(job.received)
        self.intake.forget()


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
def side(settings: KafkaSettings, group: str, name: str = "one", **given: Any) -> Iterator[Side]:
    made = Side(settings, group, name, **given)
    try:
        until(lambda: made.partitions.joined, made)
        yield made
    finally:
        made.consumer.close()


def new_group(settings: KafkaSettings) -> str:
    """A group that begins at the present end of the task topics: other tests' tasks are not its."""
    group = f"test.commits.{random.randrange(10**12)}"
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


def ends_of(one: Side) -> dict[Partition, int]:
    """Ends of the partitions that a side reads: other tests have written there before."""
    return {
        Partition(str(entry.topic), int(entry.partition)): end_of(one.consumer, entry)
        for entry in one.consumer.assignment()
    }


def of_one_partition(count: int) -> list[InferenceTask]:
    study = new_study()
    return [task(study, Priority.P2_URGENT, task_id=f"{study}-{number}") for number in range(count)]


def answers_of(out: Watch, tasks: list[InferenceTask]) -> list[int]:
    return [len(out.events(TaskStatus, asked.task_id)) for asked in tasks]


def values_of(out: Watch) -> list[bytes]:
    return [item.value for item in out.seen]


@pytest.mark.parametrize("committed", [False, True])
def test_a_transaction_whose_end_is_unknown_is_looked_up_and_never_doubled(
    kafka_settings: KafkaSettings, out: Watch, committed: bool
) -> None:
    tasks = of_one_partition(4)
    with side(kafka_settings, new_group(kafka_settings)) as one:
        submit(kafka_settings, *tasks)
        until(lambda: len(one.begun()) == 4, one)
        one.ledger.refuse, one.ledger.lose_acknowledgements = int(not committed), int(committed)
        for number in (2, 0):
            one.answer(tasks[number])
        out.until(lambda: one.turned() and all(answers_of(out, [tasks[0], tasks[2]])), "two statuses")
        for number in (3, 1):
            one.answer(tasks[number])
        out.until(lambda: one.turned() and all(answers_of(out, tasks)), "all statuses")
        until(lambda: not list(one.desk), one)
        assert len(one.begun()) == 4
    out.read(0.5)
    assert answers_of(out, tasks) == [1] * 4


@pytest.mark.parametrize("committed", [False, True])
def test_what_is_no_task_is_set_aside_once_though_the_end_of_its_transaction_is_unknown(
    kafka_settings: KafkaSettings, out: Watch, committed: bool
) -> None:
    before, after = of_one_partition(2)
    topic, payload = TASK_TOPICS[Priority.P2_URGENT].value, random.randbytes(16)
    with side(kafka_settings, new_group(kafka_settings)) as one:
        one.ledger.refuse, one.ledger.lose_acknowledgements = int(not committed), int(committed)
        submit(kafka_settings, before)
        until(one.begun, one)
        producer = Producer(kafka_settings.librdkafka())
        producer.produce(topic, payload, before.study_instance_uid.encode())
        assert producer.flush(30) == 0
        submit(kafka_settings, after)
        out.until(lambda: one.turned() and payload in values_of(out), "the message is set aside")
        until(lambda: len(one.begun()) == 2 and not len(one.commits), one)
        for _ in range(50):
            one.turn()
        out.read(0.5)
        assert values_of(out).count(payload) == 1
        assert len(one.begun()) == 2
        assert one.partitions._tasks[topic] == 2


def test_what_was_answered_out_of_order_is_not_read_again_by_the_next_owner(
    kafka_settings: KafkaSettings, out: Watch
) -> None:
    tasks, group = of_one_partition(6), new_group(kafka_settings)
    with side(kafka_settings, group) as one:
        submit(kafka_settings, *tasks)
        until(lambda: len(one.begun()) == 6, one)
        for number in (1, 3, 4):
            one.answer(tasks[number])
        out.until(lambda: one.turned() and sum(answers_of(out, tasks)) == 3, "three statuses")
        until(lambda: len(list(one.desk)) == 3, one)
    with side(kafka_settings, group, "two") as two:
        until(lambda: len(two.begun()) == 3, two)
        for asked in two.begun():
            two.answer(asked)
        out.until(lambda: two.turned() and all(answers_of(out, tasks)), "all statuses")
    assert [asked.task_id for asked in two.begun()] == [tasks[number].task_id for number in (0, 2, 5)]
    assert answers_of(out, tasks) == [1] * 6


def test_what_stays_over_a_rebalance_is_worked_on_and_not_taken_up_again_when_it_is_read_once_more(
    kafka_settings: KafkaSettings, out: Watch
) -> None:
    tasks, group = of_one_partition(20), new_group(kafka_settings)
    with side(kafka_settings, group) as one:
        submit(kafka_settings, *tasks)
        until(lambda: len(one.begun()) == 20, one)
        before, two = one.assignments, Side(kafka_settings, group, "two")
        try:
            until(lambda: one.assignments > before and two.partitions.joined, one, two)
            if not list(one.desk):  # it went: the other has it now, and the same is true there
                until(lambda: len(two.begun()) == 20, one, two)
                one, two = two, one
                before = one.assignments
                two.consumer.unsubscribe()
                until(lambda: one.assignments > before, one, two)
            for asked in tasks:
                one.answer(asked)
            while one.commits.write(at_once=True):  # before anything is read again
                pass
            assert len(one.commits) == 0
            for _ in range(100):
                one.turn()
        finally:
            two.consumer.close()
    out.read(0.5)
    assert len(one.begun()) == 20
    assert answers_of(out, tasks) == [1] * 20


def test_what_is_held_goes_to_the_end_before_its_partition_stands_still(
    kafka_settings: KafkaSettings, out: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.offset_ledger.FULL", 1)  # nothing is noted beyond the oldest
    tasks, group = of_one_partition(30), new_group(kafka_settings)
    held = tasks[:3]

    def command(asked: InferenceTask, kind: CommandKind) -> TaskCommand:
        about = (asked.task_id, asked.study_instance_uid, kind, "operator")
        return TaskCommand(f"{kind}-{asked.task_id}", START, *about)

    with side(kafka_settings, group) as one:
        for asked in held:
            one.desk.hear(command(asked, CommandKind.HOLD), system_clock())
        ends = ends_of(one)
        submit(kafka_settings, *tasks)

        def are_behind_all() -> bool:
            came = [entry.received for entry in one.desk]
            return len(came) == len(held) and all(
                received.offset >= ends[received.partition] + len(tasks) for received in came
            )

        until(lambda: len(one.begun()) == 27, one)
        for asked in one.begun():
            one.answer(asked)
        out.until(lambda: one.turned() and all(answers_of(out, tasks[3:])), "all that is not held")
        until(are_behind_all, one)
        assert [entry.task.task_id for entry in one.desk] == [asked.task_id for asked in held]
        assert {entry.received.given_away for entry in one.desk} == {0}
        for asked in held:
            one.desk.hear(command(asked, CommandKind.RELEASE), system_clock())
        until(lambda: len(one.begun()) == 30, one)
        for asked in held:
            one.answer(asked)
        out.until(lambda: one.turned() and all(answers_of(out, tasks)), "all statuses")
        until(lambda: not list(one.desk), one)
    out.read(0.5)
    assert answers_of(out, tasks) == [1] * 30


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
    tasks, codec = of_one_partition(3), RegistryAway()
    with side(kafka_settings, new_group(kafka_settings), codec=codec) as one:
        submit(kafka_settings, *tasks)
        until(lambda: len(one.begun()) == 3, one)
    assert codec.failures == 0


def test_a_class_is_read_ahead_so_far_and_the_others_all_the_same(
    kafka_settings: KafkaSettings, out: Watch
) -> None:
    routine = [task(new_study(), Priority.P4_ROUTINE) for _ in range(2500)]
    urgent = of_one_partition(3)
    with side(kafka_settings, new_group(kafka_settings), read_ahead=ReadAhead(tasks=100)) as one:
        submit(kafka_settings, *routine)
        until(lambda: len(one.begun()) >= 100, one)
        submit(kafka_settings, *urgent)
        until(lambda: {asked.task_id for asked in urgent} <= {asked.task_id for asked in one.begun()}, one)
        held = len(one.begun()) - 3
        assert held < 2500
        while len(one.begun()) < 2503:
            for asked in one.begun()[-held:]:
                one.answer(asked)
            one.turn()


def test_a_second_process_in_the_same_place_ends_the_first(kafka_settings: KafkaSettings, out: Watch) -> None:
    (first,) = of_one_partition(1)
    group = new_group(kafka_settings)
    with side(kafka_settings, group) as one:
        submit(kafka_settings, first)
        until(lambda: one.begun(), one)
        successor = EventPublisher(kafka_settings, Codec(), "/test/worker", Telemetry(), f"{group}.one")
        successor.start()
        one.answer(first)
        with pytest.raises(PermanentRejection, match="another process holds this place"):
            until(lambda: False, one)
    assert not out.events(TaskStatus, first.task_id)
