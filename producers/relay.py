"""Outbox → Kafka: in order, exactly once, with unlimited patience.

Each transaction holds a batch of events and, for each lane, the sequence number of the last of them
(``imaging.relay``). After a crash, a fence or a commit whose fate is unknown, a new producer first settles what
was left open, then the positions that Kafka holds decide where to go on. So no row is published twice, and none is
deleted before it is published. Urgent rows go first in every batch; normal ones go at a bounded rate while they
are old (:mod:`producers.relay_pace`). Within a lane, order is kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import KafkaException

from producers.changelog import read_compacted
from producers.kafka import EventPublisher
from producers.relay_complaint import Complaint
from producers.relay_pace import Pace
from producers.store.outbox import Lane, Outbox, Row
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
#: Least time between the beginnings of two transactions that are not full. A transaction costs the broker about as
#: much as taking an instance in costs us: one per instance would halve what a node takes in.
_GATHER_S: Final = 0.05
_MEASURE_EVERY_S: Final = 5.0
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
    catch_up_per_s
        Old normal rows per second after an outage.
    catch_up_after_s
        Age from which a row is old, seconds.
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
        catch_up_per_s: float = 1000.0,
        catch_up_after_s: float = 30.0,
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
        key = f"{identity.gateway}/{outbox.identity:08x}"
        self._position_keys = {Lane.NORMAL: key, Lane.URGENT: f"{key}/urgent"}
        self._pace = Pace(catch_up_per_s, catch_up_after_s)
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._published = dict.fromkeys(Lane, 0)
        self._measured_at = float("-inf")
        self._complaint = Complaint()

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
            and any(self._outbox.backlog(self._published[lane], lane)[0] for lane in Lane)
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
        for lane, position in self._positions_on_kafka().items():
            self._published[lane] = max(self._published[lane], position)
            self._outbox.published(self._published[lane], lane)
        self._complaint.back()
        while not self._stop.is_set():
            self._outbox.committed.clear()
            rows = self._next_rows()
            if rows:
                began = time.monotonic()
                self._publish(publisher, rows)
                if len(rows) < MAX_ROWS:
                    self._stop.wait(max(0.0, began + _GATHER_S - time.monotonic()))
            self._measure()
            if not rows:
                self._outbox.committed.wait(self._pace.wait_s() or _RETRY_S)

    def _next_rows(self) -> list[Row]:
        """Urgent rows, then as many normal ones as there is room and allowance for."""
        urgent = self._outbox.read(self._published[Lane.URGENT], MAX_ROWS, MAX_BYTES, Lane.URGENT)
        room = MAX_ROWS - len(urgent)
        space = MAX_BYTES - sum(len(row.message.value) for row in urgent)
        if room <= 0 or space <= 0:
            return urgent
        after = self._published[Lane.NORMAL]
        first = self._outbox.read(after, 1, 1, Lane.NORMAL)
        if not first:
            return urgent
        allowed = self._pace.allowed(time.time() - first[0].created_at, time.monotonic(), room)
        return urgent + (self._outbox.read(after, allowed, space, Lane.NORMAL) if allowed else [])

    def _new_publisher(self) -> EventPublisher:
        identity = self._identity
        return EventPublisher(
            self._kafka, self._codec, identity.source, self._telemetry, identity.transactional_id
        )

    def _register(self, publisher: EventPublisher) -> None:
        """Tries go on where the one before ended, so a broker that comes back is used at once."""
        while not self._stop.is_set():
            try:
                publisher.start(2.0)
            except DestinationUnavailable as error:
                self._complaint.away(str(error))
                self._measure()
                self._stop.wait(0.1)
            else:
                return

    def _positions_on_kafka(self) -> dict[Lane, int]:
        """Last published sequence number of each lane, 0 when there is none."""
        latest = read_compacted(self._kafka, Topic.RELAY, self._identity.transactional_id, stop=self._stop)
        return {lane: self._position(latest, lane) for lane in Lane}

    def _position(self, latest: Mapping[bytes, bytes], lane: Lane) -> int:
        value = latest.get(self._position_keys[lane].encode())
        if value is None:
            return 0
        position = self._codec.decode(value)
        if not isinstance(position, RelayPosition):
            raise InvalidMessage(f"{Topic.RELAY} holds a {type(position).__name__} where a RelayPosition must be")
        return position.sequence

    def _publish(self, publisher: EventPublisher, rows: list[Row]) -> None:
        last = {row.lane: row.sequence for row in rows}
        with publisher.transaction() as transaction:
            for row in rows:
                message = row.message
                transaction.publish_raw(message.topic, message.key, self._framed(message.value), message.headers)
            for lane, sequence in last.items():
                position = RelayPosition(self._identity.gateway, sequence, _now())
                transaction.publish(Topic.RELAY, self._position_keys[lane], position)
        self._pace.went(sum(row.lane is Lane.NORMAL for row in rows))
        for lane, sequence in last.items():
            self._published[lane] = sequence
            self._outbox.published(sequence, lane)

    def _framed(self, value: bytes) -> bytes:
        return self._codec.encode(self._plain.decode(value)) if self._reframe else value

    def _measure(self) -> None:
        now = time.monotonic()
        if now - self._measured_at < _MEASURE_EVERY_S:
            return
        self._measured_at = now
        self._complaint.waiting = 0
        for lane in Lane:
            count, oldest = self._outbox.backlog(self._published[lane], lane)
            self._complaint.waiting += count
            age = 0.0 if oldest is None else max(time.time() - oldest, 0.0)
            self._telemetry.gauge("scanstream_outbox_rows", count, lane=lane.name.lower())
            self._telemetry.gauge("scanstream_outbox_oldest_seconds", age, lane=lane.name.lower())


def _now() -> datetime:
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
