"""Kafka message → one result to deliver, with what its headers say of earlier attempts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from schemas.errors import InvalidMessage
from schemas.events import Event, InferenceResult
from schemas.headers import Headers, header


@dataclass(frozen=True)
class Received:
    """A message as it was read, before anything is known of its content.

    Attributes
    ----------
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
    def place(self) -> tuple[str, int]:
        """Topic and partition."""
        return self.topic, self.partition

    @property
    def where(self) -> str:
        """``topic[partition]@offset``, for logs."""
        return f"{self.topic}[{self.partition}]@{self.offset}"

    @property
    def attempt(self) -> int:
        """Number of this attempt, 1 for the first."""
        return _number(self._told("scanstream_attempt")) + 1

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

    def _told(self, name: str) -> str | None:
        return header(self.headers, name) if self.is_retry else None


@dataclass(frozen=True)
class Item:
    """One result to deliver."""

    received: Received
    result: InferenceResult

    @property
    def study(self) -> str:
        """Results of one study keep their order."""
        return self.result.study_instance_uid

    @property
    def source(self) -> str:
        """Gateway that holds the pixels, ``host:port``."""
        return urlsplit(self.result.retrieve_url).netloc

    @property
    def urgency(self) -> tuple[int, int]:
        """Smaller is sooner: class of urgency, then age."""
        return self.result.priority.rank, self.received.timestamp_ms


def result_of(event: Event) -> InferenceResult:
    """Make sure that an event is a result.

    Raises
    ------
    InvalidMessage
        It is something else.
    """
    if not isinstance(event, InferenceResult):
        raise InvalidMessage(f"a {type(event).__name__} is no result: find out who writes it to this topic")
    return event


def _number(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0
