"""The way of one series through a model, in steps that others may be let in between.

A run is a generator: it yields what it reached and what it wants computed, and is sent the outputs. So whoever
drives it decides what goes first, may run requests of several series as one batch, and may give a run up between
any two steps; the run itself knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from engines.base import Tensors
from engines.outcome import Outcome
from schemas.events import TaskState


@dataclass(frozen=True)
class Advanced:
    """A stage began or went on; ``fraction`` of it is done, from 0 to 1."""

    state: TaskState
    fraction: float = 0.0


@dataclass(frozen=True)
class Infer:
    """Inputs of the graph by name, wanted back as outputs by name.

    Where the model batches (``max_batch_size`` above 0 in ``config.pbtxt``) the first axis counts independent
    rows, at most ``max_batch_size`` of them; the outputs have as many.
    """

    tensors: Tensors


#: Sent ``None`` for :class:`Advanced` and the outputs for :class:`Infer`.
Run = Generator[Advanced | Infer, Tensors | None, Outcome]


def drive(run: Run, infer: Callable[[Tensors], Tensors]) -> Outcome:
    """Run to the end without letting anything in between; for validation, benchmarks and tests."""
    answer: Tensors | None = None
    while True:
        try:
            step = run.send(answer)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        answer = infer(step.tensors) if isinstance(step, Infer) else None
