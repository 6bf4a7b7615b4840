from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from producers.dimse.command import Command
from producers.dimse.pdu import PduType
from producers.store import InstanceStore
from producers.telemetry import Telemetry
from schemas.events import ArrivalHint, InstanceStored
from schemas.topics import Topic
from tests.integration.log_dump import dump
from tests.producers.dimse.peer import RELEASE_RQ, RawPeer, response_of, send_files, store_request
from tests.producers.forwarder import Forwarder
from tests.producers.listener import ARRIVALS, data_set_of
from tests.producers.store.data import DEMO, encoded, image
from tests.services import module, stop, wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration


@dataclass
class Gateway:
    """A running gateway process and its addresses."""

    child: subprocess.Popen[bytes]
    log: Path
    dimse: int
    url: str

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return log_lines(self.log)


def log_lines(log: Path) -> list[dict[str, Any]]:
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


@contextmanager
def gateway(directory: Path, kafka: str, node: str, **settings: str) -> Iterator[Gateway]:
    """``python -m producers.gateway`` on free ports, ready."""
    log = directory / f"gateway-{uuid.uuid4().hex}.log"
    environment = {
        "SCANSTREAM_DATA_DIR": str(directory),
        "SCANSTREAM_NODE": node,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "SCANSTREAM_GATEWAY_DIMSE_PORT": "0",
        "SCANSTREAM_GATEWAY_HTTP_PORT": "0",
        **settings,
    }
    with module("producers.gateway", environment=environment, log=log) as child:

        def ready() -> bool:
            assert child.poll() is None, log.read_text()
            return any(line["event"] == "ready" for line in log_lines(log))

        wait_for(ready, "the gateway")
        (dimse,) = (line["port"] for line in log_lines(log) if line["event"] == "DICOM listener open")
        (url,) = (line["url"] for line in log_lines(log) if line["event"] == "DICOMweb listener open")
        yield Gateway(child, log, dimse, url)


@pytest.fixture
def study() -> str:
    return f"2.25.{uuid.uuid4().int}"


def published(kafka: str, study: str) -> list[InstanceStored | ArrivalHint]:
    return [logged.event for logged in dump(kafka, [Topic.INSTANCES]) if logged.event.study_instance_uid == study]


def stored_bytes(directory: Path, study: str) -> dict[str, bytes]:
    """Data sets in the store of a gateway that has ended."""
    store = InstanceStore.open(directory / "gateway", ARRIVALS.stored, Telemetry())
    try:
        return {one.sop_instance_uid: data_set_of(one) for one in asyncio.run(store.instances_of(study))}
    finally:
        store.close()


class Sender(threading.Thread):
    """Sends images one after the other until the connection breaks; remembers what was acknowledged."""

    def __init__(self, port: int, images: dict[str, bytes]) -> None:
        super().__init__()
        self._port = port
        self._images = images
        self.acknowledged: list[str] = []
        self.refused: list[Command] = []

    def run(self) -> None:
        """Send all images."""
        try:
            with RawPeer(self._port) as peer:
                peer.associate()
                for sop, data in self._images.items():
                    peer.send(store_request(sop, data))
                    response = response_of(peer)
                    (self.acknowledged.append(sop) if response.status == 0 else self.refused.append(response))
                peer.send(RELEASE_RQ)
                assert peer.receive() == (PduType.RELEASE_RP, bytes(4))
        except (OSError, AssertionError):
            return


def images_of(study: str, sender: int, count: int) -> dict[str, bytes]:
    images = {}
    for number in range(1, count + 1):
        sop = f"{study[:50]}.{sender}.{number}"
        images[sop] = encoded(image(sop=sop, study=study, PixelData=os.urandom(20_000)))
    return images


def test_killed_while_receiving_loses_and_doubles_nothing(kafka: str, tmp_path: Path, study: str) -> None:
    """Every acknowledged image is on disk byte for byte, and on Kafka exactly once, over three kills."""
    images = [images_of(study, sender, 150) for sender in range(1, 4)]
    acknowledged: set[str] = set()
    for _ in range(3):
        with gateway(tmp_path, kafka, study) as running:
            senders = [Sender(running.dimse, part) for part in images]
            for sender in senders:
                sender.start()
            wait_for(lambda: sum(len(sender.acknowledged) for sender in senders) >= 60, "some images")  # noqa: B023 - called in this round
            running.child.send_signal(signal.SIGKILL)
            running.child.wait()
            for sender in senders:
                sender.join()
                acknowledged.update(sender.acknowledged)
        found = stored_bytes(tmp_path, study)
        assert acknowledged <= found.keys()
        assert all(data == images[int(sop.split(".")[-2]) - 1][sop] for sop, data in found.items())
    with gateway(tmp_path, kafka, study) as running:
        senders = [Sender(running.dimse, part) for part in images]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert [len(sender.acknowledged) for sender in senders] == [150, 150, 150]
        wait_for(lambda: len(instances(kafka, study)) >= 450, "all events")
        assert stop(running.child) == 0
    assert sorted(instances(kafka, study)) == sorted(sop for part in images for sop in part)
    assert len(stored_bytes(tmp_path, study)) == 450
    assert not [line for line in log_lines(running.log) if "traceback" in line]


def instances(kafka: str, study: str) -> list[str]:
    return [event.sop_instance_uid for event in published(kafka, study) if isinstance(event, InstanceStored)]


def test_takes_images_in_while_kafka_is_away(kafka: str, tmp_path: Path, study: str) -> None:
    images = images_of(study, 1, 20)
    port = free_port()
    with Forwarder(port, kafka) as network, gateway(tmp_path, f"127.0.0.1:{port}", study) as running:
        sender = Sender(running.dimse, images)
        sender.run()
        assert len(sender.acknowledged) == 20
        running.child.send_signal(signal.SIGKILL)
        running.child.wait()
        with gateway(tmp_path, f"127.0.0.1:{port}", study) as again:
            wait_for(lambda: any("Kafka is away" in line["event"] for line in again.lines()), "the complaint")
            network.open()
            wait_for(lambda: len(published(kafka, study)) >= 21, "all events")
            assert stop(again.child) == 0
    events = published(kafka, study)
    assert [event.sop_instance_uid for event in events[:-1] if isinstance(event, InstanceStored)] == list(images)
    assert isinstance(events[-1], ArrivalHint)


def test_demo_series_by_both_ways_in(kafka: str, tmp_path: Path, study: str) -> None:
    with gateway(tmp_path, kafka, study) as running:
        assert send_files(running.dimse, DEMO) == [0] * 20
        answer = httpx.get(f"{running.url}/studies", params={"PatientName": "DEMO*"}, timeout=30)
        assert answer.status_code == 200
        uid = answer.json()[0]["0020000D"]["Value"][0]
        wait_for(lambda: len(node_events(kafka, uid, study)) == 21, "all events")
        first = node_events(kafka, uid, study)[0]
        assert isinstance(first, InstanceStored)
        assert first.retrieve_url.startswith(f"{running.url}/studies/{uid}/series/")
        accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
        assert httpx.get(first.retrieve_url, headers=accept, timeout=30).status_code == 200


def node_events(kafka: str, uid: str, node: str) -> list[InstanceStored | ArrivalHint]:
    return [event for event in published(kafka, uid) if event.gateway == f"{node}.gateway"]


@pytest.mark.parametrize("name", ["SCANSTREAM_GATEWAY_DIMSE_PORT", "SCANSTREAM_GATEWAY_HTTP_PORT"])
def test_a_port_in_use_is_one_sentence_that_names_the_setting(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = {
            **os.environ,
            "SCANSTREAM_DATA_DIR": str(tmp_path),
            "SCANSTREAM_GATEWAY_DIMSE_PORT": "0",
            "SCANSTREAM_GATEWAY_HTTP_PORT": "0",
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
            name: str(taken.getsockname()[1]),
        }
        command = [sys.executable, "-m", "producers.gateway"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 78
    (sentence,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert sentence.startswith("scanstream gateway: ")
    assert name in sentence


def test_stops_within_seconds_when_told_to(tmp_path: Path, study: str) -> None:
    with gateway(tmp_path, f"127.0.0.1:{free_port()}", study) as running, RawPeer(running.dimse) as held:
        held.associate()
        started = time.monotonic()
        assert stop(running.child) == 0
        assert time.monotonic() - started < 15
        answer = held.receive()
        assert answer is not None
        assert answer[0] == PduType.ABORT
        assert running.lines()[-1]["event"] == "stopped"
