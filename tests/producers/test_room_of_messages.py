"""Messages at the limit of the broker: what is refused can be put aside, and what is taken can be tried again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaException, Producer

from producers.kafka import producer_config
from schemas.errors import InvalidMessage
from schemas.headers import Headers, failure, header, letter, require_room
from schemas.settings import KafkaSettings
from schemas.topics import MAX_MESSAGE_BYTES

TOLD: Headers = [("ce_id", b"1"), ("ce_source", "ї".encode() * 100)]
LARGEST = MAX_MESSAGE_BYTES - 40_000


@pytest.fixture
def client() -> Iterator[Producer]:
    """As our publishers have it; no broker is needed to be told that a message is too large."""
    config = producer_config(KafkaSettings(bootstrap_servers="127.0.0.1:9"), "test", None)
    client = Producer({**config, "log_level": 0})
    yield client
    client.purge()


def failed(told: Headers) -> Headers:
    error = InvalidMessage("ї" * 5000)
    return failure(
        told, topic="t", partition=1, offset=2, consumer_group="g", attempt=1, error=error, failed_at="now"
    )


@pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES - 100, MAX_MESSAGE_BYTES, 3 * MAX_MESSAGE_BYTES])
def test_what_came_compressed_and_is_too_large_is_put_aside_without_its_value(client: Producer, size: int) -> None:
    value = bytes(size)
    with pytest.raises(InvalidMessage, match="bytes"):
        require_room(b"key", value, TOLD)
    with pytest.raises(KafkaException):
        client.produce("dlq", value=value, key=b"key", headers=list(failed(TOLD)))
    key, kept, told = letter(b"key", value, failed(TOLD))
    client.produce("dlq", value=kept, key=key, headers=list(told))
    assert (key, kept) == (b"key", None)
    assert header(told, "scanstream_omitted") == str(size)
    assert header(told, "scanstream_offset") == "2"


@pytest.mark.parametrize(
    ("key", "told"), [(bytes(2 * MAX_MESSAGE_BYTES), TOLD), (b"k", [("x", bytes(MAX_MESSAGE_BYTES))])]
)
def test_so_is_one_whose_key_or_headers_are_too_large(client: Producer, key: bytes, told: Headers) -> None:
    with pytest.raises(InvalidMessage):
        require_room(key, b"value", told)
    kept, value, more = letter(key, b"value", failed(told))
    client.produce("dlq", value=value, key=kept, headers=list(more))
    assert header(more, "scanstream_omitted") == "5"


def test_the_largest_that_is_taken_can_be_tried_again_and_again(client: Producer) -> None:
    value, told = bytes(LARGEST), failed(failed(TOLD))
    require_room(b"key", value, told)
    assert letter(b"key", value, told) == (b"key", value, told)
    client.produce("retry", value=value, key=b"key", headers=list(told))


def test_what_has_no_value_has_room() -> None:
    require_room(None, None, None)
    assert letter(None, None, []) == (None, None, [])
