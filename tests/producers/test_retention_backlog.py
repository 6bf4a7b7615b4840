"""What consumer groups have before them, on a broker of its own: groups of other tests would count too."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from confluent_kafka import TopicPartition

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.retention import Unread
from producers.retention_backlog import read_unread
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.events import ArrivalHint, HintKind, TaskState, TaskStatus
from schemas.settings import KafkaSettings
from schemas.topics import Priority, Topic
from tests.services import kafka_broker, wait_for

pytestmark = pytest.mark.integration

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as servers:
        settings = KafkaSettings(bootstrap_servers=servers)
        create_topics(settings)
        yield settings


def publish(settings: KafkaSettings, studies: list[str], *, abort: bool = False) -> None:
    publisher = EventPublisher(settings, Codec(), "/test/p", Telemetry(), f"test.{uuid.uuid4().hex}")
    publisher.start(60)
    with suppress(_Aborted), publisher.transaction() as transaction:
        for study in studies:
            hint = ArrivalHint(study, NOW, study, "g", HintKind.ASSOCIATION_RELEASED)
            transaction.publish(Topic.INSTANCES, study, hint)
            transaction.publish(Topic.STATUS, f"task-{study}", status(study))
        if abort:
            raise _Aborted


class _Aborted(Exception):
    pass


def status(study: str) -> TaskStatus:
    return TaskStatus(
        event_id=study,
        occurred_at=NOW,
        task_id=f"task-{study}",
        study_instance_uid=f"{study}.9",
        revision=1,
        model_name="m",
        priority=Priority.P3_NORMAL,
        state=TaskState.QUEUED,
        progress=0,
        attempt=1,
        created_at=NOW,
        deadline=NOW,
    )


def commit(settings: KafkaSettings, group: str, topic: Topic, *, behind: int = 0) -> None:
    """The group has passed all of a topic but the last messages of each partition."""
    consumer = new_consumer(consumer_config(settings, "test", group))
    try:
        offsets = []
        for partition in range(6):
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            offsets.append(TopicPartition(topic, partition, max(high - behind, 0)))
        consumer.commit(offsets=offsets, asynchronous=False)
    finally:
        consumer.close()


def unread(settings: KafkaSettings, *groups: str, **bounds: float) -> tuple[frozenset[str], str | None]:
    """Asked again, as retention does, while a young broker still looks for the coordinators of its groups."""
    found: list[Unread] = []

    def asked() -> bool:
        with suppress(DestinationUnavailable):
            answer = read_unread(settings, groups, Codec(), "test", **bounds)  # type: ignore[arg-type] # bounds are numbers
            if answer.unknown != "not every broker told its consumer groups":
                found.append(answer)
        return bool(found)

    wait_for(asked, "the broker")
    return found[0].studies, found[0].unknown


def test_a_study_is_unread_until_every_group_has_passed_it(own: KafkaSettings) -> None:
    publish(own, ["1.1", "1.2"])
    assert unread(own, "a", "b") == (frozenset(), "consumer groups without a position: a, b")
    commit(own, "a", Topic.INSTANCES)
    assert unread(own, "a", "b") == (frozenset(), "consumer groups without a position: b")
    commit(own, "b", Topic.STATUS)
    assert unread(own, "a", "b") == (frozenset(), None)

    publish(own, ["1.3"])
    publish(own, ["1.4"], abort=True)
    assert unread(own, "a", "b") == (frozenset({"1.3", "1.3.9"}), None), "key of one topic, value of the other"
    commit(own, "a", Topic.INSTANCES)
    assert unread(own, "a", "b") == (frozenset({"1.3.9"}), None)
    commit(own, "b", Topic.STATUS)
    assert unread(own, "a", "b") == (frozenset(), None)

    # a group that nobody named is one that somebody needs
    commit(own, "somebody", Topic.INSTANCES, behind=1000)
    assert unread(own, "a", "b")[0] >= {"1.1", "1.2", "1.3"}
    assert unread(own, "a", "b", max_bytes=0)[1] == "the backlog of the consumer groups is too long to be read"
    assert unread(own, "a", "b", max_seconds=-1.0)[1] is not None


def test_a_message_that_cannot_be_read_holds_everything(own: KafkaSettings) -> None:
    publisher = EventPublisher(own, Codec(), "/test/p", Telemetry())
    publisher.publish_raw(Topic.STATUS, b"task", b"no event", [])
    publisher.flush()
    commit(own, "c", Topic.STATUS, behind=1000)
    studies, unknown = unread(own, "c")
    assert (studies, unknown) == (frozenset(), "a waiting message of inference.status cannot be read")
