"""The listener process: MLLP in, ``clinical.context`` out. Run with ``python -m producers.hl7.listener``.

It listens once it knows what the log says, so the first message finds everything ready. On a stop it takes no
more, answers what is in hand, and ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import threading
import time
from datetime import UTC, datetime
from typing import Final

import uvloop

from producers.dimse.tls import TlsFiles, context
from producers.hl7.listener.kept import Kept
from producers.hl7.listener.known import KnownContexts
from producers.hl7.listener.log_reader import LogReader
from producers.hl7.listener.patience import Patience
from producers.hl7.listener.server import MllpServer
from producers.hl7.listener.sources import load
from producers.hl7.listener.writer import ContextWriter, Work
from producers.kafka import EventPublisher
from producers.patient_key import patient_keys
from producers.process import Process, run
from producers.schema_registry import codec_from
from producers.topic_admin import wait_until_ready
from schemas.clinical import Hl7Settings, PatientSettings
from schemas.errors import DestinationUnavailable
from schemas.logs import fields
from schemas.settings import KafkaSettings, RegistrySettings

log = logging.getLogger(__name__)

_OPEN_S: Final = 15.0
_DRAIN_S: Final = 25.0
_AGAIN_S: Final = 1.0


def body(process: Process) -> None:
    """Listen until ``process.stop`` is set."""
    settings, kafka, registry = Hl7Settings(), KafkaSettings(), RegistrySettings()
    sources = load(settings.sources_file)
    tls = tls_of(settings)
    keys = patient_keys(PatientSettings(), process.settings.data_dir)
    if not wait_until_ready(kafka, process.stop):
        return
    patience = Patience(settings.kafka_timeout_s, time.monotonic)
    publisher = EventPublisher(
        kafka,
        codec_from(registry),
        process.source,
        process.telemetry,
        transactional_id=process.instance,
        time_left=patience,
    )
    known = KnownContexts(codec_from(registry))
    loop = uvloop.new_event_loop()

    def settled(replies: list[tuple[Work, list[bytes]]]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(_reply, replies)
        if writer.failure is not None:
            process.stop.set()

    writer = ContextWriter(
        publisher,
        known,
        LogReader(kafka, codec_from(registry), process.instance, known),
        keys,
        Kept(process.settings.data_dir / "hl7" / "rejected", settings.keep_rejected),
        process.telemetry,
        settled,
        time.monotonic,
        _now,
        patience,
        settings.batch,
        settings.max_waiting,
        settings.max_waiting_bytes,
    )
    if not _opened(process, writer):
        return
    log.info("contexts read", extra=fields(keys=len(known)))
    server = MllpServer(settings, sources, writer, process.telemetry, time.monotonic, _now)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(_serve(process, server, writer, tls))
    if writer.failure is not None:
        raise writer.failure


def tls_of(settings: Hl7Settings) -> ssl.SSLContext | None:
    """TLS of the listener, where a certificate is set.

    Raises
    ------
    ConfigurationError
        A file cannot be used.
    """
    if settings.tls_certificate is None:
        return None
    files = TlsFiles(
        settings.tls_certificate,
        settings.tls_key,
        settings.tls_key_password_file,
        settings.tls_ca,
        settings.tls_mutual,
        "SCANSTREAM_HL7_TLS",
    )
    return context(files, server_side=True)


def _opened(process: Process, writer: ContextWriter) -> bool:
    while not process.stop.is_set():
        try:
            writer.open(_OPEN_S)
        except DestinationUnavailable as error:
            log.warning("Kafka is away", extra=fields(reason=str(error)))
            process.stop.wait(_AGAIN_S)
        else:
            return True
    return False


async def _serve(process: Process, server: MllpServer, writer: ContextWriter, tls: ssl.SSLContext | None) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, process.stop.set)
    await server.listen(tls)
    writer.start()
    log.info("HL7 listener open", extra=fields(port=server.port, tls=tls is not None))
    process.ready()
    await asyncio.to_thread(process.stop.wait)
    await server.stop(_DRAIN_S)
    await asyncio.to_thread(writer.close, _DRAIN_S)


def _reply(replies: list[tuple[Work, list[bytes]]]) -> None:
    for work, answers in replies:
        work.reply(answers)


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> int:
    """Entry point of ``scanstream hl7``."""
    return run("hl7", body)
