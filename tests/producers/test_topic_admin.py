"""Topics are created once, compared afterwards, and waited for by every process."""

from __future__ import annotations

import dataclasses
import threading
import uuid

import pytest

from producers import topic_admin
from producers.topic_admin import TopicRow, WantedTopic, differences
from schemas.errors import ConfigurationError, DestinationUnavailable
from schemas.settings import KafkaSettings
from schemas.topics import TOPICS, failure_topics
from tests.tools import free_port

TOPIC = WantedTopic("imaging.studies", 6, {"cleanup.policy": "compact,delete", "retention.ms": "1000"})


def test_a_topic_as_in_the_table_has_no_differences():
    config = {"cleanup.policy": "delete,compact", "retention.ms": "1000", "segment.bytes": "1"}
    assert differences(TOPIC, 6, config) == ()


def test_each_difference_is_named_with_both_values():
    found = differences(TOPIC, 3, {"cleanup.policy": "compact,delete", "retention.ms": "7"})
    assert found == ("partitions is 3, the table says 6", "retention.ms is 7, the table says 1000")


def test_every_topic_of_the_table_and_of_every_group_is_wanted_once():
    names = [topic.name for topic in topic_admin.wanted()]
    assert len(names) == len(set(names)) == len(TOPICS) + len(list(failure_topics()))


def test_no_broker_is_waited_for_until_told_to_stop():
    stop = threading.Event()
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    threading.Timer(0.3, stop.set).start()
    assert topic_admin.wait_until_ready(settings, stop) is False


def test_a_wrong_address_is_refused_in_one_sentence():
    with pytest.raises(ConfigurationError, match="KAFKA_BOOTSTRAP_SERVERS has 'kafka': write host:port"):
        topic_admin.wait_until_ready(KafkaSettings(bootstrap_servers="kafka"), threading.Event())


def test_creating_without_a_broker_says_so(monkeypatch):
    monkeypatch.setattr(topic_admin, "REQUEST_TIMEOUT_S", 0.3)
    with pytest.raises(DestinationUnavailable, match="Kafka did not answer"):
        topic_admin.create_topics(KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}"))


@pytest.mark.integration
def test_a_second_creation_finds_everything_equal(kafka_settings):
    rows = topic_admin.create_topics(kafka_settings)
    assert [row.state for row in rows] == ["equal"] * len(topic_admin.wanted())
    assert topic_admin.wait_until_ready(kafka_settings, threading.Event()) is True


@pytest.mark.integration
def test_a_missing_topic_is_reported_then_created_then_compared(kafka_settings, monkeypatch):
    fresh = WantedTopic(f"test.{uuid.uuid4()}", 2, {"cleanup.policy": "compact", "retention.ms": "1000"})
    monkeypatch.setattr(topic_admin, "wanted", lambda: [fresh])
    assert topic_admin.describe_topics(kafka_settings) == [TopicRow(fresh.name, "missing", 0)]
    assert topic_admin.create_topics(kafka_settings) == [TopicRow(fresh.name, "created", 2)]
    monkeypatch.setattr(topic_admin, "wanted", lambda: [dataclasses.replace(fresh, partitions=3)])
    (row,) = topic_admin.create_topics(kafka_settings)
    assert (row.state, row.differences) == ("differs", ("partitions is 2, the table says 3",))
