"""What ends a consumer, as real Kafka reports it among the messages, and what passes."""

from __future__ import annotations

import random
import time

import pytest
from confluent_kafka import KafkaError

from producers.kafka import consumer_config, new_consumer
from producers.poll_errors import go_on_after, has_ended
from schemas.errors import PermanentRejection
from schemas.settings import KafkaSettings
from schemas.topics import Topic


@pytest.mark.integration
def test_who_loses_its_place_to_another_of_the_same_name_ends(kafka_settings: KafkaSettings) -> None:
    config = consumer_config(kafka_settings, "test", f"test-{random.randrange(10**12)}", instance_id="node.worker")
    one, other = new_consumer(config), new_consumer(config)
    try:
        one.subscribe([Topic.CONTEXT])
        while not one.assignment():
            one.poll(0.1)
        other.subscribe([Topic.CONTEXT])
        deadline = time.monotonic() + 120
        with pytest.raises(PermanentRejection, match="SCANSTREAM_NODE"):
            while time.monotonic() < deadline:
                other.poll(0.1)
                message = one.poll(0.1)
                error = None if message is None else message.error()
                if error is not None:
                    go_on_after(error)
    finally:
        one.close()
        other.close()


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError.NOT_COORDINATOR])
def test_a_broker_that_is_away_is_waited_for(code: int) -> None:
    error = KafkaError(code)
    assert not has_ended(error)
    go_on_after(error)


@pytest.mark.parametrize("code", [KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID])
def test_a_code_of_an_ended_consumer_is_enough_without_its_flag(code: int) -> None:
    assert not KafkaError(code).fatal()
    assert has_ended(KafkaError(code))
