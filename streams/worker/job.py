"""One task as a worker holds it, from its message to its answer. Data, and what follows from them alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from schemas.events import InferenceTask, TaskState
from schemas.headers import Headers, header
from schemas.topics import Priority
from streams.worker.protocol import Name

#: Header of a task that a node forwarded to another one: how often that happened.
GIVEN_AWAY: Final = "scanstream_given_away"


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int


class Received(NamedTuple):
    """A message as it came, and where it stands."""

    partition: Partition
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers | None = None

    @property
    def place(self) -> str:
        """``topic[partition]@offset``."""
        return f"{self.partition.topic}[{self.partition.number}]@{self.offset}"

    @property
    def given_away(self) -> int:
        """How often other nodes forwarded it."""
        text = header(self.headers, GIVEN_AWAY) if self.headers else None
        return int(text[:9]) if text and text.isdecimal() else 0


class Stage(Enum):
    """How far a job is here: not begun, with the computing process, or answered but not written."""

    WAITING = auto()
    BEGUN = auto()
    ANSWERED = auto()


class Lane(IntEnum):
    """Where a job that may begin competes; the order is that of service at equal shares."""

    EMERGENCY = 1
    DUE = 2
    URGENT = 3
    NORMAL = 4
    ROUTINE = 5
    #: nobody wants it any more
    OVER = 9


@dataclass(eq=False)
class Job:
    """One task that is held.

    Attributes
    ----------
    task
        What to do; an upgrade replaces it.
    received
        The message.
    stage
        How far it is here.
    waiting_since, ready_at
        Monotonic seconds: since when it waits that could begin, and before when it may not.
    held
        Somebody asked to keep it back.
    alone
        Nothing may be computed beside it.
    deaths
        Computing processes that ended while they had it.
    vanished
        Workers that vanished as a whole while they worked on it.
    lane, rank
        Where it competes (``None``: it may not begin now), and its place in the computing process.
    entered, progress
        State and percent that were last said of it.
    turn
        Counts its moves between lanes, so that entries of an earlier one are recognised.
    """

    task: InferenceTask
    received: Received
    stage: Stage = Stage.WAITING
    waiting_since: float = 0.0
    ready_at: float = 0.0
    held: bool = False
    alone: bool = False
    deaths: int = 0
    vanished: int = 0
    lane: Lane | None = None
    rank: float = 0.0
    entered: TaskState | None = None
    progress: int = 0
    turn: int = 0

    @property
    def name(self) -> Name:
        """Task id and attempt."""
        return self.task.task_id, self.task.attempt

    @property
    def partition(self) -> Partition:
        """Where the task came from."""
        return self.received.partition

    @property
    def is_emergency(self) -> bool:
        """Whether it is P1."""
        return self.task.priority is Priority.P1_EMERGENCY

    @property
    def gateway(self) -> str:
        """Gateway that holds the images, ``host:port``."""
        try:
            return urlsplit(self.task.retrieve_url).netloc
        except ValueError:
            return ""
