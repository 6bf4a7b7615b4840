"""Outbox → Kafka: in order, exactly once, with unlimited patience.

Each transaction holds a batch of events and the sequence number of the last of them (``imaging.relay``). After a
crash, a fence or a commit whose fate is unknown, a new producer first settles what the old one left open, then the
position that Kafka holds decides where to go on. So no row is published twice, and none is deleted before it is
published.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import KafkaException

from producers.changelog import read_compacted
from producers.kafka import EventPublisher
from producers.store.outbox import Outbox, Row
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage, PermanentRejection
from schemas.events import RelayPosition
from schemas.logs import fields
from schemas.settings import KafkaSettings
from schemas.topics import Topic

log = logging.getLogger(__name__)

MAX_ROWS: Final = 500
MAX_BYTES: Final = 8 * 1024 * 1024

_RETRY_S: Final = 1.0
_MEASURE_EVERY_S: Final = 5.0
_REMIND_EVERY_S: Final = 300.0
#: A transaction that outlived its timeout looks like being fenced; twice within this time it is a real rival.
_FENCED_AGAIN_S: Final = 60.0


@dataclass(frozen=True)
class RelayIdentity:
    """Names of one relay: gateway, CloudEvents source, transactional id."""

    gateway: str
    source: str
    transactional_id: str


class Relay:
    """Drains the outbox of one gateway, in its own thread.

    Parameters
    ----------
    outbox
        Of the store.
    kafka
        Connection.
    codec
        Frames what readers get.
    reframe
        Whether ``codec`` frames differently than the rows do (a schema registry is configured).
    identity
        Names.
    telemetry
        Shows how much waits, and for how long.
    on_failure
        Called when the relay must not go on; see ``failure``.
    """

    def __init__(
        self,
        outbox: Outbox,
        kafka: KafkaSettings,
        codec: Codec,
        identity: RelayIdentity,
        telemetry: Telemetry,
        on_failure: Callable[[], None],
        *,
        reframe: bool = False,
    ) -> None:
        self.failure: PermanentRejection | None = None
        self._outbox = outbox
        self._kafka = kafka
        self._codec = codec
        self._plain = Codec()
        self._reframe = reframe
        self._identity = identity
        # A position counts only for the outbox that it speaks of: another gateway that was given the same name by
        # mistake has numbers of its own, and they must not make ours look published.
        self._position_key = f"{identity.gateway}/{outbox.identity:08x}"
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._published = 0
        self._measured_at = float("-inf")
        self._complaint = _Complaint()

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Publish what waits if Kafka is there, then end; what is left is durable and goes out after a start.

        Parameters
        ----------
        timeout_s
            Seconds for both together.
        """
        deadline = time.monotonic() + timeout_s
        while self._is_publishing() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._stop.set()
        self._outbox.committed.set()
        if self._thread.is_alive():
            self._thread.join(max(deadline - time.monotonic(), 0.5))

    def _is_publishing(self) -> bool:
        return (
            self._thread.is_alive()
            and not self._complaint.is_away
            and self._outbox.backlog(self._published)[0] > 0
        )

    def _run(self) -> None:
        fenced_at = float("-inf")
        while not self._stop.is_set():
            try:
                self._session()
            except (DestinationUnavailable, KafkaException) as error:
                self._complaint.away(str(error))
                self._measure()
                self._stop.wait(_RETRY_S)
            except PermanentRejection as error:
                if time.monotonic() - fenced_at < _FENCED_AGAIN_S:
                    self._end(error)
                    return
                fenced_at = time.monotonic()
                log.warning("relay lost its place and takes it back once", extra=fields(reason=str(error)))
            except Exception as error:
                log.exception("relay stopped by an error that nobody expected")
                self._end(PermanentRejection(f"the relay failed ({type(error).__name__}): see the log"))
                return

    def _end(self, error: PermanentRejection) -> None:
        """End the process: what is taken in stays in the outbox for the next one."""
        self.failure = error
        self._stop.set()
        self._on_failure()

    def _session(self) -> None:
        """Settle what a predecessor left, then publish until something fails."""
        publisher = self._new_publisher()
        self._register(publisher)
        if self._stop.is_set():
            return
        self._published = max(self._published, self._position_on_kafka())
        self._outbox.published(self._published)
        self._complaint.back()
        while not self._stop.is_set():
            self._outbox.committed.clear()
            rows = self._outbox.read(self._published, MAX_ROWS, MAX_BYTES)
            if rows:
                self._publish(publisher, rows)
            self._measure()
            if not rows:
                self._outbox.committed.wait(_RETRY_S)

    def _new_publisher(self) -> EventPublisher:
        identity = self._identity
        return EventPublisher(
            self._kafka, self._codec, identity.source, self._telemetry, identity.transactional_id
        )

    def _register(self, publisher: EventPublisher) -> None:
        """One producer keeps trying, so a broker that comes back is used at once."""
        while not self._stop.is_set():
            try:
                publisher.start(2.0)
            except DestinationUnavailable as error:
                self._complaint.away(str(error))
                self._measure()
                self._stop.wait(0.1)
            else:
                return

    def _position_on_kafka(self) -> int:
        """Last published sequence number, 0 when there is none."""
        latest = read_compacted(self._kafka, Topic.RELAY, self._identity.transactional_id, stop=self._stop)
        value = latest.get(self._position_key.encode())
        if value is None:
            return 0
        position = self._codec.decode(value)
        if not isinstance(position, RelayPosition):
            raise InvalidMessage(f"{Topic.RELAY} holds a {type(position).__name__} where a RelayPosition must be")
        return position.sequence

    def _publish(self, publisher: EventPublisher, rows: list[Row]) -> None:
        last = rows[-1].sequence
        with publisher.transaction() as transaction:
            for row in rows:
                message = row.message
                transaction.publish_raw(message.topic, message.key, self._framed(message.value), message.headers)
            position = RelayPosition(self._identity.gateway, last, _now())
            transaction.publish(Topic.RELAY, self._position_key, position)
        self._published = last
        self._outbox.published(last)

    def _framed(self, value: bytes) -> bytes:
        return self._codec.encode(self._plain.decode(value)) if self._reframe else value

    def _measure(self) -> None:
        now = time.monotonic()
        if now - self._measured_at < _MEASURE_EVERY_S:
            return
        self._measured_at = now
        count, oldest = self._outbox.backlog(self._published)
        self._complaint.waiting = count
        self._telemetry.gauge("scanstream_outbox_rows", count)
        age = 0.0 if oldest is None else max(time.time() - oldest, 0.0)
        self._telemetry.gauge("scanstream_outbox_oldest_seconds", age)


class _Complaint:
    """Says once that Kafka is away, reminds rarely, and says when it is back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.waiting = 0
        self._clock = clock
        self._said_at: float | None = None

    @property
    def is_away(self) -> bool:
        """Whether Kafka did not answer when it was last asked."""
        return self._said_at is not None

    def away(self, reason: str) -> None:
        """Kafka could not be reached."""
        now = self._clock()
        if self._said_at is None or now - self._said_at >= _REMIND_EVERY_S:
            self._said_at = now
            log.warning(
                "Kafka is away: images are still taken in, and their events wait in the outbox",
                extra=fields(reason=reason, waiting=self.waiting),
            )

    def back(self) -> None:
        """Kafka answered."""
        if self._said_at is not None:
            self._said_at = None
            log.info("Kafka is back", extra=fields(waiting=self.waiting))


def _now() -> datetime:
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
