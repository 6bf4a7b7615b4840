"""Settings and a destination → a running writer."""

from __future__ import annotations

from consumers.delivery.limits import Limits
from consumers.delivery.runtime import Runtime
from consumers.destination import Destination
from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.process import Process
from producers.schema_registry import codec_from
from producers.topic_admin import wait_until_ready
from schemas.settings import KafkaSettings, RegistrySettings


def serve(process: Process, group: str, destination: Destination, limits: Limits | None = None) -> None:
    """Run a writer until its process is told to stop.

    Parameters
    ----------
    process
        Of this writer; its instance name is the transactional id and the static member of the group.
    group
        Consumer group of this destination.
    destination
        Warm: everything that its first delivery needs is loaded.
    limits
        Default: :class:`Limits`.

    Raises
    ------
    ConfigurationError
        A setting is wrong, or too many results ended as dead letters.
    """
    kafka = KafkaSettings()
    codec = codec_from(RegistrySettings())
    if not wait_until_ready(kafka, process.stop):
        return
    publisher = EventPublisher(kafka, codec, process.source, process.telemetry, process.instance)
    publisher.start()
    config = consumer_config(kafka, process.name, group, instance_id=process.instance)
    consumer = new_consumer(config | {"enable.partition.eof": True})
    try:
        Runtime(process, group, destination, consumer, publisher, codec, limits or Limits()).run()
    finally:
        consumer.close()
