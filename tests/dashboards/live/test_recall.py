"""A message is read again at its place; what the broker has deleted is said to be gone, and at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from dashboards.live.recall import Recall
from dashboards.live.reviews import Place
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.settings import KafkaSettings
from tests.dashboards.story import Story


@pytest.mark.integration
def test_what_is_past_its_retention_is_said_to_be_gone(kafka_settings: KafkaSettings) -> None:
    servers = {"bootstrap.servers": kafka_settings.bootstrap_servers}
    admin, topic = AdminClient(servers), f"recall-{uuid4()}"
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    result = Story("1.2.3").result()
    producer = Producer(servers)
    for _ in range(3):
        producer.produce(topic, Codec().encode(result), partition=0)
    assert producer.flush(30) == 0
    recall = Recall(kafka_settings, Codec())
    try:
        assert recall(Place(topic, 0, 1)) == result
        for until in (2, 3):  # the second time, nothing at all is left
            for done in admin.delete_records([TopicPartition(topic, 0, until)]).values():
                done.result(30)
            begun = time.monotonic()
            with pytest.raises(InvalidMessage, match="retention"):
                recall(Place(topic, 0, until - 1))
            assert time.monotonic() - begun < 4.5
    finally:
        recall.close()
        admin.delete_topics([topic])[topic].result(30)


@pytest.mark.integration
def test_several_are_read_at_once_and_however_large(kafka_settings: KafkaSettings) -> None:
    topic = f"recall-{uuid4()}"
    admin = AdminClient({"bootstrap.servers": kafka_settings.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    images = tuple(f"1.2.840.113619.2.{10**40 + number}" for number in range(10_000))
    results = [replace(Story(f"1.2.{number}").result(), sop_instance_uids=images[number:]) for number in range(8)]
    producer = Producer({"bootstrap.servers": kafka_settings.bootstrap_servers})
    for result in results:
        producer.produce(topic, Codec().encode(result), partition=0)
    assert producer.flush(30) == 0
    recall = Recall(kafka_settings, Codec())
    try:
        with ThreadPoolExecutor(8) as pool:
            places = [Place(topic, 0, number % 8) for number in range(24)]
            assert list(pool.map(recall, places)) == results * 3
    finally:
        recall.close()
        admin.delete_topics([topic])[topic].result(30)
