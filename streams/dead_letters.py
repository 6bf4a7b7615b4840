"""Message that cannot be understood → the dead-letter topic, with a brake.

One bad message is its own fault; many in a row mean that this process is wrong (an older release, another
registry), and then it must stop before it has put the whole stream aside.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from confluent_kafka import Message

from producers.messages import bytes_of, headers_of
from schemas import headers
from schemas.errors import InvalidMessage, ScanstreamError
from schemas.instants import rfc3339
from schemas.topics import dlq_topic
from streams.clock import Instant

#: So many bad messages in a row stop the process.
BRAKE: Final = 50


class DeadLetter(NamedTuple):
    """One message for the dead-letter topic, as it came if there is room, with the failure in its headers."""

    key: bytes | None
    value: bytes | None
    headers: headers.Headers


class DeadLetters:
    """Dead letters of one transaction, and how many there were in a row.

    Parameters
    ----------
    consumer_group
        Group that could not understand them.
    """

    def __init__(self, consumer_group: str) -> None:
        self.topic = dlq_topic(consumer_group)
        self.letters: list[DeadLetter] = []
        self._consumer_group = consumer_group
        self._in_a_row = 0

    def add(self, message: Message, error: InvalidMessage, at: Instant) -> None:
        """Put a message aside.

        Raises
        ------
        ScanstreamError
            Too many in a row; nothing of this transaction is committed.
        """
        self._in_a_row += 1
        where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        if self._in_a_row > BRAKE:
            raise ScanstreamError(
                f"{self._in_a_row} messages in a row could not be understood, the last at {where} ({error}): "
                "check that this release and SCHEMA_REGISTRY_URL fit the producers, then start again "
                f"(what was put aside is on {self.topic})"
            )
        failure = headers.failure(
            headers_of(message),
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            consumer_group=self._consumer_group,
            attempt=1,
            error=error,
            failed_at=rfc3339(at.utc),
        )
        self.letters.append(
            DeadLetter(*headers.letter(bytes_of(message.key()), bytes_of(message.value()), failure))
        )

    def understood(self) -> None:
        """A message was good: the row ends."""
        self._in_a_row = 0
