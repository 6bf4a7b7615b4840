"""The Faust app: an agent that writes the findings of each result, and commits what it has written.

Kafka's offsets are committed by :class:`Progress`, not by Faust, which counts a message as done even when the
agent failed. A broker or registry that is away is waited for; only what nobody foresaw ends the app, without a
commit.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, cast

import faust
from aiokafka.errors import KafkaError, MessageSizeTooLargeError  # type: ignore[import-untyped] # ships no types
from faust.exceptions import NotReady, ProducerSendError
from faust.types import StreamT
from faust.types.transports import TransportT

from producers.process import Process
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage, ScanstreamError
from schemas.logs import fields
from schemas.settings import KafkaSettings
from schemas.topics import FINDINGS_GROUP, MAX_MESSAGE_BYTES, Topic
from streams.dead_letters import BRAKE
from streams.findings.connection import brokers, credentials
from streams.findings.fan_out import FanOut, FindingMessage, fan_out
from streams.findings.progress import Progress
from streams.findings.transport import (
    CommittedConsumer,
    CommittedTransport,
    OrderedProducer,
    faust_log,
    partition_of,
)

log = logging.getLogger(__name__)

COMMIT_INTERVAL_S: Final = 1.0
RETRY_S: Final = 1.0
SESSION_TIMEOUT_S: Final = 10.0
#: Faust refuses a request timeout below that of the session.
REQUEST_TIMEOUT_S: Final = 30.0


class StrictApp(faust.App):
    """App on the strict transport that leaves nothing on the disk: it has no tables."""

    logger = faust_log

    def _new_transport(self) -> TransportT:
        return CommittedTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> TransportT:
        return CommittedTransport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """Make none."""


class Findings:
    """The app, and what its agent remembers.

    Parameters
    ----------
    process
        Name and telemetry; told when it is ready.
    kafka
        Connection.
    codec
        Framing and Avro.
    """

    def __init__(self, process: Process, kafka: KafkaSettings, codec: Codec) -> None:
        self._process = process
        self._codec = codec
        self._progress = Progress()
        self._bad_in_a_row = 0
        self._is_ready = False
        self.app = StrictApp(
            FINDINGS_GROUP,
            broker=brokers(kafka),
            broker_credentials=credentials(kafka),
            broker_client_id=process.name,
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=2.0,
            broker_request_timeout=REQUEST_TIMEOUT_S,
            broker_rebalance_timeout=REQUEST_TIMEOUT_S,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=MAX_MESSAGE_BYTES,
            producer_max_request_size=MAX_MESSAGE_BYTES,
            producer_request_timeout=REQUEST_TIMEOUT_S,
            producer_compression_type="lz4",
            producer_partitioner=partition_of,
            datadir=process.settings.data_dir,
            store="memory://",
            stream_wait_empty=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            autodiscover=False,
        )
        results = self.app.topic(Topic.RESULTS.value, key_serializer="raw", value_serializer="raw", acks=False)
        self.app.agent(results, name="findings")(self._agent)
        self.app.timer(COMMIT_INTERVAL_S)(self.commit)
        self.app.on_partitions_revoked.connect(self._revoked)
        self.app.on_rebalance_complete.connect(self._joined)

    async def commit(self) -> None:
        """Commit what is done."""
        await self._progress.commit(cast(CommittedConsumer, self.app.consumer)._commit)

    async def _agent(self, stream: StreamT[bytes]) -> None:
        try:
            async for event in stream.events():
                message = event.message
                await self._handle(message)
                self._progress.done(message.tp, message.offset)
        except Exception as error:
            # Faust would go on with the next message
            log.exception("findings app ends")
            await self.app.crash(error)
            raise

    async def _handle(self, message: Any) -> None:
        telemetry = self._process.telemetry
        telemetry.count("scanstream_messages_consumed_total", topic=Topic.RESULTS)
        where = f"{message.topic}[{message.partition}]@{message.offset}"
        try:
            made = await self._fanned_out(message, where)
        except InvalidMessage as error:
            telemetry.count("scanstream_messages_failed_total", topic=Topic.RESULTS, error=type(error).__name__)
            log.warning("result not understood, it stays where it is", extra=fields(at=where, reason=str(error)))
            self._bad_in_a_row += 1
            if self._bad_in_a_row > BRAKE:
                raise ScanstreamError(
                    f"{self._bad_in_a_row} results in a row could not be understood, the last at {where}: "
                    "check that this release and SCHEMA_REGISTRY_URL fit the workers, then start again"
                ) from error
            return
        self._bad_in_a_row = 0
        for one in made.messages:
            await self._send(one, where)

    async def _fanned_out(self, message: Any, where: str) -> FanOut:
        """Messages of a result; a schema registry that is away is waited for."""
        waiting = False
        while True:
            try:
                return fan_out(message.value, list(message.headers or []), self._codec, self._process.source)
            except DestinationUnavailable as error:
                if not waiting:
                    log.warning("waiting for the schema registry", extra=fields(at=where, reason=str(error)))
                waiting = True
                await asyncio.sleep(RETRY_S)

    async def _send(self, message: FindingMessage, where: str) -> None:
        """Write one finding, and wait until all in-sync replicas have it."""
        telemetry, waiting = self._process.telemetry, False
        while True:
            try:
                sent = await self.app.producer.send(
                    message.topic.value, message.key, message.value, None, None, message.headers
                )
                await sent
            except MessageSizeTooLargeError as error:
                telemetry.count("scanstream_messages_failed_total", topic=message.topic, error="TooLarge")
                log.warning("finding too large for its topic", extra=fields(at=where, reason=str(error)))
                return
            except (KafkaError, ProducerSendError, NotReady) as error:
                if cast(OrderedProducer, self.app.producer).has_died:
                    raise  # waiting would last for ever: the app is built anew, with another client
                if not waiting:
                    log.warning("waiting for Kafka", extra=fields(at=where, reason=type(error).__name__))
                waiting = True
                await asyncio.sleep(RETRY_S)
            else:
                telemetry.count("scanstream_events_produced_total", topic=message.topic)
                return

    async def _revoked(self, *_: object, **__: object) -> None:
        await self.commit()

    async def _joined(self, *_: object, **__: object) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._process.ready()
