"""Partitions → the offsets that their consumer group committed, once these are certain.

Guarantee: while the transaction of a former owner is open, its offsets are not told: it may still commit. The
broker ends the transaction of a process that was killed after its time-out, so asking again has an end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from producers.kafka import TRANSACTION_TIMEOUT_MS
from schemas.errors import DestinationUnavailable

#: One question, in seconds; a request to stop is seen after it.
ASK_S: Final = 5.0

#: Longest wait, in seconds: the time-out of a transaction, and the broker looks for such only every ten seconds.
SETTLED_S: Final = TRANSACTION_TIMEOUT_MS / 1000 + 15.0

_ASK_AGAIN: Final = frozenset({KafkaError._TIMED_OUT, KafkaError.UNSTABLE_OFFSET_COMMIT})


def committed_offsets(
    consumer: Consumer,
    partitions: Sequence[TopicPartition],
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> list[TopicPartition]:
    """Committed positions with their metadata; a partition without one has a negative offset.

    Parameters
    ----------
    consumer
        A member of the group, also from within its rebalance callback.
    partitions
        Where to look.
    stop
        Ends the waiting early, with an error.
    clock
        Monotonic seconds.

    Raises
    ------
    DestinationUnavailable
        The broker did not tell them in time; join the group anew.
    """
    if not partitions:
        return []
    end = clock() + SETTLED_S
    while True:
        try:
            places = consumer.committed(list(partitions), timeout=ASK_S)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
        else:
            errors = [place.error for place in places if place.error is not None]
            if not errors:
                return places
            reason = errors[0]
        if reason.code() not in _ASK_AGAIN or stop.is_set() or clock() >= end:
            raise DestinationUnavailable(
                f"Kafka did not tell the committed offsets ({reason.str()}): check the broker"
            )
