"""The gateway's DICOM listener with a real store, on an event loop of its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from producers.arrival import Arrivals
from producers.dimse.entity import application_entity
from producers.dimse.server import DimseServer
from producers.store import InstanceStore, Spool, StoredInstance
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import ArrivalHint, InstanceStored
from schemas.settings import GatewaySettings

T = TypeVar("T")

ARRIVALS = Arrivals("test.gateway", "http://127.0.0.1:1/dicom-web", "/test/gateway")


@dataclass
class Listener:
    """A running listener."""

    port: int
    store: InstanceStore
    telemetry: Telemetry
    loop: asyncio.AbstractEventLoop
    server: DimseServer

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Result of a coroutine on the listener's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def stored(self, study: str) -> list[StoredInstance]:
        """Instances of a study in the index."""
        return self.run(self.store.instances_of(study))

    def events(self) -> list[InstanceStored | ArrivalHint]:
        """Everything in the outbox, in order."""
        found: list[InstanceStored | ArrivalHint] = []
        for row in self.store.outbox.read(0, 100_000, 1 << 30):
            event = Codec().decode(row.message.value)
            assert isinstance(event, InstanceStored | ArrivalHint)
            assert row.message.key.decode() == event.study_instance_uid
            found.append(event)
        return found


@contextmanager
def listener(root: Path, **settings: Any) -> Iterator[Listener]:
    """Start a listener on a free port; everything is closed at the end of the block."""
    gateway = GatewaySettings(dimse_port=0, **settings)
    telemetry = Telemetry()
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="listener")
    thread.start()
    store = InstanceStore.open(root / "gateway", ARRIVALS.stored, telemetry)
    server = application_entity(gateway, store, ARRIVALS.association_released, telemetry)

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        port = run(server.start("127.0.0.1", 0))
        yield Listener(port, store, telemetry, loop, server)
    finally:
        run(server.stop(1.0))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        store.close()


def data_set_of(stored: StoredInstance) -> bytes:
    """Data set bytes of a stored file."""
    return stored.path.read_bytes()[stored.data_set_offset :]


def spool(data: bytes) -> Spool:
    """A data set in memory."""
    return Spool.of(data)
