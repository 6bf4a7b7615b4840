"""A message is read again at its place; what the broker has deleted is said to be gone, and at once."""

from __future__ import annotations

import time
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
