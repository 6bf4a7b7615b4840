"""The gateway process: DICOM and DICOMweb listeners, store, and relay to Kafka, on one event loop.

Run with ``python -m producers.gateway``. Ports of 0 are chosen by the system and logged. On a stop it takes no
more, lets running C-STOREs and requests end, publishes what waits if Kafka is there, and closes the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import partial
from typing import Final

import uvicorn
import uvloop

from producers.arrival import Arrivals
from producers.audit_events import AuditEvents
from producers.context_table import ScheduledOrders, WorklistReader
from producers.dicomweb.app import create_app
from producers.dicomweb.http_protocol import MAX_CONNECTIONS, BoundedHttp
from producers.dimse.entity import application_entity, listen, workflow_services
from producers.dimse.peer_book import PeerBook
from producers.dimse.refused import RefusedPeers
from producers.dimse.workflow import Workflow
from producers.image_facts import Facts
from producers.patient_key import patient_keys
from producers.process import Process, run
from producers.relay import Relay, RelayIdentity
from producers.retention import Retention
from producers.retention_backlog import read_unread
from producers.schema_registry import codec_from
from producers.store import ConflictPolicy, InstanceStore
from schemas.clinical import PatientSettings, QualityControlSettings
from schemas.errors import ConfigurationError
from schemas.logs import fields
from schemas.settings import GatewaySettings, KafkaSettings, RegistrySettings

log = logging.getLogger(__name__)

_DRAIN_S: Final = 10.0
_RELAY_DRAIN_S: Final = 5.0
#: Files open besides associations: HTTP connections, files being written and read, the index, Kafka.
_OTHER_FILES: Final = 512 + MAX_CONNECTIONS


def body(process: Process) -> None:
    """Run the gateway until ``process.stop`` is set."""
    configured = GatewaySettings()
    kafka, registry = KafkaSettings(), RegistrySettings()
    raise_file_limit(configured.max_associations + configured.max_silent_connections + _OTHER_FILES)
    with listening_socket(configured.http_host, configured.http_port) as http_socket:
        settings = configured.model_copy(update={"http_port": http_socket.getsockname()[1]})
        keys = patient_keys(PatientSettings(), process.settings.data_dir)
        facts = Facts(keys, QualityControlSettings().quality_control_patterns)
        arrivals = Arrivals(process.instance, settings.base_url(), process.source, facts)
        store = InstanceStore.open(
            process.settings.data_dir / "gateway",
            arrivals.stored,
            process.telemetry,
            refuse_fraction=settings.disk_refuse_fraction,
            warn_fraction=settings.disk_warn_fraction,
            conflict_policy=ConflictPolicy(settings.conflict_policy),
            memory_bytes=settings.memory_bytes,
            audit=AuditEvents(process.settings.site, process.settings.node, process.source),
        )
        relay = Relay(
            store.outbox,
            kafka,
            codec_from(registry),
            RelayIdentity(process.instance, process.source, f"{process.instance}.relay"),
            process.telemetry,
            process.stop.set,
            reframe=registry.url is not None,
            catch_up_per_s=settings.catch_up_per_s,
            catch_up_after_s=settings.catch_up_after_s,
        )
        retention = _retention(settings, store, kafka, registry, process.instance)
        table = ScheduledOrders(settings.worklist_most, settings.worklist_keep_days, _today)
        reader = WorklistReader(kafka, codec_from(registry), process.instance, table)
        peers = PeerBook(settings.peers_file)
        workflow = workflow_services(settings, store, arrivals.promised, reader.orders, peers)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(process, settings, store, arrivals, relay, reader, workflow, peers, http_socket))
        finally:
            reader.close()
            workflow.close()
            if retention is not None:
                retention.close()
            relay.close(_RELAY_DRAIN_S)
            store.close()
    if relay.failure is not None:
        raise relay.failure


def _retention(
    settings: GatewaySettings, store: InstanceStore, kafka: KafkaSettings, registry: RegistrySettings, name: str
) -> Retention | None:
    """Running, unless studies are kept for ever."""
    if settings.retention_days is None:
        return None
    unread = partial(read_unread, kafka, settings.retention_groups, codec_from(registry), name)
    retention = Retention(store, settings.retention_days, unread)
    retention.start()
    return retention


async def _serve(
    process: Process,
    settings: GatewaySettings,
    store: InstanceStore,
    arrivals: Arrivals,
    relay: Relay,
    reader: WorklistReader,
    workflow: Workflow,
    peers: PeerBook,
    http_socket: socket.socket,
) -> None:
    """Listen until the process must stop, then drain."""
    _stop_on_signals(process)
    audit = AuditEvents(process.settings.site, process.settings.node, process.source)
    dimse = application_entity(
        settings,
        store,
        arrivals.association_released,
        process.telemetry,
        peers,
        RefusedPeers(audit, store.announce),
        workflow,
    )
    web = WebServer(
        uvicorn.Config(
            create_app(store, settings, process.telemetry),
            http=BoundedHttp,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=int(_DRAIN_S),
        )
    )
    await listen(dimse, settings)
    serving = asyncio.create_task(web.serve(sockets=[http_socket]))
    log.info("DICOMweb listener open", extra=fields(url=settings.base_url()))
    relay.start()
    reader.start()
    await workflow.start()
    process.ready()
    stopping = asyncio.create_task(asyncio.to_thread(process.stop.wait))
    await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
    process.stop.set()
    reader.stop()
    web.should_exit = True
    await asyncio.gather(dimse.stop(_DRAIN_S), serving)
    await workflow.stop()


def _today() -> date:
    """Date at the site."""
    return datetime.now(UTC).astimezone().date()


def listening_socket(host: str, port: int) -> socket.socket:
    """Bound TCP socket for HTTP.

    Raises
    ------
    ConfigurationError
        The port cannot be opened.
    """
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise ConfigurationError(
            f"HTTP port {port} on {host} cannot be opened ({error.strerror}): stop the program that has it or set "
            "SCANSTREAM_GATEWAY_HTTP_PORT"
        ) from error


def raise_file_limit(needed: int) -> None:
    """Let this process have as many files open as its limits allow for; warn when the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    if possible < needed:
        log.warning(
            "the limit of open files is too low for all associations: raise it (ulimit -Hn) or lower "
            "SCANSTREAM_GATEWAY_MAX_ASSOCIATIONS",
            extra=fields(limit=possible, needed=needed),
        )


class WebServer(uvicorn.Server):
    """uvicorn without signal handlers of its own: the process has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def _stop_on_signals(process: Process) -> None:
    """The event loop must wake up for a signal, which a handler outside of it does not make it do."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, process.stop.set)


def main() -> int:
    """Entry point of ``scanstream gateway``."""
    return run("gateway", body)


if __name__ == "__main__":
    sys.exit(main())
