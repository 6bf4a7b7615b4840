"""Tasks in work whose steps the test steers, and engines that show what they were asked."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Generator
from queue import Queue
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.base import Tensors
from engines.config_pbtxt import DynamicBatching
from engines.model import Model
from schemas.events import InferenceTask
from schemas.topics import Priority
from streams.worker.answers import Answer
from streams.worker.child.choice import Limits
from streams.worker.child.held import Held, StepsOf
from streams.worker.child.scheduler import Scheduler
from streams.worker.child.steps import Compute, Request, Steps, Transfer
from streams.worker.protocol import EMERGENCIES_BELOW, Begin, Computing, Ended, FromChild
from tests.engines.phantom import model_of
from tests.services import wait_for
from tests.streams.worker.tasks import task

T = TypeVar("T")

P1, P2, P3, P4 = Priority


class RowEngine:
    """out = 2 × in, row by row; keeps the inputs and does first what the test wants."""

    def __init__(self, before: Callable[[NDArray[Any]], None] = lambda _: None) -> None:
        self.seen: list[list[float]] = []
        self._before = before

    def identity(self) -> str:
        return "rows"

    def infer(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        self.seen.append([float(row.ravel()[0]) for row in tensors["in"]])
        self._before(tensors["in"])
        return {"out": tensors["in"] * 2}


def model(
    engine: Any, most_rows: int = 0, batching: DynamicBatching | None = None, name: str = "function"
) -> Model:
    """A model of that engine."""
    made, _ = model_of((4, 4, 4))
    config = dataclasses.replace(made.config, max_batch_size=most_rows, dynamic_batching=batching)
    info = made.info.model_copy(update={"name": name})
    return dataclasses.replace(made, info=info, engine=engine, config=config)


def array(value: float, rows: int = 1) -> Tensors:
    return {"in": np.full((rows, 3), value, np.float32)}


def begin(number: int, priority: Priority = P3, *, alone: bool = False, **changes: Any) -> Begin:
    """A task of the class, whose id is its number."""
    named: InferenceTask = task(f"1.{number}", priority, task_id=str(number), **changes)
    return Begin(named, rank_of(priority), alone)


def rank_of(priority: Priority) -> float:
    """A rank of that class."""
    return EMERGENCIES_BELOW / 2 if priority is P1 else EMERGENCIES_BELOW * priority.rank


def held(number: int, priority: Priority = P3, *, alone: bool = False, **changes: Any) -> Held:
    """A task in work."""
    asked = begin(number, priority, alone=alone)
    return dataclasses.replace(Held(asked, nothing(asked), number, 0.0, asked.rank), **changes)


def nothing(_: Begin) -> Steps:
    """A task without steps."""
    yield Compute()
    return Answer("done", ())


class Work:
    """A scheduler with its threads; the test gives the steps."""

    def __init__(self, steps_of: StepsOf, limits: Limits | None = None) -> None:
        self.said: Queue[FromChild] = Queue()
        self.scheduler = Scheduler(steps_of, self._unexpected, self.said.put, limits)
        self.threads = self.scheduler.start_threads()
        self.threads.append(threading.Thread(target=self.scheduler.compute, daemon=True))
        self.threads[-1].start()

    @staticmethod
    def _unexpected(_: InferenceTask, error: Exception) -> Answer:
        return Answer(f"unexpected {type(error).__name__}", ())

    def begin(self, *begins: Begin) -> None:
        for entry in begins:
            self.scheduler.begin(entry)

    def next(self, kind: type[T]) -> T:
        """The next message of this kind; those before it are dropped."""
        while True:
            message = self.said.get(timeout=60)
            if isinstance(message, kind):
                return message

    def ended(self, count: int) -> dict[str, str]:
        """Outcome of the next tasks that end, in their order."""
        answers = [self.next(Ended) for _ in range(count)]
        return {answer.name[0]: answer.answer.outcome for answer in answers}

    def until_ready(self, count: int) -> None:
        """Wait until so many tasks are computed or wait for the engine."""
        wait_for(lambda: sum(entry.request is not None for entry in self.scheduler.in_work()) == count, "requests")

    def close(self) -> list[FromChild]:
        """End the threads; what was said and not asked for."""
        self.scheduler.close()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        left = []
        while not self.said.empty():
            left.append(self.said.get())
        return [entry for entry in left if not isinstance(entry, Computing)]


def compute(
    model: Model, value: float, rows: int = 1
) -> Generator[Compute | Transfer | Request, Tensors | None, str]:
    """One request; what came back, as text."""
    reply = yield Request(model, array(value, rows))
    assert reply is not None
    return str(reply["out"][:, 0].tolist())


class Gate:
    """Somewhere in a step: the test sees that it was reached, and lets it pass."""

    def __init__(self) -> None:
        self._reached, self._open = threading.Event(), threading.Event()

    def __call__(self, *_: object) -> None:
        self._reached.set()
        assert self._open.wait(60)

    def reached(self) -> None:
        assert self._reached.wait(60)

    def open(self) -> None:
        self._open.set()
