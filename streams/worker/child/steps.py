"""What a task in work wants next, as its generator says it; and the ways a step can be waited for."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.base import Tensors
from engines.steps import Advanced
from streams.worker.answers import Answer
from streams.worker.protocol import Aside

if TYPE_CHECKING:
    from engines.model import Model


@dataclass(frozen=True)
class Request:
    """Compute this on the engine of a model; answered by the outputs, or by an error that is raised."""

    model: Model
    tensors: Tensors


@dataclass(frozen=True)
class Transfer:
    """What follows waits for the network: it goes on in a thread that may wait.

    ``holds_bytes`` is the memory that the task holds from now on, where that changed.
    """

    holds_bytes: int | None = None


@dataclass(frozen=True)
class Compute:
    """What follows is arithmetic again; ``holds_bytes`` as in :class:`Transfer`."""

    holds_bytes: int | None = None


@dataclass(frozen=True)
class Wait:
    """What follows needs what somebody else does; until then no thread is held, and no image yet."""

    until: Future[None]


@dataclass(frozen=True)
class Told:
    """The task has its answer; what follows is beside it, and given up when there is other work."""

    answer: Answer


#: One task, from its beginning to its answer.
Steps = Generator[Advanced | Request | Transfer | Compute | Wait | Told | Aside, Tensors | None, Answer]
