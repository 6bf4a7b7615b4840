"""What goes on after an answer: versions that run unseen, for as long as nothing else is there to do."""

from __future__ import annotations

import threading

from engines.model import Model
from schemas.events import TaskState
from schemas.topics import Topic
from streams.worker import answers
from streams.worker.answers import Answer
from streams.worker.child.held import StepsOf
from streams.worker.child.steps import Compute, Steps, Told, Transfer
from streams.worker.protocol import Aside, Begin, Computing, Ended
from tests.services import wait_for
from tests.streams.worker.child.works import P4, Gate, RowEngine, Work, begin, compute, model
from tests.streams.worker.tasks import START


def number_of(asked: Begin) -> float:
    return float(asked.task.task_id)


def aside(text: str) -> Aside:
    return Aside(Topic.SHADOW, text, answers.status(begin(0).task, TaskState.QUEUED, "node", START))


def with_a_shadow(gate: Gate, shadow: Model) -> StepsOf:
    def steps(asked: Begin) -> Steps:
        yield Compute()
        if asked.task.task_id == "1":
            yield Told(Answer("done", ()))
            yield Transfer()  # somebody else goes on with it
            yield Compute()
            yield aside((yield from compute(shadow, 1)))
            gate()
            raise ValueError("nobody waits for this any more")
        return Answer("other", ())

    return steps


def test_the_answer_goes_before_what_is_beside_it_and_is_the_only_one() -> None:
    gate = Gate()
    work = Work(with_a_shadow(gate, model(RowEngine())))
    work.begin(begin(1))
    messages = [work.said.get(timeout=60) for _ in range(2)]
    while not isinstance(messages[-1], Aside):
        messages.append(work.said.get(timeout=60))
    ended = next(number for number, message in enumerate(messages) if isinstance(message, Ended))
    assert messages[ended] == Ended(("1", 1), Answer("done", ()))
    assert Computing((("1", 1),)) in messages[ended:], "its step is named: it may end the process"
    assert messages[-1] == aside("[2.0]")
    gate.open()
    wait_for(lambda: not work.scheduler.in_work(), "the end of what is beside")
    assert work.close() == []


def test_what_is_beside_an_answer_is_given_up_for_other_work() -> None:
    computing, closed = Gate(), threading.Event()
    engine = RowEngine(lambda rows: computing() if rows.ravel()[0] == 1 else None)
    made = with_a_shadow(Gate(), model(engine))

    def steps(asked: Begin) -> Steps:
        try:
            return (yield from made(asked))
        finally:
            if asked.task.task_id == "1":
                closed.set()

    work = Work(steps)
    work.begin(begin(1))
    assert work.next(Ended).answer.outcome == "done"
    computing.reached()
    work.begin(begin(2, P4))
    assert work.ended(1) == {"2": "other"}, "it has no thread of the shadow's step to wait for"
    assert not closed.is_set(), "its step under way is the last one"
    computing.open()
    assert closed.wait(60)
    wait_for(lambda: not work.scheduler.in_work(), "the end of what is beside")
    assert work.close() == []


def test_nothing_is_begun_beside_an_answer_while_there_is_other_work() -> None:
    engine, fetching = RowEngine(), Gate()
    made = with_a_shadow(Gate(), model(engine))

    def steps(asked: Begin) -> Steps:
        if asked.task.task_id == "2":
            fetching()
        return (yield from made(asked))

    work = Work(steps)
    work.begin(begin(2))
    fetching.reached()
    work.begin(begin(1))
    assert work.ended(1) == {"1": "done"}
    fetching.open()
    assert work.ended(1) == {"2": "other"}
    assert (work.close(), engine.seen) == ([], [])


def test_a_task_that_is_begun_again_after_its_answer_is_another_one() -> None:
    computing = Gate()
    engine = RowEngine(lambda rows: computing() if rows.ravel()[0] == 1 else None)
    work = Work(with_a_shadow(Gate(), model(engine)))
    work.begin(begin(1))
    assert work.next(Ended).answer.outcome == "done"
    computing.reached()
    work.begin(begin(1))
    work.scheduler.abandon(("1", 1))
    computing.open()
    wait_for(lambda: not work.scheduler.in_work(), "the end of both")
    assert not [message for message in work.close() if isinstance(message, Ended | Aside)]
