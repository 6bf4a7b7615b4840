"""What the writer is asked to do, and what it asks of others while it does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from producers.store.files import Written
from producers.store.headers import Headers
from producers.store.index import Known
from producers.store.outbox import Message
from producers.store.outcome import ConflictPolicy, PutOutcome, Received

#: Messages of a new instance; gets the Unix time of storing last.
Announce = Callable[[Received, Headers, Written, float], Sequence[Message]]


@dataclass(frozen=True)
class Put:
    """An instance whose file waits in ``incoming``; ``done`` is called once, from the writer's thread.

    Attributes
    ----------
    messages
        What the outbox gets should the instance be new; made beforehand, because all wait for the one writer.
    adopted
        The file is in its place already: it is one that a start found without a row.
    """

    received: Received
    headers: Headers
    written: Written
    done: Callable[[PutOutcome], None]
    messages: tuple[Message, ...] = ()
    adopted: bool = False


@dataclass(frozen=True)
class Announcement:
    """Messages for the outbox that belong to no instance; ``done(False)`` means that they were not written."""

    messages: tuple[Message, ...]
    done: Callable[[bool], None]


@dataclass(frozen=True)
class Deletion:
    """A study, a series (``sop`` is ``None``) or one instance is to go, because ``who`` said so.

    ``done`` gets the number of instances that went, or ``None`` when it could not be done. With ``stored_before``
    (Unix seconds) nothing goes when any of the instances is younger.
    """

    study: str
    series: str | None
    sop: str | None
    who: str
    done: Callable[[int | None], None]
    stored_before: float | None = None


Job = Put | Announcement | Deletion


class Auditor(Protocol):
    """Makes the audit events of the store; times are Unix seconds. None may carry patient identity."""

    def conflict(self, policy: ConflictPolicy, put: Put, before: Known, at: float) -> Message:
        """Other bytes came under a SOP Instance UID that is stored; ``policy`` was followed."""
        ...

    def deleted(self, deletion: Deletion, count: int, whole_study: bool, at: float) -> Message:
        """Instances were deleted; ``whole_study`` says that nothing of the study is left."""
        ...

    def disk_filling(self, used_fraction: float, at: float) -> Message:
        """The disk passed the mark at which somebody should free space."""
        ...


@dataclass(frozen=True)
class Rules:
    """How one store does its work; ``audit`` is ``None`` for tools that open a store on their own account."""

    root: Path
    announce: Announce
    audit: Auditor | None = None
    policy: ConflictPolicy = ConflictPolicy.REJECT
