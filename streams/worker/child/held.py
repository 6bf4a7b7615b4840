"""One task that the child holds: where it stands, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from engines.base import Tensors
from schemas.events import TaskState
from streams.worker.child.steps import Request, Steps
from streams.worker.protocol import EMERGENCIES_BELOW, Begin, Name

#: Percent of the whole task that a state begins and ends with.
SPANS: Final = {
    TaskState.PREPROCESSING: (10, 40),
    TaskState.INFERRING: (40, 80),
    TaskState.POSTPROCESSING: (80, 99),
}


class Place(Enum):
    """Who does the next step of a task."""

    #: A thread that may wait for the network.
    NETWORK = "network"
    #: A thread that decodes, resamples, measures.
    HAND = "hand"
    #: The engine.
    ENGINE = "engine"
    #: Nobody here: what it waits for is done elsewhere.
    ELSEWHERE = "elsewhere"


@dataclass(eq=False)
class Held:
    """A task in work.

    Attributes
    ----------
    begin
        As the parent sent it.
    steps
        Its generator.
    number
        Order of arrival.
    moved_at
        Monotonic seconds of its arrival, or of the end of its latest step.
    rank
        The lowest goes first.
    place
        Who does its next step.
    running
        Whether somebody does it now.
    begun
        Whether anything was done yet: until then it holds no memory.
    bytes
        Memory that it holds, about.
    reply
        What its generator is sent, or raises, next.
    request
        What the engine is to compute.
    abandoned
        Nothing more is said of it.
    answered
        It has its answer, and what it does now is beside it.
    """

    begin: Begin
    steps: Steps
    number: int
    moved_at: float
    rank: float
    place: Place = Place.NETWORK
    running: bool = False
    begun: bool = False
    bytes: int = 0
    reply: Tensors | Exception | None = None
    request: Request | None = None
    abandoned: bool = False
    answered: bool = False
    told: tuple[TaskState, int] | None = field(default=None, repr=False)

    @property
    def name(self) -> Name:
        """Task id and attempt."""
        return (self.begin.task.task_id, self.begin.task.attempt)

    @property
    def emergency(self) -> bool:
        """Whether nothing else may begin a step while it is under way; it may have become one meanwhile."""
        return self.rank < EMERGENCIES_BELOW

    @property
    def order(self) -> tuple[float, int]:
        """Sorting key: by rank, then as they came."""
        return (self.rank, self.number)

    def progress(self, state: TaskState, fraction: float) -> int | None:
        """Percent of the task to tell; ``None`` when that would say little new."""
        first, last = SPANS.get(state, (0, 0))
        percent = first + int((last - first) * min(max(fraction, 0.0), 1.0))
        if self.told is not None and self.told[0] is state and percent < self.told[1] + _WORTH_TELLING:
            return None
        self.told = (state, percent)
        return percent


def expected_bytes(begin: Begin) -> int:
    """Memory that a task will hold, about, before any image of it is there: that of its largest series."""
    images = [max(len(series.sop_instance_uids), series.number_of_frames or 0) for series in begin.task.series]
    return max(images, default=0) * BYTES_OF_AN_IMAGE


#: 512 × 512 pixels as stored, and as 32-bit numbers.
BYTES_OF_AN_IMAGE: Final = 512 * 512 * (2 + 4)

#: Percent.
_WORTH_TELLING: Final = 5

#: Makes the generator of a task.
StepsOf = Callable[[Begin], Steps]
