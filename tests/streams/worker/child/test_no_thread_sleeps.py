"""Many tasks of all kinds at once: whatever meets whatever, each ends, and is answered once or given up."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import Future

import pytest

from engines.steps import Advanced
from schemas.errors import DestinationUnavailable
from schemas.events import TaskState
from schemas.topics import Topic
from streams.worker import answers
from streams.worker.answers import Answer
from streams.worker.child import choice
from streams.worker.child.choice import Limits
from streams.worker.child.steps import Compute, Request, Steps, Told, Transfer, Wait
from streams.worker.protocol import Aside, Begin, Ended, Name, Unreachable
from tests.services import wait_for
from tests.streams.worker.child.works import P1, P3, P4, RowEngine, Work, array, begin, model
from tests.streams.worker.tasks import START

#: Of one task; so all of them together are bounded.
MOST_STEPS = 12
TASKS = 120


class Crowd:
    """Tasks whose steps are drawn by a seed; what they wait for is done by a thread of its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.steps_done: Counter[str] = Counter()
        self._models = [model(RowEngine(), 4), model(RowEngine(), 0, name="other")]

    def steps(self, asked: Begin) -> Steps:
        name = asked.task.task_id
        draw = random.Random(f"{self.seed} {name}")
        if draw.random() < 0.2:
            loaded = Future[None]()
            threading.Thread(target=loaded.set_result, args=(None,), daemon=True).start()
            yield Wait(loaded)
        for number in range(draw.randrange(1, MOST_STEPS)):
            self.steps_done[name] += 1
            match draw.randrange(6):
                case 0:
                    yield Advanced(TaskState.INFERRING, number / MOST_STEPS)
                case 1:
                    yield Transfer()
                case 2:
                    yield Compute(draw.choice([None, 0, 10, 2_000_000]))
                case 3 | 4:
                    reply = yield Request(draw.choice(self._models), array(number, draw.randrange(1, 3)))
                    assert reply is not None
                case _:
                    yield Compute()
        end = draw.random()
        if end < 0.1:
            raise DestinationUnavailable("away", 1.0)
        if end < 0.2:
            raise ValueError("whatever")
        if end < 0.4 and asked.task.priority is not P1 and not asked.alone:
            yield Told(Answer("told", ()))
            yield Compute()
            yield Request(self._models[0], array(1))
            said = answers.status(asked.task, TaskState.COMPLETED, "one", START)
            yield Aside(Topic.STATUS, name, said)
        return Answer("done", ())


@pytest.mark.parametrize("seed", range(8))
def test_every_task_ends_and_is_answered_once_or_given_up(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    # no look at the clock may help a thread that was not woken
    monkeypatch.setattr(choice, "KEPT_FREE_S", 1e6)
    draw = random.Random(seed)
    crowd = Crowd(seed)
    work = Work(crowd.steps, Limits(tasks=draw.randrange(1, 9), held_bytes=draw.choice([1, 4_000_000, 1 << 30])))
    given_up: dict[Name, int] = {}
    begun: list[Name] = []
    for number in range(TASKS):
        priority = draw.choices([P1, P3, P4], [1, 4, 4])[0]
        asked = begin(number, priority, alone=draw.random() < 0.1)
        begun.append((asked.task.task_id, asked.task.attempt))
        work.begin(asked)
        if draw.random() < 0.2:
            work.scheduler.rerank(draw.choice(begun), draw.choice([0.5, 1.5, 3.0]))
        if draw.random() < 0.1:
            name = draw.choice(begun)
            work.scheduler.abandon(name)
            given_up.setdefault(name, 0)
    wait_for(lambda: not work.scheduler.in_work(), "all of them to end", 30)
    said = Counter(entry.name for entry in work.close() if isinstance(entry, Ended | Unreachable))
    assert max(said.values()) == 1
    assert set(begun) - set(said) <= set(given_up)  # one that was given up may have had its answer before
    assert sum(crowd.steps_done.values()) <= TASKS * MOST_STEPS


def test_emergencies_that_come_together_are_fetched_together() -> None:
    together = threading.Barrier(2)

    def steps(_: Begin) -> Steps:
        together.wait(5)
        yield Compute()
        return Answer("done", ())

    work = Work(steps, Limits(network=2))
    for number in range(0, 400, 2):
        work.begin(begin(number, P1), begin(number + 1, P1))
        assert set(work.ended(2).values()) == {"done"}
    work.close()
