"""``clinical.context`` → tables in memory, kept up to date in the background: of what is scheduled, and others.

Read from the beginning and without a consumer group, because every process has the whole of it. Guarantee: a table
is what the log says, the worklist short of orders that are long past; while Kafka is away it stays as it was, and
the log of this process says so. Until it has been read once it says that it is not known, never that it is empty.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from datetime import date, timedelta
from typing import Final, Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.kafka import consumer_config, new_consumer
from producers.messages import bytes_of
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import ClinicalContext
from schemas.logs import fields
from schemas.settings import KafkaSettings
from schemas.topics import Topic

log = logging.getLogger(__name__)

_POLL_S: Final = 0.5
_AGAIN_S: Final = 2.0
_ASK_S: Final = 3.0
#: Entries that go at once when there are too many, as a share.
_ROOM: Final = 0.1


class Table(Protocol):
    """What is filled from the topic; called by one thread."""

    def apply(self, key: bytes, context: ClinicalContext | None) -> None:
        """Take the newest word of a key; ``None`` removes it."""
        ...

    def keep_only(self, keys: Collection[bytes]) -> None:
        """A reading from the beginning is at its end, and found these keys."""
        ...


class ScheduledOrders:
    """Orders with a worklist item by Kafka key, bounded in number and age. Safe to use from several threads.

    Parameters
    ----------
    most
        Entries that are kept; beyond it those that start first go.
    keep_days
        An order goes so many days after its last scheduled step.
    today
        Date at the site.
    """

    def __init__(self, most: int, keep_days: int, today: Callable[[], date]) -> None:
        self._most = most
        self._keep_days = keep_days
        self._today = today
        self._entries: dict[bytes, ClinicalContext] = {}
        self._swept: date | None = None
        self._lock = threading.Lock()

    def apply(self, key: bytes, context: ClinicalContext | None) -> None:
        """Take the newest word of a key: ``None`` removes it, as does an order that is past or not scheduled."""
        with self._lock:
            self._entries.pop(key, None)
            if context is not None and _last_date(context) >= self._oldest():
                self._entries[key] = context
            if len(self._entries) > self._most:
                self._make_room()

    def keep_only(self, keys: Collection[bytes]) -> None:
        """Remove what a new reading from the beginning did not find: its tombstone may be gone, too."""
        with self._lock:
            self._entries = {key: order for key, order in self._entries.items() if key in keys}

    def entries(self) -> list[ClinicalContext]:
        """All orders of now."""
        with self._lock:
            if self._swept != self._today():
                self._sweep()
            return list(self._entries.values())

    def _oldest(self) -> str:
        return (self._today() - timedelta(days=self._keep_days)).strftime("%Y%m%d")

    def _sweep(self) -> None:
        oldest, self._swept = self._oldest(), self._today()
        self._entries = {key: order for key, order in self._entries.items() if _last_date(order) >= oldest}

    def _make_room(self) -> None:
        self._sweep()
        kept = int(self._most * (1 - _ROOM)) or 1
        if len(self._entries) > kept:
            by_date = sorted(self._entries.items(), key=lambda entry: _last_date(entry[1]))
            self._entries = dict(by_date[-kept:])
            log.warning(
                "the worklist is longer than is kept: raise SCANSTREAM_GATEWAY_WORKLIST_MOST",
                extra=fields(most=self._most),
            )


def _last_date(context: ClinicalContext) -> str:
    """Start of the last scheduled step (DA); empty without a worklist item, and while the order is held."""
    steps = () if context.worklist is None or context.order_status == "held" else context.worklist.steps
    return max((step.start_date for step in steps), default="")


class ContextReader:
    """Thread that keeps tables up to date.

    Parameters
    ----------
    settings
        Connection.
    codec
        Decodes values.
    client_id
        Name of the process, seen in the broker's logs.
    tables
        Take what is read.
    """

    def __init__(self, settings: KafkaSettings, codec: Codec, client_id: str, *tables: Table) -> None:
        self._settings = settings
        self._codec = codec
        self._client_id = client_id
        self._tables = tables
        self._stop = threading.Event()
        self._read = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="context-reader", daemon=True)

    @property
    def is_read(self) -> bool:
        """Whether the topic has been read to its end once."""
        return self._read.is_set()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more; returns at once."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and wait for it."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(2 * _ASK_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except KafkaException as error:
                self._missed(error.args[0].str())
                self._stop.wait(_AGAIN_S)
            except DestinationUnavailable as error:
                self._missed(str(error))
                self._stop.wait(_AGAIN_S)
            except Exception:
                log.exception("clinical.context could not be read")
                self._stop.wait(_AGAIN_S)

    def _follow(self) -> None:
        """Read until told to stop."""
        # The group id is required by the client and never used: nothing is subscribed or committed.
        config = consumer_config(self._settings, self._client_id, f"{self._client_id}.context")
        consumer = new_consumer(config | {"enable.partition.eof": True})
        try:
            unread, found, whole = self._assign(consumer), set[bytes](), False
            while not self._stop.is_set():
                message = consumer.poll(_POLL_S)
                if message is None:
                    continue
                self._take(message, unread)
                if not whole:
                    found.add(bytes_of(message.key()) or b"")
                    whole = not unread
                    if whole:
                        for table in self._tables:
                            table.keep_only(found)
                        self._read.set()
                        log.info("clinical context read", extra=fields(entries=len(found)))
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> set[int]:
        """Take every partition from its beginning; returns them."""
        metadata = consumer.list_topics(Topic.CONTEXT.value, timeout=_ASK_S).topics[Topic.CONTEXT.value]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        partitions = set(metadata.partitions)
        consumer.assign([TopicPartition(Topic.CONTEXT.value, number, OFFSET_BEGINNING) for number in partitions])
        return partitions

    def _take(self, message: Message, unread: set[int]) -> None:
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                unread.discard(int(message.partition() or 0))
            else:
                self._missed(error.str())
            return
        if self._away:
            self._away = False
            log.info("clinical.context is followed again")
        key, value = bytes_of(message.key()) or b"", bytes_of(message.value())
        try:
            context = None if value is None else self._codec.decode(value)
        except InvalidMessage:
            log.warning(
                "an order or admission cannot be decoded and is left out",
                extra=fields(topic=message.topic(), partition=message.partition(), offset=message.offset()),
            )
            return
        for table in self._tables:
            table.apply(key, context if isinstance(context, ClinicalContext) else None)

    def _missed(self, reason: str) -> None:
        """Say once that the table grows old."""
        if not self._away:
            self._away = True
            log.warning(
                "Kafka is away: orders and worklist stay as they were",
                extra=fields(reason=reason, read=self.is_read),
            )


class WorklistReader(ContextReader):
    """Keeps the worklist up to date.

    Parameters
    ----------
    settings, codec, client_id
        See :class:`ContextReader`.
    table
        The worklist.
    """

    def __init__(self, settings: KafkaSettings, codec: Codec, client_id: str, table: ScheduledOrders) -> None:
        super().__init__(settings, codec, client_id, table)
        self._scheduled = table

    def orders(self) -> list[ClinicalContext] | None:
        """What is scheduled; ``None`` while that has not been read."""
        return self._scheduled.entries() if self.is_read else None
