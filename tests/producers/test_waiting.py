"""How long Kafka is waited for, and how a request to stop ends it."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from producers.waiting import SLICE_S, TimeLeft, call_again, slices, without_end
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.tools import free_port

#: Messages that librdkafka keeps (queue.buffering.max.messages).
ROOM = 100_000


class Clock:
    """Goes on when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_runs_from_the_request_on() -> None:
    clock, stop = Clock(), threading.Event()
    left = TimeLeft(stop, 20.0, clock)
    clock.now += 1000
    assert left() == float("inf")
    stop.set()
    assert left() == 20.0
    clock.now += 15
    assert left() == 5.0
    clock.now += 15
    assert left() == 0.0


def test_a_wait_is_made_of_slices_and_ends_early_when_no_time_is_left() -> None:
    clock, stop = Clock(), threading.Event()
    left = TimeLeft(stop, 0.75, clock)
    waited = []
    for wait_s in slices(10.0, left, clock):
        waited.append(wait_s)
        clock.now += wait_s
        if len(waited) == 2:
            stop.set()
    assert waited == [SLICE_S, SLICE_S, SLICE_S, 0.25]
    assert list(slices(10.0, left, clock)) == [0.0]
    assert list(slices(0.0, without_end, clock)) == [0.0]


def test_what_was_too_short_is_called_again_until_all_time_is_over() -> None:
    begun, waits = time.monotonic(), []

    def never(wait_s: float) -> None:
        waits.append(wait_s)
        time.sleep(wait_s)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, retriable=True))

    with pytest.raises(KafkaException):
        call_again(never, 2 * SLICE_S, without_end)
    assert sum(waits) == pytest.approx(2 * SLICE_S, abs=0.1)
    assert time.monotonic() - begun >= 2 * SLICE_S - 0.1

    def third(wait_s: float) -> None:
        if len(waits) < 3:
            never(0.0)

    waits.clear()
    call_again(third, 2.0, without_end)
    assert len(waits) == 3


@pytest.mark.parametrize(
    "error",
    [
        KafkaError(KafkaError._FENCED),
        # told as one to repeat, which is meant for the other call: an abort cannot end a commit under way
        KafkaError(KafkaError._CONFLICT, retriable=True),
    ],
    ids=["fenced", "conflict"],
)
def test_another_error_is_told_at_once(error: KafkaError) -> None:
    waits = []

    def refused(wait_s: float) -> None:
        waits.append(wait_s)
        raise KafkaException(error)

    with pytest.raises(KafkaException):
        call_again(refused, 2 * SLICE_S, without_end)
    assert len(waits) == 1


def test_a_queue_that_is_full_while_kafka_is_away_ends_with_the_time_that_is_left() -> None:
    stop = threading.Event()
    nobody = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    publisher = EventPublisher(nobody, Codec(), "/test/p", Telemetry(), time_left=TimeLeft(stop, 0.2))
    for _ in range(ROOM):
        publisher.publish_raw(Topic.AUDIT, b"k", b"v", [])
    failed: list[Exception] = []

    def publish() -> None:
        try:
            publisher.publish_raw(Topic.AUDIT, b"k", b"v", [])
        except DestinationUnavailable as error:
            failed.append(error)

    waiting = threading.Thread(target=publish, daemon=True)
    waiting.start()
    waiting.join(2 * SLICE_S)
    assert waiting.is_alive(), "there was room"
    stop.set()
    waiting.join(60)
    assert "queue is full" in str(failed)
