"""Event → Kafka from a request: durable when the call returns, or an error that the client can act on."""

from __future__ import annotations

import threading
from typing import Final

from producers.kafka import EventPublisher
from schemas.events import Event
from schemas.topics import Topic

#: A person waits for the answer.
_LONGEST_S: Final = 5.0


class Publish:
    """Publishes one event at a time; called from the threads of requests.

    Parameters
    ----------
    publisher
        Without transactions.
    """

    def __init__(self, publisher: EventPublisher) -> None:
        self._publisher = publisher
        self._lock = threading.Lock()

    def __call__(self, topic: Topic, key: str, event: Event) -> None:
        """Write one event.

        Raises
        ------
        DestinationUnavailable
            Kafka did not acknowledge it in time; it may still arrive later.
        """
        with self._lock:
            self._publisher.publish(topic, key, event)
            self._publisher.flush(_LONGEST_S)
