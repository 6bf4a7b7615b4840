"""kill -9 of a gateway under sixteen senders, again and again: with a broker, without one, and on a full disk.

After each kill, and while it serves, everything that was ever acknowledged is there byte for byte, everything that
is there is whole, and on the log each stands exactly once.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from producers.arrival import Arrivals
from producers.store import InstanceStore
from producers.telemetry import Telemetry
from schemas.events import InstanceStored
from schemas.topics import Topic
from tests.integration.log_dump import dump
from tests.integration.modalities import Fleet
from tests.producers.forwarder import Forwarder
from tests.producers.test_gateway import Gateway, gateway, log_lines
from tests.services import stop, wait_for
from tests.tools import free_port, missing

pytestmark = pytest.mark.integration

ROUNDS = 20
SENDERS = 16
ARRIVALS = Arrivals("test.gateway", "http://127.0.0.1:1/dicom-web", "/test/gateway")
WHOLE_FILE = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}


def new_root() -> str:
    return f"1.2.{uuid.uuid4().int % 10**20}"


def kill(running: Gateway) -> None:
    running.child.send_signal(signal.SIGKILL)
    running.child.wait(60)


def check_served(url: str, fleet: Fleet, chance: random.Random) -> None:
    """A study as QIDO-RS lists it and WADO-RS gives it: whole instances that somebody sent, byte for byte."""
    before = fleet.acknowledged()
    study = chance.choice(sorted(fleet.offered())).rpartition(".")[0]
    listed = httpx.get(f"{url}/studies/{study}/instances", timeout=60)
    items = listed.json() if listed.status_code == 200 else []
    sops = {item["00080018"]["Value"][0]: item["00081190"]["Value"][0] for item in items}
    assert {sop for sop in before if sop.startswith(f"{study}.")} <= sops.keys()
    for sop, place in list(sops.items())[:5]:
        answer = httpx.get(place, headers=WHOLE_FILE, timeout=60)
        assert answer.status_code == 200
        assert fleet.offered()[sop] in answer.content


def check_stored(directory: Path, fleet: Fleet) -> set[str]:
    """Everything acknowledged is in the store of a gateway that has ended, and all that is there was sent so."""
    acknowledged, offered = fleet.acknowledged(), fleet.offered()
    store = InstanceStore.open(directory / "gateway", ARRIVALS.stored, Telemetry())
    try:
        studies = [row["StudyInstanceUID"] for row in asyncio.run(store.search("study", {}))]
        found = {one.sop_instance_uid: one for study in studies for one in asyncio.run(store.instances_of(study))}
        assert acknowledged.keys() <= found.keys() <= offered.keys()
        for sop, one in found.items():
            assert one.path.read_bytes()[one.data_set_offset :] == offered[sop]
        files = set((directory / "gateway" / "instances").rglob("*.dcm"))
        assert files == {one.path for one in found.values()}
        assert list((directory / "gateway" / "incoming").iterdir()) == []
    finally:
        store.close()
    return set(found)


def published(kafka: str, root: str) -> Counter[str]:
    return Counter(
        entry.event.sop_instance_uid
        for entry in dump(kafka, [Topic.INSTANCES])
        if isinstance(entry.event, InstanceStored) and entry.event.study_instance_uid.startswith(f"{root}.")
    )


def kill_rounds(directory: Path, kafka: str, fleet: Fleet, chance: random.Random) -> None:
    for _ in range(ROUNDS):
        with gateway(directory, kafka, fleet.root) as running:
            if fleet.count():
                check_served(running.url, fleet, chance)
            before = fleet.count()
            fleet.start(running.dimse)
            enough = before + chance.randrange(1, 250)
            wait_for(lambda: fleet.count() >= enough, "some images")  # noqa: B023 - called in this round
            if chance.random() < 0.3:
                check_served(running.url, fleet, chance)
            kill(running)
            fleet.join()


def check_end(directory: Path, kafka: str, fleet: Fleet) -> None:
    """One more start, in which everything left is published and nothing must be repaired."""
    with gateway(directory, kafka, fleet.root) as running:
        fleet.start(running.dimse, most=1)
        fleet.join()
        wait_for(lambda: published(kafka, fleet.root).keys() >= fleet.acknowledged().keys(), "all events")
        assert stop(running.child) == 0
        assert not [line for line in log_lines(running.log) if "traceback" in line]
    found = check_stored(directory, fleet)
    events = published(kafka, fleet.root)
    assert events == Counter(found), "each stored instance exactly once"


def test_twenty_kills_under_sixteen_senders_lose_and_double_nothing(kafka: str, tmp_path: Path) -> None:
    fleet, chance = Fleet(new_root(), SENDERS), random.Random(1)
    kill_rounds(tmp_path, kafka, fleet, chance)
    check_end(tmp_path, kafka, fleet)


def test_twenty_kills_without_a_broker_lose_and_double_nothing(kafka: str, tmp_path: Path) -> None:
    fleet, chance = Fleet(new_root(), SENDERS), random.Random(2)
    port = free_port()
    with Forwarder(port, kafka) as network:
        away = f"127.0.0.1:{port}"
        kill_rounds(tmp_path, away, fleet, chance)
        assert published(kafka, fleet.root) == Counter()
        network.open()
        check_end_through(tmp_path, away, kafka, fleet)


def check_end_through(directory: Path, way: str, kafka: str, fleet: Fleet) -> None:
    with gateway(directory, way, fleet.root) as running:
        wait_for(lambda: published(kafka, fleet.root).keys() >= fleet.acknowledged().keys(), "all events")
        assert stop(running.child) == 0
    check_end(directory, kafka, fleet)


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """A file system of this size; only the administrator of this machine, or of a namespace, can make one."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)]
    mounted = shutil.which("mount") and subprocess.run(command, check=False, capture_output=True, timeout=30)
    if not mounted or mounted.returncode != 0:
        missing("a small file system cannot be mounted: run as root, or in 'unshare -rm'")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True, timeout=30)


def test_a_full_disk_refuses_and_a_kill_on_it_loses_nothing(kafka: str, tmp_path: Path) -> None:
    """Without any mark, so that every write may fail; then space is freed, twice, once without a new start."""
    fleet, chance = Fleet(new_root(), SENDERS), random.Random(3)
    with small_disk(tmp_path / "disk", 48) as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes(24 * 1024 * 1024))
        with gateway(disk, kafka, fleet.root, SCANSTREAM_GATEWAY_DISK_REFUSE_FRACTION="1") as running:
            fleet.start(running.dimse)
            wait_for(lambda: len(fleet.refused()) >= 50, "refusals")
            assert set(fleet.refused()) == {0xA700}
            check_served(running.url, fleet, chance)
            # counted before: the freed space is filled within a second, in which this thread may not run at all
            again = fleet.count() + 100
            os.truncate(filler, 16 * 1024 * 1024)
            wait_for(lambda: fleet.count() >= again, "images after space was freed")
            refused = len(fleet.refused())
            wait_for(lambda: len(fleet.refused()) >= refused + 50, "refusals again")
            kill(running)
            fleet.join()
        filler.unlink()
        check_stored(disk, fleet)
        check_end(disk, kafka, fleet)
