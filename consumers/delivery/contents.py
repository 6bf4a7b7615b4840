"""Items that were read ahead → their messages and events, in bounded memory.

Guarantee: reading ahead holds no more than a given number of bytes of messages; what does not fit is known by its
place only, and read again, many at a time, when its turn comes.
"""

from __future__ import annotations

import logging

from consumers.delivery.backlog import Backlog
from consumers.delivery.item import Item, Received, Subject, subject_of
from consumers.delivery.refetch import Refetch
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.headers import require_room
from schemas.logs import fields

log = logging.getLogger(__name__)


class Contents:
    """Messages in memory.

    Parameters
    ----------
    backlog
        Knows the items that wait.
    refetch
        Reads messages again.
    codec
        Of the events.
    limit
        Most bytes of messages that wait, about.
    """

    def __init__(self, backlog: Backlog, refetch: Refetch, codec: Codec, limit: int) -> None:
        self._backlog = backlog
        self._refetch = refetch
        self._codec = codec
        self._limit = limit
        self._used = 0

    @property
    def held(self) -> int:
        """Bytes of messages that wait in memory."""
        return self._used

    def keep(self, item: Item) -> None:
        """Hold the message of an item that waits, or let go of it where there is no room."""
        if item.received is None:
            return
        if self._used >= self._limit:
            item.received = None
        else:
            self._used += item.received.size

    def clear(self) -> None:
        """Forget what is held; its items are void."""
        self._used = 0

    def take(self, item: Item) -> Received:
        """Message of an item that waits no longer; it counts no more.

        Raises
        ------
        DestinationUnavailable
            It must be read again, and Kafka did not answer in time.
        """
        if item.received is not None:
            self._used -= item.received.size
            return item.received
        for received in self._refetch.read(item):
            if received.offset == item.offset:
                item.received = received
                continue
            other = self._backlog.at(received.place, received.offset)
            if other is None or other.received is not None:
                continue
            if self._used >= self._limit:
                break
            other.received = received
            self.keep(other)
        if item.received is None:
            topic, partition = item.place
            log.warning(
                "a result was deleted before it was delivered", extra=fields(source=f"{topic}[{partition}]")
            )
            item.received = Received(
                topic, partition, item.offset, item.study.encode(), None, [], item.timestamp_ms, item.is_retry, 0
            )
        return item.received

    def decode(self, received: Received) -> Subject:
        """Event of a message.

        Raises
        ------
        InvalidMessage
            It is none that can be delivered.
        DestinationUnavailable
            The schema registry is away.
        """
        if received.value is None:
            raise InvalidMessage(
                "the message is empty or was deleted from its topic before it could be delivered: "
                "raise the retention of the topic, and run the model again"
            )
        require_room(received.key, received.value, received.headers)
        return subject_of(self._codec.decode(received.value))
