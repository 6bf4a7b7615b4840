"""The streams process on a real Kafka: killed, rebalanced, fed with rubbish, left without its broker."""

from __future__ import annotations

import random
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producers.kafka import consumer_config, new_consumer
from producers.messages import headers_of
from producers.topic_admin import create_topics
from schemas.errors import ConfigurationError
from schemas.events import AuditEvent, InferenceTask, StudyReady, TaskStatus
from schemas.headers import header
from schemas.settings import KafkaSettings
from schemas.topics import STREAMS_GROUP, WORKER_GROUP, Topic, dlq_topic, retry_topic
from streams.assignment import require_equal_partitions
from streams.partition import Source
from streams.retry import RetryScheduler
from streams.rules_file import DEFAULT_FILE
from tests.services import kafka_broker, wait_for
from tests.streams.running import Seen, Sender, processor
from tests.streams.samples import hint, instance, new_study
from tests.streams.test_routing import series, study, tasks_for

pytestmark = pytest.mark.integration

ALL = (Topic.STUDIES, Topic.TASKS_P1, Topic.TASKS_P3, Topic.STATUS, Topic.AUDIT)
IMAGES = 12


def exactly_once(seen: Seen, studies: list[str], revision: int = 1, images: int = IMAGES) -> None:
    """Each study has each revision once, with everything, and one task for each."""
    for uid in studies:
        ready = seen.studies(uid)
        assert [event.revision for event in ready] == list(range(1, revision + 1)), uid
        assert ready[-1].instance_count == images
        tasks = [task for task in seen.of(uid, InferenceTask) if isinstance(task, InferenceTask)]
        assert [task.revision for task in tasks] == list(range(1, revision + 1)), uid
        assert len({task.task_id for task in tasks}) == revision
        assert len(seen.of(uid, TaskStatus)) == revision


def settle(seen: Seen, seconds: float = 1.0) -> None:
    """Look a little longer, for what must not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen.poll()


def test_a_study_becomes_ready_once_and_a_late_image_makes_revision_two(kafka: str, tmp_path: Path) -> None:
    uid, ct, emergency = new_study(), new_study(), new_study()
    with processor(kafka, tmp_path / "log", node="n1") as child, Seen(kafka, *ALL) as seen:
        sender = Sender(kafka)
        images = [instance(uid, number, association="a") for number in range(IMAGES)]
        sender.send(*images, hint(uid, IMAGES, association="a"))
        sender.send(*(instance(ct, number, modality="CT", association="c") for number in range(3)))
        sender.send(
            *(instance(emergency, number, requested_procedure_priority="STAT") for number in range(IMAGES))
        )
        seen.wait_for([uid, emergency], InferenceTask)
        sender.send(*images)
        sender.send(instance(uid, 90), instance(uid, 91, own=True))
        seen.wait_for([uid], InferenceTask, 2)
        seen.wait_for([ct], AuditEvent)
        settle(seen)
        exactly_once(seen, [uid], revision=2, images=IMAGES + 1)
        exactly_once(seen, [emergency])
        assert len(seen.studies(ct)) == len(seen.of(ct, AuditEvent)) == 1
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0


def test_killed_at_random_moments_it_neither_loses_nor_doubles_a_study(kafka: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    studies = [new_study() for _ in range(50)]
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        DEFAULT_FILE.read_text(encoding="utf-8").replace("{ quiet_s: 5,", "{ quiet_s: 2,"), encoding="utf-8"
    )
    sender = Sender(kafka)

    def arrive() -> None:
        for uid in studies:
            for first in range(0, IMAGES, 4):
                sender.send(*(instance(uid, number) for number in range(first, first + 4)))
            time.sleep(chance.uniform(0.0, 1.0))

    arriving = threading.Thread(target=arrive)
    arriving.start()
    kills = 0
    with Seen(kafka, *ALL) as seen:
        while arriving.is_alive() or kills < 8:
            with processor(kafka, tmp_path / f"log{kills}", node="n1", wait=kills % 4 != 3, rules=rules) as child:
                end = time.monotonic() + chance.uniform(0.0, 4.0)
                while time.monotonic() < end:
                    seen.poll(0.02)
                child.kill()
                child.wait()
                kills += 1
        with processor(kafka, tmp_path / "last", node="n1", rules=rules):
            seen.wait_for(studies, TaskStatus)
            settle(seen, 4.0)
        arriving.join()
        exactly_once(seen, studies)


def test_of_two_processes_with_one_name_the_later_works_and_the_other_ends_with_a_sentence(
    kafka: str, tmp_path: Path
) -> None:
    uid = new_study()
    with (
        Seen(kafka, *ALL) as seen,
        processor(kafka, tmp_path / "one", node="n1") as one,
        processor(kafka, tmp_path / "two", node="n1"),
    ):
        assert one.wait(60) == 1
        Sender(kafka).send(*(instance(uid, number) for number in range(IMAGES)))
        seen.wait_for([uid], TaskStatus)
        settle(seen)
    exactly_once(seen, [uid])
    assert "another process took the place of n1.streams in the group" in (tmp_path / "one").read_text()


def test_two_processes_share_the_partitions_and_hand_them_over(kafka: str, tmp_path: Path) -> None:
    studies = [new_study() for _ in range(40)]
    sender = Sender(kafka)
    with Seen(kafka, *ALL) as seen, processor(kafka, tmp_path / "one", node="n1") as one:
        for uid in studies[:20]:
            sender.send(*(instance(uid, number) for number in range(4)))
        log = tmp_path / "two"
        with processor(kafka, log, node="n2", wait=False):
            for uid in studies[:20]:
                sender.send(*(instance(uid, number) for number in range(4, IMAGES)))
            wait_for(lambda: '"ready"' in log.read_text(), "the second process to get partitions")
            for uid in studies[20:]:
                sender.send(*(instance(uid, number) for number in range(IMAGES)))
            one.kill()
            one.wait()
            seen.wait_for(studies, TaskStatus)
            settle(seen, 6.0)
    exactly_once(seen, studies)


def test_what_cannot_be_understood_is_put_aside_and_the_rest_goes_on(kafka: str, tmp_path: Path) -> None:
    uid = new_study()
    rubbish = b"\xc3\x01" + random.randbytes(40)
    letters = new_consumer(
        consumer_config(KafkaSettings(bootstrap_servers=kafka), "test", f"test-{random.randrange(10**12)}")
    )
    letters.subscribe([dlq_topic(STREAMS_GROUP)])
    with processor(kafka, tmp_path / "log", node="n1"), Seen(kafka, *ALL) as seen:
        sender = Sender(kafka)
        sender.send(*(instance(uid, number) for number in range(IMAGES)))
        sender.send_bytes(Topic.INSTANCES, uid.encode(), rubbish)
        seen.wait_for([uid], TaskStatus)
        exactly_once(seen, [uid])

        found = None

        def arrived() -> bool:
            nonlocal found
            message = letters.poll(0.5)
            if message is not None and message.error() is None and message.value() == rubbish:
                found = message
            return found is not None

        wait_for(arrived, "the dead letter")
        assert found is not None
        told = headers_of(found)
        assert found.key() == uid.encode()
        assert header(told, "scanstream_topic") == Topic.INSTANCES
        assert header(told, "scanstream_error") == "UnknownSchema"
        assert header(told, "scanstream_consumer_group") == STREAMS_GROUP
        assert header(told, "traceparent") == "00-0-0-00"
        assert int(header(told, "scanstream_offset") or -1) >= 0
    letters.close()


def test_a_failed_task_comes_back_on_its_priority_topic_when_it_is_due(kafka: str, tmp_path: Path) -> None:
    uid = new_study()
    ready = replace(study(series(1, 20)), study_instance_uid=uid)
    first = tasks_for(ready)[0]
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=15)
    again = replace(first, attempt=2, not_before=due, excluded_nodes=("node-1",))
    sender = Sender(kafka)
    with Seen(kafka, *ALL) as seen:
        with processor(kafka, tmp_path / "one", node="n1"):
            sender.send_to(retry_topic(WORKER_GROUP), uid, again)
            settle(seen)
        assert seen.events[uid] == []
        with processor(kafka, tmp_path / "two", node="n1"):
            seen.wait_for([uid], TaskStatus)
            settle(seen)
    (task,) = seen.of(uid, InferenceTask)
    (status,) = seen.of(uid, TaskStatus)
    assert task == again
    assert isinstance(status, TaskStatus)
    assert status.attempt == 2
    assert status.occurred_at >= due


def test_a_changelog_that_cannot_lie_beside_its_input_is_refused(kafka_settings: KafkaSettings) -> None:
    source = Source(Topic.STATUS, lambda _latest, _at: RetryScheduler(), changelog=Topic.RELAY)
    consumer = new_consumer(consumer_config(kafka_settings, "test", "test-refused"))
    with pytest.raises(ConfigurationError, match=r"imaging\.relay has 1 partitions and inference\.status has 6"):
        require_equal_partitions(consumer, [source])
    consumer.close()


def test_a_broker_that_restarts_costs_nothing_but_time(tmp_path: Path) -> None:
    studies = [new_study() for _ in range(10)]
    directory = tmp_path / "kafka"
    directory.mkdir()
    log = tmp_path / "log"
    with kafka_broker(directory) as servers:
        create_topics(KafkaSettings(bootstrap_servers=servers))
        sender = Sender(servers)
        for uid in studies:
            sender.send(*(instance(uid, number) for number in range(IMAGES)))
        port = int(servers.rpartition(":")[2])
        running = processor(servers, log, node="n1")
        child = running.__enter__()
    try:
        time.sleep(8.0)  # the quiet periods end while the broker is away
        with kafka_broker(directory, port) as servers, Seen(servers, *ALL) as seen:
            seen.wait_for(studies, TaskStatus)
            sender.send(instance(studies[0], 77))
            seen.wait_for(studies[:1], StudyReady, 2)
            settle(seen)
            exactly_once(seen, studies[1:])
            exactly_once(seen, studies[:1], revision=2, images=IMAGES + 1)
            assert child.poll() is None
        assert log.read_text().count("waiting for Kafka") <= 2
    finally:
        running.__exit__(None, None, None)
