"""The DICOM listener with the services around storing, on an event loop of its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop
import yaml

from producers.dimse.entity import application_entity, workflow_services
from producers.dimse.peer_book import PeerBook
from producers.dimse.rights import RIGHTS
from producers.dimse.workflow import Workflow
from producers.dimse.worklist import Orders
from producers.store import InstanceStore
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import ArrivalHint, HintKind
from schemas.settings import GatewaySettings
from tests.producers.listener import ARRIVALS

T = TypeVar("T")


@dataclass
class Department:
    """A running listener; ``peers_file`` may be written anew."""

    port: int
    store: InstanceStore
    workflow: Workflow
    peers_file: Path
    _loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Result of a coroutine on the listener's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def promises(self) -> list[tuple[HintKind, str, int | None]]:
        """Kind, study and count of every promise in the outbox, in order."""
        found: list[tuple[HintKind, str, int | None]] = []
        for row in self.store.outbox.read(0, 100_000, 1 << 30):
            event = Codec().decode(row.message.value)
            if isinstance(event, ArrivalHint) and event.kind is not HintKind.ASSOCIATION_RELEASED:
                assert row.message.key.decode() == event.study_instance_uid
                found.append((event.kind, event.study_instance_uid, event.instance_count))
        return found


def everyone(*entries: dict[str, Any]) -> str:
    """A peers file in which also those who have no entry may do everything."""
    return yaml.safe_dump({"others": sorted(RIGHTS), "peers": list(entries)})


def known_peer(file: Path, ae_title: str, port: int) -> None:
    """Make the file say where one peer listens."""
    file.write_text(everyone({"ae_title": ae_title, "host": "127.0.0.1", "port": port}), encoding="utf-8")


@contextmanager
def department(root: Path, orders: Orders = lambda: [], **settings: Any) -> Iterator[Department]:
    """Start a listener on a free port; everything is closed at the end of the block."""
    peers_file = root / "peers.yaml"
    if not peers_file.exists():
        peers_file.write_text(everyone(), encoding="utf-8")
    gateway = GatewaySettings(dimse_port=0, peers_file=peers_file, **({"commitment_grace_s": 1.0} | settings))
    telemetry, loop = Telemetry(), uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="department")
    thread.start()
    store = InstanceStore.open(root / "gateway", ARRIVALS.stored, telemetry)
    peers = PeerBook(peers_file)
    workflow = workflow_services(gateway, store, ARRIVALS.promised, orders, peers)
    server = application_entity(gateway, store, ARRIVALS.association_released, telemetry, peers, workflow=workflow)

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        port = run(server.start("127.0.0.1", 0))
        run(workflow.start())
        yield Department(port, store, workflow, peers_file, loop)
    finally:
        run(server.stop(1.0))
        run(workflow.stop())
        workflow.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
        store.close()
