"""A gateway and pollers as processes, for the tests of this folder."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydicom.dataset import Dataset

from producers.dicomweb.media import parse_media_type
from producers.dicomweb.multipart import MultipartReader, PartBegin, PartData
from producers.store.part10 import split
from schemas.events import InstanceStored
from schemas.topics import Topic
from tests.integration.log_dump import dump
from tests.services import module, wait_for
from tests.studies import encoded, small_study
from tests.tools import free_port

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True)
class Running:
    """A process and its log."""

    child: subprocess.Popen[bytes]
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """Records of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Records with this text."""
        return [line for line in self.lines() if line["event"] == event]


@dataclass(frozen=True)
class Gateway:
    """A gateway that listens."""

    dimse_port: int
    http_port: int

    @property
    def url(self) -> str:
        """DICOMweb root."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def count(self, study: str) -> int:
        """Instances of a study that it has."""
        answer = httpx.get(f"{self.url}/studies/{study}/instances", timeout=60)
        return len(answer.json()) if answer.status_code == 200 else 0

    def data_sets(self, study: str) -> list[bytes]:
        """Data sets of a study as they are stored, in an order of their own."""
        return sorted(data_sets(f"{self.url}/studies/{study}"))


@contextmanager
def gateway(directory: Path, kafka: str, ports: Gateway | None = None) -> Iterator[Gateway]:
    """``python -m producers.gateway``, ready."""
    ports = ports or Gateway(free_port(), free_port())
    directory.mkdir(parents=True, exist_ok=True)
    environment = {
        "SCANSTREAM_DATA_DIR": str(directory),
        "SCANSTREAM_NODE": directory.parent.name,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "SCANSTREAM_GATEWAY_DIMSE_PORT": str(ports.dimse_port),
        "SCANSTREAM_GATEWAY_HTTP_PORT": str(ports.http_port),
    }
    log = directory / f"gateway-{time.monotonic_ns()}.log"
    with module("producers.gateway", environment=environment, log=log) as child:
        running = Running(child, log)

        def ready() -> bool:
            assert child.poll() is None, log.read_text()
            return bool(running.said("ready"))

        wait_for(ready, "the gateway")
        yield ports


@contextmanager
def poller(directory: Path, gateway_url: str, source: Mapping[str, Any], name: str = "pacs") -> Iterator[Running]:
    """``python -m producers.poller`` for one source, ready."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "sources.yaml"
    # JSON is YAML
    file.write_text(json.dumps({"sources": {name: {"poll_interval_s": 1, **source}}}), encoding="utf-8")
    environment = {
        "SCANSTREAM_DATA_DIR": str(directory),
        "SCANSTREAM_POLLER_SOURCES_FILE": str(file),
        "SCANSTREAM_POLLER_GATEWAY_URL": gateway_url,
    }
    log = directory / f"poller-{time.monotonic_ns()}.log"
    with module("producers.poller", name, environment=environment, log=log) as child:
        running = Running(child, log)

        def ready() -> bool:
            assert child.poll() is None, log.read_text()
            return bool(running.said("ready"))

        wait_for(ready, "the poller")
        yield running


def todays_study(number: str, slices: int = 6, size: int = 32) -> list[Dataset]:
    """A study of today with a Cyrillic name."""
    images = small_study(number, slices, size)
    for image in images:
        image.StudyDate, image.StudyTime = time.strftime("%Y%m%d", time.gmtime()), "000100"
    return images


def uid_of(study: Sequence[Dataset]) -> str:
    """Study Instance UID."""
    return str(study[0].StudyInstanceUID)


def put(orthanc: str, images: Sequence[Dataset]) -> None:
    """Store images in an Orthanc by its own API."""
    for image in images:
        answer = httpx.post(f"{orthanc}/instances", content=encoded(image), timeout=60)
        assert answer.status_code == 200, answer.text


def data_sets(url: str) -> list[bytes]:
    """Data sets that a WADO-RS retrieval brings, without the File Meta Information."""
    answer = httpx.get(url, headers={"Accept": AS_STORED}, timeout=60)
    assert answer.status_code == 200, answer.text
    kind = parse_media_type(answer.headers["Content-Type"])
    assert kind is not None
    parts: list[bytes] = []
    for event in MultipartReader(kind.parameters["boundary"], 1 << 30).feed(answer.content):
        if isinstance(event, PartBegin):
            parts.append(b"")
        elif isinstance(event, PartData):
            parts[-1] += event.data
    return [part[split(part)[1] :] for part in parts]


def events(kafka: str, studies: Sequence[Sequence[Dataset]]) -> list[str]:
    """SOP Instance UIDs of the events of some studies, sorted, once there are enough of them."""
    uids = {uid_of(study) for study in studies}
    found: list[str] = []

    def all_there() -> bool:
        found[:] = [
            logged.event.sop_instance_uid
            for logged in dump(kafka, [Topic.INSTANCES])
            if isinstance(logged.event, InstanceStored) and logged.event.study_instance_uid in uids
        ]
        return len(found) >= sum(map(len, studies))

    wait_for(all_there, "all events")
    return sorted(found)
