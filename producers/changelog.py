"""Compacted topic → latest value of each key, read from its beginning to its end, without a consumer group.

Guarantee: every transaction that was committed before the call is in the answer, also one whose commit markers
are still on their way to this partition: the reader waits for the fate of whatever lies below the high watermark
(at most the transaction timeout of a writer that died). Aborted records are never in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.kafka import consumer_config, new_consumer
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings

#: Key → value of one partition.
Latest = dict[bytes, bytes]

_POLL_S: Final = 0.2


def read_compacted(
    settings: KafkaSettings,
    topic: str,
    client_id: str,
    *,
    stop: threading.Event | None = None,
    timeout_s: float = 60.0,
) -> Latest:
    """Latest value of each key of a compacted topic; a tombstone removes its key.

    Parameters
    ----------
    settings
        Connection.
    topic
        Compacted topic.
    client_id
        Name of the process, seen in the broker's logs.
    stop
        Ends the reading early, with an error, when the process must end.
    timeout_s
        Longest time without any progress, in seconds.

    Raises
    ------
    DestinationUnavailable
        The topic could not be read to its end; ask again.
    """
    partitions = read_partitions(settings, topic, client_id, stop=stop, timeout_s=timeout_s)
    return {key: value for latest in partitions.values() for key, value in latest.items()}


def read_partitions(
    settings: KafkaSettings,
    topic: str,
    client_id: str,
    partitions: Collection[int] | None = None,
    *,
    stop: threading.Event | None = None,
    timeout_s: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
) -> dict[int, Latest]:
    """:func:`read_compacted`, of some partitions (``None``: all) and told apart by partition."""
    # The group id is required by the client and never used: nothing is subscribed or committed.
    config = consumer_config(settings, client_id, f"{client_id}.changelog", fetch_wait_ms=50)
    consumer = new_consumer(config | {"enable.partition.eof": True, "fetch.wait.max.ms": 10})
    try:
        # Asking for the topic first also tells the client its leaders; else it waits half a second for them.
        existing = _all_partitions(consumer, topic)
        wanted = sorted(existing if partitions is None else partitions)
        return _read(consumer, topic, wanted, stop or threading.Event(), timeout_s, clock)
    except KafkaException as error:
        raise DestinationUnavailable(f"{topic} could not be read: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _all_partitions(consumer: Consumer, topic: str) -> list[int]:
    metadata = consumer.list_topics(topic, timeout=10.0).topics[topic]
    if metadata.error is not None:
        raise DestinationUnavailable(f"{topic} could not be read: {metadata.error.str()}; create the topics first")
    return list(metadata.partitions)


def _read(
    consumer: Consumer,
    topic: str,
    partitions: list[int],
    stop: threading.Event,
    timeout_s: float,
    clock: Callable[[], float],
) -> dict[int, Latest]:
    found: dict[int, Latest] = {partition: {} for partition in partitions}
    ends: dict[int, int] = {}
    unfinished = set(partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    progress = clock()
    while unfinished:
        message = consumer.poll(_POLL_S)
        if message is None:
            if stop.is_set():
                raise DestinationUnavailable(f"{topic} was not read to its end: the process is stopping")
            if clock() - progress > timeout_s:
                raise DestinationUnavailable(f"{topic} did not answer for {timeout_s:.0f} s: check the broker")
            continue
        progress = clock()
        partition = _checked(message).partition()
        if partition not in unfinished:
            continue
        if partition not in ends:
            ends[partition] = _high_watermark(consumer, topic, partition)
        if message.error() is None:
            _keep(found[partition], message)
        if _reached(message) >= ends[partition]:
            unfinished.discard(partition)
    return found


def _checked(message: Message) -> Message:
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    return message


def _high_watermark(consumer: Consumer, topic: str, partition: int) -> int:
    """End of the partition as its last fetch told: beyond the last stable offset while a transaction is open."""
    return int(consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)[1])


def _reached(message: Message) -> int:
    """Offset up to which the partition is read; its end event also stands behind control records."""
    offset = message.offset() or 0
    return offset + 1 if message.error() is None else offset


def _keep(latest: Latest, message: Message) -> None:
    key, value = message.key(), message.value()
    if key is None:
        return
    if value is None:
        latest.pop(key, None)
    else:
        latest[key] = value
