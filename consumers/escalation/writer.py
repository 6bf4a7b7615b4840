"""``scanstream writer escalation``: critical findings → people, until one of them answers."""

from __future__ import annotations

import logging
import time
from typing import Final

from consumers.escalation.book import Book
from consumers.escalation.crew import Crew
from consumers.escalation.journal import Journal
from consumers.escalation.link import SHORTEST_SECRET
from consumers.escalation.places import Places
from consumers.escalation.routes import Routes
from consumers.escalation.routes_file import load
from consumers.escalation.runtime import Runtime
from consumers.escalation.sender import Composer, channels_of
from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.process import Process
from producers.schema_registry import codec_from
from producers.topic_admin import wait_until_ready
from schemas.destinations import EscalationSettings
from schemas.errors import ConfigurationError, DestinationUnavailable, PermanentRejection
from schemas.logs import fields
from schemas.settings import KafkaSettings, RegistrySettings, secret_of
from schemas.topics import WRITER_GROUPS

log = logging.getLogger(__name__)

_SECRET: Final = "SCANSTREAM_ESCALATION_LINK_SECRET"  # noqa: S105 - the name of a variable


#: Pause before a new start after an error, in seconds.
_RESTART_S: Final = 0.2
#: Two refusals by the broker within this time, in seconds, mean that another process has our name.
_FENCED_TWICE_S: Final = 60.0


def body(process: Process) -> None:
    """Raise alarms until the process is told to stop.

    Raises
    ------
    ConfigurationError
        The routes file or a secret is missing or wrong.
    """
    kafka, settings = KafkaSettings(), EscalationSettings()
    routes = load(settings.routes_file)
    channels = channels_of(routes)
    composer = Composer(routes, settings.acknowledge_url, link_secret(settings))
    rehearsal = settings.rehearsal or routes.rehearsal
    if not wait_until_ready(kafka, process.stop):
        return
    crew = Crew(channels, {name: channel.timeout_s for name, channel in routes.channels.items()})
    log.info("alarms", extra=fields(routes=len(routes.routes), contacts=len(routes.contacts), rehearsal=rehearsal))
    fenced_at = float("-inf")
    while not process.stop.is_set():
        try:
            _session(process, kafka, routes, crew, composer, rehearsal=rehearsal)
        except DestinationUnavailable as error:
            log.warning("waiting for Kafka, then going on where it stopped", extra=fields(reason=str(error)))
        except PermanentRejection as error:
            # the broker gives up a transaction that it was away in the middle of: once is no rival
            if time.monotonic() - fenced_at < _FENCED_TWICE_S:
                raise
            fenced_at = time.monotonic()
            log.warning("given up by the broker, starting anew", extra=fields(reason=str(error)))
        process.stop.wait(_RESTART_S)


def _session(
    process: Process, kafka: KafkaSettings, routes: Routes, crew: Crew, composer: Composer, *, rehearsal: bool
) -> None:
    """From joining the group to the first error of Kafka; everything is restored from Kafka at the next."""
    codec = codec_from(RegistrySettings())
    group = WRITER_GROUPS["escalation"]
    config = consumer_config(kafka, process.name, group, instance_id=process.instance, fetch_wait_ms=100)
    consumer = new_consumer(config)
    try:
        book = Book()
        journal = Journal(
            lambda: EventPublisher(kafka, codec, process.source, process.telemetry, process.instance, group),
            consumer,
            process.telemetry,
        )
        journal.start()
        places = Places(consumer, kafka, process.name, codec, book, journal.reconcile, process.stop)
        journal.places = places
        Runtime(process, consumer, places, book, journal, codec, routes, crew, composer, rehearsal=rehearsal).run()
    finally:
        consumer.close()


def link_secret(settings: EscalationSettings) -> str:
    """Key that signs acknowledgement links; the API needs the same.

    Raises
    ------
    ConfigurationError
        There is none, or it is too short to protect anything.
    """
    secret = secret_of(settings.link_secret, settings.link_secret_file, _SECRET)
    if secret is None or len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"links to acknowledge cannot be signed: set {_SECRET} or {_SECRET}_FILE to at least "
            f"{SHORTEST_SECRET} random characters, the same for the API"
        )
    return secret
