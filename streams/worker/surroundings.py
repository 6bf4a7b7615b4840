"""What the desk may ask and do, as functions that are given to it: whoever builds it decides what they reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from schemas.events import ModelIdentity, PriorResult, TaskStatus
from streams.clock import Instant
from streams.worker.job import Job, Partition
from streams.worker.ledger import Settlement
from streams.worker.protocol import Name, ToChild


@dataclass(frozen=True)
class Surroundings:
    """What a desk may ask and do.

    Attributes
    ----------
    tell
        Say something to the computing process.
    settle
        Write an answer; :meth:`streams.worker.desk.Desk.written` follows.
    announce
        Publish at once that a task moved.
    identity
        Version of a model that serves here.
    computing
        What the step under way is about.
    prior
        Newest result of the same patient and model.
    vanished
        Workers that vanished while they worked on an attempt.
    elsewhere
        Where a task that failed here can go: a partition, ``None``: nowhere, or the monotonic moment when to ask
        again.
    """

    tell: Callable[[ToChild], None]
    settle: Callable[[Settlement, Job], None]
    announce: Callable[[Job, TaskStatus], None]
    identity: Callable[[str], ModelIdentity | None]
    computing: Callable[[], tuple[Name, ...]]
    prior: Callable[[Job], PriorResult | None]
    vanished: Callable[[Name], int]
    elsewhere: Callable[[Job, Instant], Partition | float | None]
