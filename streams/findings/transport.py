"""Faust's Kafka transport, made strict: reads only what is committed, and skips nothing at a rebalance.

Faust's own transport reads messages of open and aborted transactions unless the app itself writes in transactions,
and it can lose messages that were fetched just before a rebalance: it does not go back where a partition has no
committed offset, and it drops what lies before its own note of the last offset read. Here a partition goes back to
its committed offset, or to its beginning, after each rebalance. Reading twice is the price.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from zlib import crc32

from aiokafka.errors import KafkaError  # type: ignore[import-untyped] # ships no types
from faust.transport.consumer import RecordMap
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.logs import fields

log = logging.getLogger(__name__)

#: Of the classes that extend Faust's: else each start and stop of a service would be told as one of ours.
faust_log = logging.getLogger("faust")


class CommittedThread(driver.AIOKafkaConsumerThread):
    """The Kafka client of the consumer, in its own thread."""

    logger = faust_log

    def _create_worker_consumer(self, transport: Any) -> Any:
        client = super()._create_worker_consumer(transport)
        # read when the client starts; Faust sets it only for apps with transactions of their own
        client._isolation_level = "read_committed"
        return client

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go back to what is committed; to the beginning where nothing is."""
        committed: Mapping[TP, int] = await self.call_thread(self._seek_to_committed)
        return committed

    async def _seek_to_committed(self) -> Mapping[TP, int]:
        client = self._ensure_consumer()
        committed: Mapping[TP, int] = await client.seek_to_committed()
        new = [partition for partition, offset in committed.items() if not offset]
        if new:
            await client.seek_to_beginning(*new)
        return committed

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        # Faust ends the whole app when one commit fails; the next one says the same and more
        client = self._ensure_consumer()
        owned = client.assignment()
        try:
            await client.commit({partition: offset for partition, offset in offsets.items() if partition in owned})
        except KafkaError as error:
            log.warning("offsets not committed yet", extra=fields(reason=f"{type(error).__name__}: {error}"))
            return False
        return True


class _NothingRead(defaultdict[TP, int | None]):
    """Note of the last offset read that never stands in the way of reading again."""

    def __getitem__(self, _partition: TP) -> None:
        return None


class CommittedConsumer(driver.Consumer):
    """Consumer of committed messages."""

    logger = faust_log

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NothingRead()

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> RecordMap:
        generation = self.app.consumer_generation_id
        records = await super()._getmany(active_partitions, timeout)
        if not records or (generation == self.app.consumer_generation_id and self.flow_active):
            return records
        # fetched under an assignment that has ended: Faust would take them for the new one's
        try:
            await self.perform_seek()
        except (KafkaError, AssertionError) as error:
            # nothing assigned just now: the next assignment seeks again
            log.info("fetched messages dropped during a rebalance", extra=fields(reason=str(error)))
        return {}


class OrderedProducer(driver.Producer):
    """Producer that repeats nothing and keeps the order when it has to send again (idempotent)."""

    logger = faust_log

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    @property
    def has_died(self) -> bool:
        """Whether the client has stopped sending for good: what ended its task is raised at each later message."""
        sender = self._producer._sender.sender_task if self._producer is not None else None
        return sender is not None and sender.done()


class CommittedTransport(driver.Transport):
    """Transport of strict readers."""

    Consumer = CommittedConsumer
    Producer = OrderedProducer


def partition_of(key: bytes | None, all_partitions: list[int], _available: list[int]) -> int:
    """Partition of a key as librdkafka chooses it, so that a study lies where our other producers put it."""
    return sorted(all_partitions)[crc32(key or b"") % len(all_partitions)]
