"""Requests of several tasks → one run of the engine, and each its own outputs again.

Guarantee: a request gets what it would have got alone, within the arithmetic of the runtime for another batch
size. A batch that fails is computed one by one, so that only who causes it fails; one for which memory does not
suffice is halved, down to one row, and the model keeps the smaller size for a while.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.base import Tensors
from schemas.errors import InvalidInput, OutOfMemory
from schemas.logs import fields
from streams.worker.child.choice import rows

if TYPE_CHECKING:
    from engines.model import Model

log = logging.getLogger(__name__)

#: So many steps at a size that was halved, and the next larger one is tried again.
PATIENCE: Final = 200


class Batches:
    """Runs requests on engines; remembers what memory allowed. For one thread."""

    def __init__(self) -> None:
        self._limits: dict[str, int] = {}
        self._steps: dict[str, int] = {}

    def most_rows(self, model: Model) -> int | None:
        """Largest batch to run now; ``None`` where the model does not batch."""
        most = model.config.max_batch_size
        return min(most, self._limits.get(_key(model), most)) if most > 0 else None

    def run(self, model: Model, requests: Sequence[Tensors]) -> list[Tensors | Exception]:
        """Outputs of each request, or what it must be told."""
        if len(requests) > 1:
            try:
                return list(self._together(model, requests))
            except Exception as error:  # noqa: BLE001 - whoever caused it is found by running each alone
                log.info(
                    "batch is run one by one",
                    extra=fields(model=model.info.name, tasks=len(requests), reason=type(error).__name__),
                )
        return [self._alone(model, tensors) for tensors in requests]

    def _alone(self, model: Model, tensors: Tensors) -> Tensors | Exception:
        try:
            return self._rows(model, tensors)
        except Exception as error:  # noqa: BLE001 - raised again where the task is
            return error

    def _together(self, model: Model, requests: Sequence[Tensors]) -> list[Tensors]:
        joined = {name: np.concatenate([tensors[name] for tensors in requests]) for name in requests[0]}
        outputs = self._rows(model, joined)
        ends = np.cumsum([rows(tensors) for tensors in requests])[:-1]
        parts = {name: np.split(array, ends) for name, array in outputs.items()}
        # copies, so that a task that goes on for long does not keep the arrays of all others
        return [{name: part[index].copy() for name, part in parts.items()} for index in range(len(requests))]

    def _rows(self, model: Model, tensors: Tensors) -> Tensors:
        most = self.most_rows(model)
        if most is None:
            return model.engine.infer(tensors)
        count, done, answers = rows(tensors), 0, list[Tensors]()
        while done < count:
            size = min(self.most_rows(model) or 1, count - done)
            part = (
                tensors if size == count else {name: array[done : done + size] for name, array in tensors.items()}
            )
            try:
                answer = model.engine.infer(part)
            except OutOfMemory:
                if size == 1:
                    raise
                self._halve(model, size)
                continue
            _check(model, answer, size)
            self._recover(model, most)
            answers.append(answer)
            done += size
        return answers[0] if len(answers) == 1 else _joined(answers)

    def _halve(self, model: Model, size: int) -> None:
        self._limits[_key(model)] = size // 2
        self._steps[_key(model)] = 0
        log.warning(
            "engine out of memory, smaller batches from now on",
            extra=fields(model=model.info.name, rows=size, next=size // 2),
        )

    def _recover(self, model: Model, used: int) -> None:
        key = _key(model)
        if key in self._limits:
            self._steps[key] += 1
            if self._steps[key] >= PATIENCE:
                self._limits[key] = used * 2
                self._steps[key] = 0


def _check(model: Model, answer: Tensors, size: int) -> None:
    for name, array in answer.items():
        if array.ndim == 0 or array.shape[0] != size:
            raise InvalidInput(
                f"output {name} of model {model.info.name} has shape {list(array.shape)} for {size} rows: set "
                "max_batch_size to 0 in its config.pbtxt, or correct the graph"
            )


def _joined(answers: Sequence[Tensors]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _key(model: Model) -> str:
    return f"{model.info.name}/{model.info.sha256}"
