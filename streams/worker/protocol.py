"""What the Kafka process of a worker and its computing child say to each other, over one pipe each way. Pure.

The child never speaks to Kafka and the parent never computes. Tasks go down, answers come up; pixels, masks and
engines stay in the child. A task is named by its id and attempt, so an answer to one that was given up meanwhile
is recognised and dropped. A pipe that closes ends the other side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.events import Event, InferenceTask, ModelIdentity, ModelState, TaskState
from schemas.topics import Topic
from streams.worker.answers import Answer

#: Task id and attempt.
Name = tuple[str, int]

#: Ranks of emergencies are below, all others are not: while one is under way nothing else begins a step.
EMERGENCIES_BELOW: Final = 1.0


@dataclass(frozen=True)
class Begin:
    """Work on this task; of several, the lowest ``rank`` computes first at every step.

    ``alone`` keeps it apart from others, no shared batch and nothing beside it: it may have ended a child before.
    """

    task: InferenceTask
    rank: float
    alone: bool = False


@dataclass(frozen=True)
class Rerank:
    """A task became more or less urgent."""

    name: Name
    rank: float


@dataclass(frozen=True)
class Abandon:
    """No answer is wanted any more; stop at the next step and say nothing."""

    name: Name


@dataclass(frozen=True)
class Ended:
    """The task has its answer."""

    name: Name
    answer: Answer


@dataclass(frozen=True)
class Moved:
    """The task entered a stage, or went on in it; ``progress`` in percent of the whole task."""

    name: Name
    state: TaskState
    progress: int


@dataclass(frozen=True)
class Computing:
    """These tasks are in the step that begins now, several where they share a batch; none: it waits for work.

    Said before the step, so that whoever sees the child die or stand still knows which tasks it was at.
    """

    names: tuple[Name, ...]


@dataclass(frozen=True)
class Unreachable:
    """The gateway that holds the images is away: the task waits in the parent, no attempt is counted."""

    name: Name
    reason: str
    retry_after_s: float | None


@dataclass(frozen=True)
class Loaded:
    """Models are verified and warm; also said again when one was refused or replaced later.

    ``identities`` are those of the versions that serve, so that the parent can say which model could not run.
    """

    engine: str
    models: tuple[ModelState, ...]
    identities: tuple[ModelIdentity, ...] = ()


@dataclass(frozen=True)
class Health:
    """The child is alive; said every few seconds, also while a step computes. ``memory_bytes`` are resident."""

    memory_bytes: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Aside:
    """Something to tell beside the tasks, such as what a shadow said of one that has its answer; may get lost."""

    topic: Topic
    key: str
    event: Event


ToChild = Begin | Rerank | Abandon
FromChild = Ended | Moved | Computing | Unreachable | Loaded | Health | Aside
