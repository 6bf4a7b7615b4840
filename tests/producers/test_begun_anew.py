"""Whoever has a client that knows no broker any more goes on with another one: real Kafka."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # re-exported

from dashboards.live.ends import CatchUp
from dashboards.live.recall import Recall
from dashboards.live.reviews import Place
from producers import topic_admin, unheard
from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.messages import bytes_of, headers_of
from producers.telemetry import Telemetry
from producers.topic_admin import WantedTopic, wait_until_ready
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings
from streams.worker.giving_away import Owners
from streams.worker.job import Partition
from tests.dashboards.story import Story
from tests.producers.nameless import FIND_COORDINATOR, Nameless
from tests.services import wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration

#: Long after anything here has gone on that goes on at all.
AT_MOST_S = 30.0


@pytest.fixture
def way(kafka: str) -> Iterator[Nameless]:
    made = Nameless(int(kafka.rpartition(":")[2]))
    yield made
    made.close()


@pytest.fixture
def topic(kafka_settings: KafkaSettings) -> Iterator[str]:
    admin, name = AdminClient(dict(kafka_settings.librdkafka())), f"begun-anew-{uuid.uuid4().hex}"
    admin.create_topics([NewTopic(name, 3, 1)])[name].result(30)
    yield name
    admin.delete_topics([name])[name].result(30)


def works(action: object) -> bool:
    """Whether Kafka answered."""
    assert callable(action)
    try:
        action()
    except DestinationUnavailable:
        return False
    return True


def ask_for_brokers(client: AdminClient | Producer) -> None:
    """Have a client ask now; one that has asked by itself meanwhile, and was told of none, hears nothing."""
    with suppress(KafkaException):
        client.list_topics("any", 1.0)


def written(settings: KafkaSettings, topic: str, count: int) -> list[tuple[int, bytes | None, bytes | None, str]]:
    """So many messages of a topic: partition, key, value, names of headers."""
    with closing(new_consumer(consumer_config(settings, "test", uuid.uuid4().hex))) as consumer:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(3)])
        found: list[tuple[int, bytes | None, bytes | None, str]] = []
        while len(found) < count:
            message = consumer.poll(AT_MOST_S)
            assert message is not None, f"{len(found)} of {count} messages came"
            assert message.error() is None
            named = ",".join(name for name, _ in headers_of(message) or [])
            found.append((message.partition() or 0, bytes_of(message.key()), bytes_of(message.value()), named))
        return found


def test_what_a_publisher_without_transactions_has_queued_is_sent_by_another_client(
    way: Nameless, kafka_settings: KafkaSettings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unheard, "LONGEST_S", 1.0)
    publisher = EventPublisher(way.settings, Codec(), "/test/node/p", Telemetry())
    publisher.publish_raw(topic, b"one", b"before", [])
    publisher.flush(AT_MOST_S)
    with way.forgotten():
        pass
    for number in range(200):
        publisher.publish_raw(topic, b"one", b"%d" % number, [("n", b"")])
    publisher.publish_raw(topic, b"gone", None, [], partition=2)
    with pytest.raises(DestinationUnavailable, match="did not acknowledge 201"):
        publisher.flush(2.0)
    # Kafka answers another client the first time; at the second time, that one goes on
    publisher.publish_raw(topic, b"one", b"200", [("n", b"")])
    with pytest.raises(DestinationUnavailable, match="did not acknowledge 202"):
        publisher.flush(2.0)
    publisher.publish_raw(topic, b"one", b"after", [])
    publisher.flush(AT_MOST_S)
    found = written(kafka_settings, topic, 204)
    of_one = [(value, named) for _, key, value, named in found if key == b"one"]
    assert of_one == [(b"before", ""), *((b"%d" % number, "n") for number in range(201)), (b"after", "")]
    assert (2, b"gone", None, "") in found


def test_a_publisher_keeps_its_client_while_kafka_answers_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unheard, "LONGEST_S", 0.1)
    away = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    publisher = EventPublisher(away, Codec(), "/test/node/p", Telemetry())
    client = publisher._producer
    for number in range(4):
        publisher.publish_raw("topic", b"key", b"%d" % number, [])
        with pytest.raises(DestinationUnavailable, match=f"did not acknowledge {number + 1} events"):
            publisher.flush(0.2)
    assert publisher._producer is client


def test_a_publisher_whose_client_is_lost_before_it_has_started_starts(way: Nameless) -> None:
    publisher = EventPublisher(way.settings, Codec(), "/test/node/p", Telemetry(), f"test.{uuid.uuid4().hex}")
    way.ignored = {FIND_COORDINATOR}
    with pytest.raises(DestinationUnavailable):
        publisher.start(1.0)
    with way.forgotten():
        ask_for_brokers(publisher._producer)
    way.ignored = set()
    wait_for(lambda: works(lambda: publisher.start(1.0)), "a start", AT_MOST_S)


def test_a_transaction_that_failed_is_followed_by_one_of_another_client(way: Nameless, topic: str) -> None:
    publisher = EventPublisher(way.settings, Codec(), "/test/node/p", Telemetry(), f"test.{uuid.uuid4().hex}")
    publisher.start(AT_MOST_S)
    with publisher.transaction() as transaction:
        transaction.publish_raw(topic, b"key", b"value", [])
    with way.forgotten():
        pass
    with pytest.raises(DestinationUnavailable, match="full"), publisher.transaction():
        raise DestinationUnavailable("the queue is full")  # as after a long outage
    with publisher.transaction() as transaction:
        transaction.publish_raw(topic, b"key", b"value", [])


def test_topics_are_waited_for_with_another_client(
    way: Nameless, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, answers = threading.Event(), list[bool]()
    wanted = [WantedTopic("not-there", 1, {})]
    monkeypatch.setattr(topic_admin, "wanted", lambda: wanted)
    waiting = threading.Thread(target=lambda: answers.append(wait_until_ready(way.settings, stop)), daemon=True)
    waiting.start()
    try:
        with way.forgotten():
            pass
        wanted[:] = [WantedTopic(topic, 3, {})]
        wait_for(lambda: bool(answers), "the topic", AT_MOST_S)
    finally:
        stop.set()
        waiting.join()
    assert answers == [True]


def test_the_ends_of_the_log_are_asked_for_with_another_client(way: Nameless) -> None:
    catch_up = CatchUp(way.settings, bool)
    catch_up()
    with way.forgotten(), pytest.raises(DestinationUnavailable):
        catch_up()
    catch_up()


def test_owners_of_partitions_are_asked_for_with_another_client(
    way: Nameless, kafka_settings: KafkaSettings, topic: str
) -> None:
    group, now = uuid.uuid4().hex, [0.0]
    admins = list[AdminClient]()

    def admin() -> AdminClient:
        admins.append(AdminClient(dict(way.settings.librdkafka())))
        return admins[-1]

    owners = Owners(admin, group, ".worker", lambda: now[0])

    def known() -> bool:
        now[0] += 10.0
        wait_for(lambda: owners.get() is not None, "an answer", AT_MOST_S)
        return bool(owners.get())

    config = consumer_config(kafka_settings, "test", group, instance_id="node-2.worker")
    with closing(new_consumer(config)) as consumer:
        consumer.subscribe([topic])
        wait_for(lambda: bool(consumer.poll(0.05) or consumer.assignment()), "partitions")
        wait_for(known, "the owners")
        with way.forgotten():
            ask_for_brokers(admins[-1])
        assert not known()
        assert known()
        assert owners.get() == {Partition(topic, number): "node-2" for number in range(3)}


def test_a_message_is_read_again_with_another_client(
    way: Nameless, kafka_settings: KafkaSettings, topic: str
) -> None:
    publisher = EventPublisher(kafka_settings, Codec(), "/test/node/p", Telemetry())
    result = Story("1.2.3").result()
    publisher.publish_raw(topic, b"key", Codec().encode(result), [], partition=0)
    publisher.flush(AT_MOST_S)
    with closing(Recall(way.settings, Codec())) as recall:
        assert recall(Place(topic, 0, 0)) == result
        with way.forgotten(), pytest.raises(DestinationUnavailable):
            recall(Place(f"no-{topic}", 0, 0))  # so the client asks for brokers
        assert recall(Place(topic, 0, 0)) == result
