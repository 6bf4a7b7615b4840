"""The API as a process: against a real Kafka, without one, and with its port taken."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import DeliveryOutcome, InferenceResult, InferenceTask, StudyReady, TaskStatus
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, Topic
from tests.dashboards.story import Story
from tests.tools import free_port

PATIENCE_S = 60


def topic_of(
    event: StudyReady | InferenceTask | TaskStatus | InferenceResult | DeliveryOutcome,
) -> tuple[Topic, str]:
    """Topic and key of an event."""
    match event:
        case StudyReady():
            return Topic.STUDIES, event.study_instance_uid
        case InferenceTask():
            return TASK_TOPICS[event.priority], event.study_instance_uid
        case TaskStatus():
            return Topic.STATUS, event.task_id
        case InferenceResult():
            return Topic.RESULTS, event.study_instance_uid
        case DeliveryOutcome():
            return Topic.DELIVERY, event.task_id


def fresh_story(root: str) -> Story:
    """One of today: where the shared log holds very many studies, the view forgets old ones at once."""
    return Story(f"{root}.{time.time_ns()}", start=datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1))


@contextmanager
def api(tmp_path: Path, bootstrap: str) -> Iterator[httpx.Client]:
    port = free_port()
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "SCANSTREAM_API_PORT": str(port),
        "SCANSTREAM_DATA_DIR": str(tmp_path),
    }
    process = subprocess.Popen([sys.executable, "-m", "dashboards.api"], env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            until(lambda: answers(client))
            yield client
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").is_success
    except httpx.TransportError:
        return False


def until(condition) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.mark.integration
def test_events_of_a_real_log_are_seen(tmp_path: Path, kafka_settings: KafkaSettings):
    before, after = fresh_story("1.2"), fresh_story("1.3")
    publisher = EventPublisher(kafka_settings, Codec(), "/test/api", Telemetry(), f"test-api-{time.time_ns()}")
    publisher.start()

    def publish(story: Story) -> None:
        with publisher.transaction() as transaction:
            for event in story.whole():
                topic, key = topic_of(event)
                transaction.publish(topic, key, event)

    publish(before)
    with pytest.raises(RuntimeError, match="undone"), publisher.transaction() as transaction:
        transaction.publish(Topic.STUDIES, "1.4", Story("1.4").ready())
        raise RuntimeError("undone")
    with publisher.transaction() as transaction:
        transaction.publish_raw(Topic.STUDIES, b"x", b"not an event", [])
    with api(tmp_path, kafka_settings.bootstrap_servers) as client:
        until(lambda: client.get("/health/ready").is_success)
        # a writer of another test may have left a transaction open, behind which nothing is readable for a while
        until(lambda: len(client.get(f"/studies/{before.uid}").json().get("objects", [])) == 3)
        study = client.get(f"/studies/{before.uid}").json()
        assert study["tasks"][0]["state"] == "completed"
        assert client.get("/studies/1.4").status_code == 404

        publish(after)
        until(lambda: client.get(f"/studies/{after.uid}").is_success)
        until(lambda: len(client.get(f"/studies/{after.uid}").json()["objects"]) == 3)


@pytest.mark.integration
def test_a_verdict_is_in_the_log_with_the_whole_result(tmp_path: Path, kafka_settings: KafkaSettings) -> None:
    story = fresh_story("1.5")
    publisher = EventPublisher(kafka_settings, Codec(), "/test/api", Telemetry())
    for event in story.whole():
        topic, key = topic_of(event)
        publisher.publish(topic, key, event)
    publisher.flush()
    (finding,) = story.result().findings
    verdict = {"task_id": story.task_id, "decision": "confirmed", "reviewer": "o.koval"}
    with api(tmp_path, kafka_settings.bootstrap_servers) as client:
        until(lambda: client.get("/health/ready").is_success)
        until(lambda: (client.get(f"/tasks/{story.task_id}").json().get("result") or {}).get("findings"))
        answer = client.post(f"/findings/{finding.finding_id}/adjudication", json=verdict)
        assert answer.status_code == 201
    with api(tmp_path, kafka_settings.bootstrap_servers) as client:
        until(lambda: client.get("/health/ready").is_success)

        def shown() -> object:
            result = client.get(f"/tasks/{story.task_id}").json().get("result") or {}
            return [finding.get("verdict") for finding in result.get("findings", [])]

        until(lambda: shown() == [answer.json()])
        again = client.post(f"/findings/{finding.finding_id}/adjudication", json=verdict)
        assert (again.status_code, again.json()) == (200, answer.json())


@pytest.mark.integration
def test_without_kafka_it_serves_and_says_so(tmp_path: Path):
    with api(tmp_path, f"127.0.0.1:{free_port()}") as client:
        until(lambda: "does not answer" in client.get("/health/ready").json()["detail"])
        assert client.get("/health/ready").status_code == 503
        assert client.get("/fhir/metadata").is_success


def test_a_taken_port_is_one_sentence(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = os.environ | {"SCANSTREAM_API_PORT": str(port), "SCANSTREAM_DATA_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", "dashboards.api"], env=environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 78
    assert f"port {port} on 127.0.0.1 cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr
