"""Workitems on a real Kafka: one is created and cancelled at one process of the API, and heard of at another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from pydicom import Dataset
from websockets.sync.client import connect

from producers.dicomweb.native_xml import to_xml
from producers.kafka import consumer_config, new_consumer
from schemas.events import TaskState, TaskStatus
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.dashboards.api.test_inference_wire import Site
from tests.dashboards.api.test_ups import JSON, as_json, new_workitem, read
from tests.dashboards.api.test_ups_cancel import DUPLICATE, coded, request
from tests.dashboards.story import Story
from tests.services import module, wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration

#: In ASCII, which no log writes in another way.
SECRET, NAME, URI = "ordered twice by mistake", "Iryna Bondar", "tel:+380441234567"


@contextmanager
def api(site: Site, folder: Path, name: str) -> Iterator[tuple[httpx.Client, Path]]:
    """A process of the API with a log of its own."""
    port, log = free_port(), folder / f"{name}.log"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": site.settings.bootstrap_servers,
        "SCANSTREAM_API_PORT": str(port),
        "SCANSTREAM_DATA_DIR": str(folder / name),
    }
    with (
        module("dashboards.api", environment=environment, log=log) as child,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):

        def ready() -> bool:
            assert child.poll() is None, log.read_text()
            try:
                return client.get("/health/ready").is_success
            except httpx.TransportError:
                return False

        wait_for(ready, "the API")
        yield client, log


def envelope_of(settings: KafkaSettings, task_id: str) -> bytes:
    """Key and headers of the command to a task."""
    consumer = new_consumer(consumer_config(settings, "look", f"look-{time.time_ns()}", fetch_wait_ms=50))
    found = list[bytes]()
    with closing(consumer):
        numbers = consumer.list_topics(timeout=10).topics[Topic.COMMANDS].partitions
        consumer.assign([TopicPartition(Topic.COMMANDS, number, OFFSET_BEGINNING) for number in numbers])

        def seen() -> bool:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None and message.key() == task_id.encode():
                found.append(message.key() + b"".join(value or b"" for _, value in message.headers() or []))
            return bool(found)

        wait_for(seen, "the command")
    return found[0]


def test_a_cancellation_with_its_reasons_is_heard_of_at_another_process(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    site = Site(kafka_settings, tmp_path)
    story, uid = site.ready(), f"1.2.840.{time.time_ns()}"
    given = Dataset()
    given.StudyInstanceUID, given.TypeOfInstances = story.uid, "DICOM"
    with ExitStack() as stack:
        one, first_log = stack.enter_context(api(site, tmp_path, "one"))
        two, second_log = stack.enter_context(api(site, tmp_path, "two"))
        for client in (one, two):
            wait_for(lambda client=client: client.get(f"/studies/{story.uid}").is_success, "the study")
            wait_for(lambda client=client: client.get("/v1/models/brain-test").is_success, "the model")
        item = new_workitem(InputInformationSequence=[given], PatientName="Ґалаґан^Євгенія")
        xml = {"content-type": "application/dicom+xml"}
        made = one.post(f"/workitems?{uid}", content=to_xml(item.to_json_dict()), headers=xml)
        assert made.status_code == 201, made.text
        assert "PatientName" in made.headers["warning"]
        wait_for(lambda: two.get(f"/workitems/{uid}").is_success, "the workitem")
        taken = two.post(f"/workitems?{uid}", content=as_json(item), headers=JSON)
        assert taken.status_code == 409
        subscribed = two.post(f"/workitems/{uid}/subscribers/RIS")
        assert subscribed.status_code == 201
        why = request(
            ReasonForCancellation=SECRET,
            ProcedureStepDiscontinuationReasonCodeSequence=[coded(DUPLICATE)],
            ContactDisplayName=NAME,
            ContactURI=URI,
        )
        with connect(subscribed.headers["content-location"]) as channel:
            assert Dataset.from_json(channel.recv(60)).ProcedureStepState == "SCHEDULED"
            asked = one.post(f"/workitems/{uid}/cancelrequest", content=as_json(why), headers=JSON)
            assert asked.status_code == 202, asked.text
            report = Dataset.from_json(channel.recv(60))
            assert (report.EventTypeID, report.AffectedSOPInstanceUID, report.RequestingAE) == (2, uid, "ups")
            for element in why:
                assert report[element.tag].value == element.value
            task_id = two.get("/v1/tasks", params={"study": story.uid}).json()["tasks"][0]["task_id"]
            site.tell(cancelled(story, task_id))
            states = [Dataset.from_json(channel.recv(60)).ProcedureStepState for _ in range(2)]
            assert states == ["IN PROGRESS", "CANCELED"]
        for client in (one, two):
            wait_for(lambda client=client: state_of(client, uid) == "CANCELED", "the end")
            [item] = read(client.get(f"/workitems/{uid}"))
            [progress] = item.ProcedureStepProgressInformationSequence
            assert progress.ReasonForCancellation == SECRET
            assert progress.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == DUPLICATE.value
            again = client.post(f"/workitems/{uid}/cancelrequest")
            assert (again.status_code, "already in the requested state" in again.headers["warning"]) == (202, True)
            for text in (SECRET, NAME, URI):
                assert text not in client.get("/metrics").text
        envelope = envelope_of(kafka_settings, task_id)
    for text in (SECRET, NAME, URI):
        for written in (first_log.read_bytes(), second_log.read_bytes(), envelope, str(asked.headers).encode()):
            assert text.encode() not in written


def cancelled(story: Story, task_id: str) -> TaskStatus:
    status = story.status(TaskState.CANCELLED, 3)
    return replace(status, task_id=task_id, occurred_at=datetime.now(UTC), reason=f"cancelled by ups: {SECRET}")


def state_of(client: httpx.Client, uid: str) -> str:
    [item] = read(client.get(f"/workitems/{uid}"))
    return str(item.ProcedureStepState)
