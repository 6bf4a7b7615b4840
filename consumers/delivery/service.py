"""Settings and a destination → a running writer."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from consumers.delivery.limits import Limits
from consumers.delivery.runtime import Runtime
from consumers.destination import AddressedDestination, Destination
from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.lost_brokers import UNWATCHED
from producers.process import Process
from producers.schema_registry import codec_from
from producers.topic_admin import create_failure_topics, wait_until_ready
from schemas.destinations import WriterSettings
from schemas.settings import KafkaSettings, RegistrySettings

#: How long results wait for an address that is away, in seconds, before they are dead-lettered.
ADDRESS_PATIENCE_S: Final = 24 * 3600.0

#: Addresses that may keep us waiting at once; the concurrency of the settings is for each of them.
ADDRESSES_AT_ONCE: Final = 8

#: Bytes that reading a message again asks the broker for; a larger message still comes whole.
_SMALL_FETCH: Final = 1024 * 1024


def limits_of(settings: WriterSettings, destination: Destination) -> Limits:
    """Limits of a writer. Pure.

    Parameters
    ----------
    settings
        How wide and how fast.
    destination
        One with many addresses waits for each of them for a bounded time.
    """
    limits = Limits(concurrency=settings.concurrency, per_second=settings.per_second)
    if not isinstance(destination, AddressedDestination):
        return limits
    return replace(
        limits,
        concurrency=settings.concurrency * ADDRESSES_AT_ONCE,
        per_source=settings.concurrency,
        source_patience_s=ADDRESS_PATIENCE_S,
    )


def serve(
    process: Process, group: str, destination: Destination, limits: Limits | None = None, name: str | None = None
) -> None:
    """Run a writer until its process is told to stop.

    Parameters
    ----------
    process
        Of this writer; its instance name is the transactional id and the static member of the group.
    group
        Consumer group of this destination; its retry and dead-letter topics are created where they are missing.
    destination
        Warm: everything that its first delivery needs is loaded.
    limits
        Default: :class:`Limits`.
    name
        Of the destination in outcomes and metrics; default: its own.

    Raises
    ------
    ConfigurationError
        A setting is wrong, or too many results ended as dead letters.
    """
    kafka = KafkaSettings()
    codec = codec_from(RegistrySettings())
    if not wait_until_ready(kafka, process.stop):
        return
    create_failure_topics(kafka, group)
    publisher = EventPublisher(kafka, codec, process.source, process.telemetry, process.instance, group)
    publisher.start()
    config = consumer_config(kafka, process.name, group, instance_id=process.instance)
    consumer = new_consumer(config | {"enable.partition.eof": True})
    # a new question waits for the answer to the one before, which at the end of a partition comes late
    again_config = consumer_config(kafka, f"{process.name}-again", f"{group}.again", fetch_wait_ms=10)
    again_config |= {"enable.partition.eof": True, "fetch.message.max.bytes": _SMALL_FETCH, **UNWATCHED}
    try:
        Runtime(
            process,
            group,
            name or destination.name,
            destination,
            consumer,
            lambda: new_consumer(again_config),
            publisher,
            codec,
            limits or Limits(),
        ).run()
    finally:
        consumer.close()
