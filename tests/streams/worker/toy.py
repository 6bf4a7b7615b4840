"""``python -m tests.streams.worker.toy``: a real worker whose computing process only sleeps, step by step.

What a task asks of it stands in its indication: ``steps=N``, ``volume=N`` (a finding of so many millilitres),
``fails-on=NODE``. ``TOY_STEP_S`` is the length of a step.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import time
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

from producers.process import run
from schemas import ids
from schemas.errors import TransientFailure
from schemas.events import (
    Category,
    Code,
    Finding,
    InferenceResult,
    InferenceTask,
    Measurement,
    ModelIdentity,
    ModelState,
    ResultOutcome,
    TaskState,
    VersionState,
)
from schemas.topics import Topic
from streams.worker import answers
from streams.worker.answers import Answer
from streams.worker.child import Setup
from streams.worker.priors import VOLUME
from streams.worker.protocol import (
    Abandon,
    Begin,
    Computing,
    Ended,
    FromChild,
    Health,
    Loaded,
    Moved,
    Name,
    Rerank,
    ToChild,
)
from streams.worker.worker import body
from tests.streams.worker.tasks import MODEL

IDENTITY = ModelIdentity(MODEL, "1", "ab" * 32, "maker", "2.25.1", "toy")
MILLILITRES = Code("mL", "UCUM", "milliliter")
BRAIN = Code("12738006", "SCT", "Brain")


def asked(task: InferenceTask, what: str) -> str | None:
    """Value of a wish of the indication."""
    wishes = dict(wish.partition("=")[::2] for wish in (task.indication or "").split())
    return wishes.get(what)


def result_of(task: InferenceTask, node: str) -> Answer:
    """A result as a model would give it."""
    now = datetime.now(UTC)
    if asked(task, "fails-on") == node:
        return answers.failed_for_now(task, IDENTITY, TransientFailure("not here"), node, now)
    plain = answers.could_not_run(task, IDENTITY, TransientFailure("replaced below"), node, now)
    result = next(event for _, _, event in plain.events if isinstance(event, InferenceResult))
    volume = asked(task, "volume")
    finding = Finding(
        event_id=ids.event_id("finding-event", task.task_id),
        occurred_at=now,
        finding_id=ids.event_id("finding", task.task_id),
        finding_type="brain-volume",
        task_id=task.task_id,
        study_instance_uid=task.study_instance_uid,
        series_instance_uid=task.series[0].series_instance_uid,
        revision=task.revision,
        code=BRAIN,
        category=Category.ROUTINE,
        tracking_id="brain-volume-1",
        tracking_uid=ids.dicom_uid("tracking", task.task_id),
        measurements=(Measurement(VOLUME, float(volume or 0), MILLILITRES),),
    )
    result = dataclasses.replace(
        result,
        outcome=ResultOutcome.NO_FINDINGS if volume is None else ResultOutcome.FINDINGS,
        findings=() if volume is None else (finding,),
        reason=None,
    )
    moved = answers.status(task, TaskState.COMPLETED, node, now)
    events = ((Topic.RESULTS, task.study_instance_uid, result), (Topic.STATUS, task.task_id, moved))
    return Answer(result.outcome.value, events)


class ToyChild:
    """:class:`streams.worker.child.ChildLink` over a thread that sleeps; the lowest rank has the next step."""

    exitcode = None
    alive = True

    def __init__(self, setup: Setup) -> None:
        self._node = setup.node
        self._step_s = float(os.environ.get("TOY_STEP_S", "0.02"))
        self._said: SimpleQueue[FromChild] = SimpleQueue()
        self._told: SimpleQueue[ToChild] = SimpleQueue()
        self._tasks: dict[Name, tuple[float, int, InferenceTask]] = {}
        threading.Thread(target=self._work, daemon=True).start()

    def send(self, message: ToChild) -> None:
        self._told.put(message)

    def receive(self, timeout_s: float) -> FromChild | None:
        try:
            return self._said.get(timeout=timeout_s) if timeout_s > 0 else self._said.get_nowait()
        except Empty:
            return None

    def kill(self) -> None:
        raise AssertionError("it never stands still")

    def close(self) -> None:
        return

    def _work(self) -> None:
        self._said.put(Loaded("toy", (ModelState(MODEL, "1", "ab" * 32, VersionState.SERVING),), (IDENTITY,)))
        told_at = 0.0
        while True:
            if time.monotonic() - told_at > 1:
                told_at = time.monotonic()
                self._said.put(Health(1))
            self._listen()
            if self._tasks:
                self._step(min(self._tasks, key=lambda name: self._tasks[name][0]))

    def _listen(self) -> None:
        try:
            message = self._told.get_nowait() if self._tasks else self._told.get(timeout=0.1)
            while True:
                self._do(message)
                message = self._told.get_nowait()
        except Empty:
            return

    def _do(self, message: ToChild) -> None:
        match message:
            case Begin(task, rank):
                self._tasks[task.task_id, task.attempt] = (rank, int(asked(task, "steps") or 2), task)
                self._said.put(Moved((task.task_id, task.attempt), TaskState.PREPROCESSING, 10))
            case Rerank(name, rank) if name in self._tasks:
                self._tasks[name] = (rank, *self._tasks[name][1:])
            case Abandon(name):
                self._tasks.pop(name, None)

    def _step(self, name: Name) -> None:
        rank, steps, task = self._tasks[name]
        self._said.put(Computing((name,)))
        self._said.put(Moved(name, TaskState.INFERRING, 40))
        time.sleep(self._step_s)
        self._tasks[name] = (rank, steps - 1, task)
        if steps <= 1:
            del self._tasks[name]
            self._said.put(Computing(()))
            self._said.put(Ended(name, result_of(task, self._node)))


def main() -> int:
    return run("worker", lambda process: body(process, ToyChild))


if __name__ == "__main__":
    sys.exit(main())
