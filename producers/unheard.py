"""Events that a client has queued and Kafka does not acknowledge → the queue of another client.

A client that can send nothing any more says nothing (:mod:`producers.lost_brokers`), and its statistics would pile
up, about 10 kB each, while nobody publishes and so polls it. So what counts is silence while Kafka answers others.
A plain outage changes no client. Guarantee: no event is lost by the change, and all stay in order; one that Kafka
took without a word comes twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.logs import fields

log = logging.getLogger(__name__)

#: So long may nothing be acknowledged until Kafka is asked whether it answers others, in seconds; and so long
#: again before events move, as the client may be about to connect. A node counts as vanished after 45 s.
LONGEST_S: Final = 20.0
_LOOKS: Final = 2

#: A person may wait for whoever publishes.
_ANSWER_S: Final = 1.0

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
        self._numbers = count()
        self._events: dict[int, Queued] = {}
        self._look_at, self._answers = clock() + LONGEST_S, 0

    def queue(self, event: Queued, client: Producer) -> None:
        """Have a client send an event.

        Raises
        ------
        BufferError
            Its queue is full.
        """
        number = next(self._numbers)

        def told(error: KafkaError | None, message: Message) -> None:
            self._heard()
            if error is None or error.code() not in PURGED:
                self._events.pop(number, None)
            self._delivered(error, message)

        client.produce(**event, on_delivery=told)
        self._events[number] = event

    def heir(self, client: Producer, make: Callable[[], Producer]) -> Producer | None:
        """Another client that should go on with what ``client`` is not heard of; ``None``: nothing should change.

        Kafka is asked through one that ``make`` gives, once in :data:`LONGEST_S` of silence.
        """
        client.poll(0)  # acknowledgements that came while nobody asked
        if not self._events:
            self._heard()
        if self._clock() <= self._look_at:
            return None
        other = make()
        try:
            other.list_topics(timeout=_ANSWER_S)
        except KafkaException:
            self._heard()  # nobody hears anything: an outage, which this client outlives
            return None
        self._answers += 1
        self._look_at = self._clock() + LONGEST_S
        return other if self._answers >= _LOOKS else None

    def moved(self, old: Producer, new: Producer) -> Producer:
        """Hand everything from ``old`` to ``new``, which is returned."""
        old.purge()
        old.flush(_EMPTY_S)
        events, self._events = list(self._events.values()), {}
        for event in events:
            self.queue(event, new)
        self._heard()
        log.warning("Kafka acknowledges nothing: going on with another client", extra=fields(events=len(events)))
        return new

    def _heard(self) -> None:
        self._look_at = self._clock() + LONGEST_S
        self._answers = 0
