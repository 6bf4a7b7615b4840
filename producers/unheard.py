"""Events that a client has queued and Kafka does not acknowledge → the queue of another client.

A client that can send nothing any more says nothing (:mod:`producers.lost_brokers`), and its statistics would pile
up, about 10 kB each, while nobody publishes and so polls it. So what counts is silence. Guarantee: no event is
lost by the change, and all stay in order; one that Kafka took without a word comes twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from schemas.logs import fields

log = logging.getLogger(__name__)

#: So long may nothing be acknowledged, in seconds. A node counts as vanished after 45 s without a heartbeat.
LONGEST_S: Final = 30.0

#: How long a client may take to empty its queue, in seconds; it asks nobody for that.
_EMPTY_S: Final = 1.0

#: Not an error: the message was taken back on purpose.
PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})

#: Arguments of :meth:`confluent_kafka.Producer.produce`.
Queued = dict[str, Any]
Delivered = Callable[[KafkaError | None, Message], None]


class Unheard:
    """Events of one publisher without transactions that are not acknowledged.

    Parameters
    ----------
    delivered
        Told of each event, as ``on_delivery``.
    clock
        Monotonic seconds.
    """

    def __init__(self, delivered: Delivered, clock: Callable[[], float] = time.monotonic) -> None:
        self._delivered = delivered
        self._clock = clock
        self._since = clock()
        self._numbers = count()
        self._events: dict[int, Queued] = {}

    def queue(self, event: Queued, client: Producer) -> None:
        """Have a client send an event.

        Raises
        ------
        BufferError
            Its queue is full.
        """
        number = next(self._numbers)

        def told(error: KafkaError | None, message: Message) -> None:
            self._since = self._clock()
            if error is None or error.code() not in PURGED:
                self._events.pop(number, None)
            self._delivered(error, message)

        client.produce(**event, on_delivery=told)
        self._events[number] = event

    def for_too_long(self, client: Producer) -> bool:
        """Whether events wait in ``client`` and none was acknowledged for :data:`LONGEST_S`."""
        client.poll(0)  # acknowledgements that came while nobody asked
        if not self._events:
            self._since = self._clock()
        return self._clock() - self._since > LONGEST_S

    def moved(self, old: Producer, new: Producer) -> Producer:
        """Hand everything from ``old`` to ``new``, which is returned."""
        old.purge()
        old.flush(_EMPTY_S)
        events, self._events = list(self._events.values()), {}
        for event in events:
            self.queue(event, new)
        self._since = self._clock()
        log.warning("Kafka acknowledges nothing: going on with another client", extra=fields(events=len(events)))
        return new
