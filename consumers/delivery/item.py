"""Kafka message → one thing to deliver, with what is needed to choose among many. Pure.

What was read far ahead of its turn is kept as a small record without its bytes; these are fetched again in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from schemas.errors import InvalidMessage
from schemas.events import Adjudication, Event, InferenceResult
from schemas.headers import Headers, header
from schemas.topics import Priority, Topic

#: Topic and partition.
Place = tuple[str, int]

_RANKS: Final = {priority.value: priority.rank for priority in Priority}

#: Python objects of a message beside its bytes, roughly.
_OVERHEAD_BYTES: Final = 2048


@dataclass(frozen=True)
class Received:
    """A message as it was read, before anything is known of its content.

    Attributes
    ----------
    timestamp_ms
        Kafka's, never older than that of the message before it in its partition.
    is_retry
        Whether it comes from the group's retry topic; only then its headers tell of earlier attempts.
    epoch
        Counts the assignments of partitions to this process: what was read under an earlier one is void.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    is_retry: bool
    epoch: int

    @property
    def place(self) -> Place:
        """Topic and partition."""
        return self.topic, self.partition

    @property
    def where(self) -> str:
        """``topic[partition]@offset``, for logs."""
        return f"{self.topic}[{self.partition}]@{self.offset}"

    @property
    def size(self) -> int:
        """Memory that it holds, in bytes, roughly."""
        return len(self.value or b"") + _OVERHEAD_BYTES

    @property
    def attempt(self) -> int:
        """Number of this attempt, 1 for the first."""
        return _number(self._told("scanstream_attempt")) + 1

    @property
    def first_topic(self) -> str:
        """Topic where the message was first read; retries keep it."""
        return self._told("scanstream_topic") or self.topic

    @property
    def first_offset(self) -> int:
        """Offset on the topic where the message was first read; retries keep it."""
        first = self._told("scanstream_offset")
        return self.offset if first is None else _number(first)

    @property
    def not_before(self) -> datetime | None:
        """Moment before which a retry must wait."""
        text = self._told("scanstream_not_before")
        try:
            moment = datetime.fromisoformat(text) if text else None
        except ValueError:
            return None
        return moment if moment is not None and moment.tzinfo is not None else None

    @property
    def rank(self) -> int | None:
        """Class of urgency that the headers tell, 1 for the most urgent, or ``None``."""
        return _RANKS.get(header(self.headers, "ce_priority") or "")

    def _told(self, name: str) -> str | None:
        return header(self.headers, name) if self.is_retry else None


@dataclass(frozen=True)
class Subject:
    """What a destination is told of: a result, or with ``verdict`` the result as it stands after that."""

    result: InferenceResult
    verdict: Adjudication | None = None

    @property
    def event_id(self) -> str:
        """Of the event that is delivered."""
        return (self.verdict or self.result).event_id

    @property
    def since(self) -> datetime:
        """Moment from which its latency counts: creation of the task, or the verdict."""
        return self.verdict.occurred_at if self.verdict else self.result.task_created_at

    @property
    def gateway(self) -> str:
        """Gateway that holds the pixels, ``host:port``; empty where the URL is none."""
        try:
            return urlsplit(self.result.retrieve_url).netloc
        except ValueError:
            return ""


@dataclass(slots=True, eq=False)
class Item:
    """One thing to deliver.

    Attributes
    ----------
    study
        Key of the message: what is about one study keeps its order.
    order
        Place within its study: a retry first, else by time, a result before a verdict of the same moment.
    rank, timestamp_ms
        Class of urgency and age.
    event_id
        Of the event, as the headers tell it.
    source
        Whom it waits for when they are away; ``None`` until the event was decoded.
    received
        The message; ``None`` while it is not in memory.
    """

    place: Place
    offset: int
    study: str
    order: tuple[int, int, int, int]
    rank: int
    timestamp_ms: int
    event_id: str | None
    not_before: datetime | None
    is_retry: bool
    is_review: bool
    source: str | None = None
    received: Received | None = None

    @property
    def urgency(self) -> tuple[int, int]:
        """Smaller is sooner: class of urgency, then age."""
        return self.rank, self.timestamp_ms


def item_of(received: Received, rank: int) -> Item:
    """Item of a message.

    Parameters
    ----------
    received
        The message; it is held by the item.
    rank
        Class of urgency.
    """
    is_review = received.first_topic == Topic.REVIEW
    when = 0 if received.is_retry else received.timestamp_ms
    return Item(
        place=received.place,
        offset=received.offset,
        study=(received.key or b"").decode("utf-8", "replace"),
        order=(not received.is_retry, when, is_review, received.first_offset),
        rank=rank,
        timestamp_ms=received.timestamp_ms,
        event_id=header(received.headers, "ce_id"),
        not_before=received.not_before,
        is_retry=received.is_retry,
        is_review=is_review,
        received=received,
    )


def subject_of(event: Event) -> Subject:
    """Make sure that an event is something to deliver.

    Raises
    ------
    InvalidMessage
        It is something else, or a verdict that does not carry the result that it is about.
    """
    if isinstance(event, InferenceResult):
        return Subject(event)
    if not isinstance(event, Adjudication):
        raise InvalidMessage(f"a {type(event).__name__} is no result: find out who writes it to this topic")
    if event.result is None:
        raise InvalidMessage("a verdict without its result cannot be delivered: update the API that wrote it")
    return Subject(event.result, event)


def _number(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0
