"""A stop has its time: also while Kafka stands still in the middle of a transaction, and with much to write."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from producers.kafka import TRANSACTION_TIMEOUT_MS, EventPublisher
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from producers.waiting import TimeLeft
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.events import InferenceResult, TaskState
from schemas.settings import KafkaSettings
from schemas.topics import Priority, Topic
from tests.services import kafka_broker
from tests.streams.worker.site import submit, watch
from tests.streams.worker.test_workers import all_done, fresh, ready, toy

pytestmark = pytest.mark.integration

#: Seconds from a request to stop until the process is gone.
PROMISED_S = 30.0


def descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from descendants(child)


@contextmanager
def frozen(directory: Path) -> Iterator[None]:
    """The broker of this directory stands still: connections stay open and nothing is answered."""
    (broker,) = (
        pid
        for pid in descendants(os.getpid())
        if b"kafka.Kafka" in (words := Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
        and words[0].endswith(b"java")
        and str(directory).encode() in b"".join(words)
    )
    os.kill(broker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker, signal.SIGCONT)


def test_a_commit_that_kafka_does_not_answer_ends_with_the_time_that_is_left(tmp_path: Path) -> None:
    directory, stop = tmp_path / "kafka", threading.Event()
    directory.mkdir()
    with kafka_broker(directory) as servers:
        settings = KafkaSettings(bootstrap_servers=servers)
        create_topics(settings)
        left = TimeLeft(stop, 1.0)
        publisher = EventPublisher(settings, Codec(), "/test/p", Telemetry(), "test.stop", time_left=left)
        publisher.start(60)
        with frozen(directory):
            stop.set()
            asked = time.monotonic()
            with pytest.raises(DestinationUnavailable), publisher.transaction() as transaction:
                transaction.publish_raw(Topic.AUDIT, b"k", b"v", [])
            assert time.monotonic() - asked < TRANSACTION_TIMEOUT_MS / 1000 / 3


def test_a_stop_while_kafka_stands_still_ends_in_time_and_the_next_owner_answers_each_task_once(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "kafka"
    directory.mkdir()
    with kafka_broker(directory) as servers:
        settings = KafkaSettings(bootstrap_servers=servers)
        create_topics(settings)
        with watch(settings) as out:
            with toy(settings, tmp_path, step_s=0.02, SCANSTREAM_WORKER_DRAIN_S="20") as child:
                ready(out, "node-1")
                tasks = [fresh(indication="steps=1") for _ in range(150)]
                long = fresh(Priority.P2_URGENT, indication="steps=2000")
                submit(settings, *tasks, long)
                out.until(lambda: TaskState.INFERRING in out.states(long.task_id), "it to compute")
                out.until(lambda: len(out.all(InferenceResult)) > 20, "the first results")
                with frozen(directory):
                    child.terminate()
                    asked = time.monotonic()
                    child.wait(120)
                    took_s = time.monotonic() - asked
            assert took_s < PROMISED_S
            with toy(settings, tmp_path, step_s=0.0001):
                out.until(lambda: all_done(out, [*tasks, long]), "everything", 180)
            out.read(1.0)
            assert len(out.all(InferenceResult)) == len(tasks) + 1
