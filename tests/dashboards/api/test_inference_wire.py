"""The inference API as processes on a real Kafka: two at once, one that was killed, and streams of events."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import Event, InferenceTask, NodeHeartbeat, StudyReady, TaskCommand, TaskState, TaskStatus
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, Topic
from tests.dashboards.fleet import heartbeat, study
from tests.dashboards.story import MODEL, Story
from tests.services import module, stop, wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration


class Site:
    """API processes on one Kafka, and what the test writes and reads there."""

    def __init__(self, settings: KafkaSettings, folder: Path) -> None:
        self.settings = settings
        self._folder = folder
        self._publisher = EventPublisher(settings, Codec(), "/test/api", Telemetry())
        self.uid = f"1.2.{time.time_ns()}"

    def tell(self, *events: Event) -> None:
        for event in events:
            match event:
                case StudyReady():
                    topic, key = Topic.STUDIES, event.study_instance_uid
                case NodeHeartbeat():
                    topic, key = Topic.NODES, event.node
                case TaskStatus():
                    topic, key = Topic.STATUS, event.task_id
                case _:
                    raise AssertionError(event)
            self._publisher.publish(topic, key, event)
        self._publisher.flush()

    def ready(self) -> Story:
        story = Story(self.uid, start=datetime.now(UTC).replace(microsecond=0))
        self.tell(study(story), heartbeat(datetime.now(UTC), f"node-{self.uid}"))
        return story

    def there(self, *topics: Topic) -> list[Event]:
        """Events of our study that are committed now."""
        consumer = new_consumer(consumer_config(self.settings, "look", f"look-{time.time_ns()}", fetch_wait_ms=50))
        found, codec = list[Event](), Codec()
        with closing(consumer):
            known = consumer.list_topics(timeout=10).topics
            places = [(topic, number) for topic in topics for number in known[topic].partitions]
            ends = {}
            for place in places:
                ends[place] = consumer.get_watermark_offsets(TopicPartition(*place), timeout=10)[1]
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in places])

            def all_read() -> bool:
                at = {
                    (p.topic, p.partition): p.offset
                    for p in consumer.position([TopicPartition(*p) for p in places])
                }
                return all(ends[place] == 0 or at[place] >= ends[place] for place in places)

            idle = 0
            while idle < 20 and not all_read():
                message = consumer.poll(0.1)
                idle = idle + 1 if message is None else 0
                value = None if message is None or message.error() else message.value()
                if value is None:
                    continue
                try:
                    event = codec.decode(value)
                except InvalidMessage:
                    continue
                if getattr(event, "study_instance_uid", None) == self.uid:
                    found.append(event)
        return found

    @contextmanager
    def api(self, name: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
        port = free_port()
        environment = os.environ | {
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "SCANSTREAM_API_PORT": str(port),
            "SCANSTREAM_DATA_DIR": str(self._folder / name),
        }
        child = subprocess.Popen([sys.executable, "-m", "dashboards.api"], env=environment)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_for(lambda: _ready(client), "the API")
                yield client, child
        finally:
            stop(child)


@pytest.fixture
def site(kafka_settings: KafkaSettings, tmp_path: Path) -> Site:
    return Site(kafka_settings, tmp_path)


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").is_success
    except httpx.TransportError:
        return False


def _known(client: httpx.Client, path: str) -> Callable[[], bool]:
    return lambda: client.get(path).is_success


def _over(client: httpx.Client, task: str) -> bool:
    return client.get(task).json()["status"] in ("completed", "failed", "cancelled")


def _ask(client: httpx.Client, uid: str, key: str, **more: Any) -> httpx.Response:
    asked = {"study_instance_uid": uid, "model": MODEL, **more}
    return client.post("/v1/inference", json=asked, headers={"idempotency-key": key})


def test_two_processes_that_are_asked_at_once_make_one_task(site: Site) -> None:
    site.ready()
    with ExitStack() as stack:
        first, _ = stack.enter_context(site.api("first"))
        second, killed = stack.enter_context(site.api("second"))
        for client in (first, second):
            wait_for(_known(client, f"/studies/{site.uid}"), "the study")
            wait_for(_known(client, f"/v1/models/{MODEL}"), "the model")
        begin = threading.Barrier(8)

        def ask(number: int) -> httpx.Response:
            begin.wait()
            return _ask((first, second)[number % 2], site.uid, f"key {site.uid} {number // 4}")

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(8)))
        assert [one.status_code for one in answers] == [202] * 8, [one.text for one in answers]
        ids = [one.json()["task_id"] for one in answers]
        assert len(set(ids[:4])) == len(set(ids[4:])) == 1
        assert ids[0] != ids[4]
        assert sum("idempotency-replayed" not in one.headers for one in answers) == 2

        # the same key with something else, at the process that did not write it
        other = _ask(second, site.uid, f"key {site.uid} 0", priority="p1-emergency")
        assert other.status_code == 422
        # a process that is killed leaves nothing half done
        killed.kill()
        killed.wait()
        again = _ask(first, site.uid, f"key {site.uid} 1")
        assert (again.status_code, again.json()["task_id"]) == (202, ids[4])

        cancelled = first.post(f"/v1/tasks/{ids[0]}/cancel", json={"actor": "o.koval"})
        assert cancelled.status_code == 202
        events = site.there(*TASK_TOPICS.values(), Topic.STATUS, Topic.COMMANDS)
    made = [event.task_id for event in events if isinstance(event, InferenceTask)]
    queued = [event.task_id for event in events if isinstance(event, TaskStatus)]
    commands = [event for event in events if isinstance(event, TaskCommand)]
    assert sorted(made) == sorted(queued) == sorted({ids[0], ids[4]})
    assert [(event.task_id, event.actor) for event in commands] == [(ids[0], "o.koval")]


def test_events_go_on_where_they_stopped(site: Site) -> None:
    story = site.ready()
    states = (TaskState.PREPROCESSING, TaskState.INFERRING, TaskState.POSTPROCESSING, TaskState.COMPLETED)
    with site.api("one") as (client, _), site.api("two") as (other, _):
        site.tell(story.status(TaskState.QUEUED, 1))
        for one in (client, other):
            wait_for(_known(one, f"/v1/tasks/{story.task_id}"), "the task")
        path = f"/v1/tasks/{story.task_id}/events"
        with client.stream("GET", path) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            events = _events(stream)
            assert next(events)[1] == "queued"
            site.tell(story.status(states[0], 2), story.status(states[1], 3))
            assert next(events)[1] == "preprocessing"
            at, state = next(events)
            assert state == "inferring"
        site.tell(story.status(states[2], 4))
        wait_for(lambda: other.get(path[:-7]).json()["status"] == "postprocessing", "the status")
        # another process goes on after the event that was seen last
        with other.stream("GET", path, headers={"last-event-id": at}) as stream:
            events = _events(stream)
            assert next(events)[1] == "postprocessing"
            site.tell(story.status(states[3], 5, progress=100))
            at, state = next(events)
            assert state == "completed"
            assert next(events, None) is None, "the stream ends with the task"
        assert other.get(path, headers={"last-event-id": at}).status_code == 204
        assert other.get(path, headers={"last-event-id": "x"}).status_code == 422
        with other.stream("GET", f"/v1/events?study={site.uid}", headers={"last-event-id": at}) as stream:
            events = _events(stream)
            site.tell(story.status(TaskState.FAILED, 6))
            assert next(events)[1] == "failed"


def test_a_cancellation_reaches_the_worker_that_holds_the_task(site: Site, tmp_path: Path) -> None:
    node = f"node-{time.time_ns()}"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": site.settings.bootstrap_servers,
        "SCANSTREAM_DATA_DIR": str(tmp_path / "worker"),
        "SCANSTREAM_NODE": node,
    }
    # nobody listens there, so the worker waits for the images
    away = f"http://127.0.0.1:{free_port()}/dicom-web/studies/{site.uid}"
    ready = study(Story(site.uid, start=datetime.now(UTC).replace(microsecond=0)))
    images = tuple(f"{site.uid}.1.{number}" for number in range(1, 31))
    series = replace(ready.series[0], sop_instance_uids=images, body_part_examined="BRAIN", orientation="axial")
    site.tell(replace(ready, retrieve_url=away, series=(series,)))
    log = tmp_path / "worker.log"
    with site.api("one") as (client, _), module("streams.worker", environment=environment, log=log) as worker:
        nodes = lambda: {one["node"]: one for one in client.get("/v1/nodes").json()["nodes"]}  # noqa: E731

        def serves() -> bool:
            assert worker.poll() is None, log.read_text()
            return nodes().get(node, {}).get("state") == "ready"

        wait_for(serves, "the worker")
        wait_for(_known(client, f"/studies/{site.uid}"), "the study")
        answer = _ask(client, site.uid, site.uid, model="mri-brain-segmentation", priority="p1-emergency")
        task = answer.json()["links"]["self"]
        wait_for(lambda: client.get(task).json()["node"] == node, "the worker to begin")
        assert client.post(f"{task}/cancel", json={"actor": "o.koval"}).status_code == 202
        wait_for(lambda: _over(client, task), "the worker to obey")
        assert client.get(task).json()["status"] == "cancelled", log.read_text()


def _events(stream: httpx.Response) -> Iterator[tuple[str, str]]:
    """Id and state of each event, until the stream ends."""
    at = ""
    for line in stream.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            at = value
        elif name == "data":
            yield at, orjson.loads(value)["status"]
