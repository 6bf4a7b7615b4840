"""Steps of several tasks by rank; every order is forced by gates, none by time."""

from __future__ import annotations

from typing import Any

import pytest

from engines.steps import Advanced
from schemas.errors import DestinationUnavailable, OutOfMemory, TransientFailure
from schemas.events import TaskState
from streams.worker.answers import Answer
from streams.worker.child.choice import Limits
from streams.worker.child.held import BYTES_OF_AN_IMAGE
from streams.worker.child.steps import Compute, Steps, Transfer
from streams.worker.protocol import Begin, Computing, Ended, Moved, Unreachable
from tests.services import wait_for
from tests.streams.worker.child.works import P1, P3, P4, Gate, RowEngine, Work, begin, compute, model

#: What three images that are not there yet are taken for.
THREE_IMAGES = 3 * BYTES_OF_AN_IMAGE


def number_of(asked: Begin) -> float:
    return float(asked.task.task_id)


def test_an_emergency_is_let_in_at_the_next_step_and_what_ran_goes_on_after_it() -> None:
    first_step, fetching = Gate(), Gate()
    engine = RowEngine(lambda rows: first_step() if rows.ravel()[0] == 4 else None)
    made = model(engine)

    def steps(asked: Begin) -> Steps:
        if asked.task.priority is P1:
            fetching()
            yield Compute()
            yield from compute(made, 1)
        for value in (4, 5, 6) if asked.task.priority is P4 else ():
            yield from compute(made, value)
        return Answer("done", ())

    work = Work(steps)
    work.begin(begin(4, P4))
    first_step.reached()
    work.begin(begin(1, P1))
    fetching.reached()
    first_step.open()
    # the routine task could go on now; it does not, because the emergency would have to wait for its step
    fetching.open()
    assert list(work.ended(2)) == ["1", "4"]
    assert engine.seen == [[4], [1], [5], [6]]
    work.close()


def test_a_task_that_became_more_urgent_goes_first() -> None:
    gate = Gate()
    engine = RowEngine(lambda rows: gate() if rows.ravel()[0] == 0 else None)
    made = model(engine)

    def steps(asked: Begin) -> Steps:
        yield from compute(made, number_of(asked))
        return Answer("done", ())

    work = Work(steps)
    work.begin(begin(0))
    gate.reached()
    work.begin(begin(1), begin(2))
    work.scheduler.rerank(("2", 1), 1.5)
    work.scheduler.rerank(("no such task", 1), 1.5)
    work.until_ready(3)
    gate.open()
    assert len(work.ended(3)) == 3
    assert engine.seen == [[0], [2], [1]]
    work.close()


def test_a_task_that_became_an_emergency_is_one() -> None:
    gate, fetching = Gate(), Gate()
    engine = RowEngine(lambda rows: gate() if rows.ravel()[0] == 4 else None)
    made = model(engine)

    def steps(asked: Begin) -> Steps:
        if asked.task.task_id == "3":
            fetching()
            yield Compute()
        yield from compute(made, number_of(asked))
        yield from compute(made, 10 * number_of(asked))
        return Answer("done", ())

    work = Work(steps)
    work.begin(begin(4, P4))
    gate.reached()
    work.begin(begin(3, P3))
    fetching.reached()
    work.scheduler.rerank(("3", 1), 0.5)
    gate.open()
    fetching.open()
    assert list(work.ended(2)) == ["3", "4"]
    assert engine.seen == [[4], [3], [30], [40]]
    work.close()


def test_the_next_tasks_are_fetched_and_prepared_while_the_engine_works() -> None:
    engine_busy, prepared = Gate(), [Gate(), Gate()]
    made = model(RowEngine(lambda rows: engine_busy() if rows.ravel()[0] == 0 else None))

    def steps(asked: Begin) -> Steps:
        yield Advanced(TaskState.PREPROCESSING)
        yield Compute(1000)
        yield from compute(made, number_of(asked))
        yield Transfer()
        return Answer("done", ())

    def then_gate(asked: Begin) -> Steps:
        number = int(number_of(asked))
        if number:
            yield Compute()
            prepared[number - 1]()
        return (yield from steps(asked))

    work = Work(then_gate)
    work.begin(begin(0))
    engine_busy.reached()
    work.begin(begin(1), begin(2))
    for gate in prepared:
        gate.reached()  # while the engine is still busy with the first one
        gate.open()
    engine_busy.open()
    assert sorted(work.ended(3)) == ["0", "1", "2"]
    work.close()


def test_no_more_is_prefetched_than_memory_allows() -> None:
    engine_busy = Gate()
    begun: list[str] = []
    made = model(RowEngine(engine_busy))

    def steps(asked: Begin) -> Steps:
        begun.append(asked.task.task_id)
        yield Compute(20_000_000)
        yield from compute(made, 1)
        return Answer("done", ())

    work = Work(steps, Limits(tasks=5, held_bytes=2 * THREE_IMAGES))
    work.begin(*(begin(number) for number in range(4)))
    engine_busy.reached()
    assert len(begun) <= 2
    work.begin(begin(9, P1))  # an emergency always has room
    wait_for(lambda: "9" in begun, "the emergency")
    engine_busy.open()
    assert len(work.ended(5)) == 5
    assert begun.index("9") <= 3
    work.close()


def test_requests_of_several_tasks_are_computed_together_and_each_gets_its_own() -> None:
    gate = Gate()
    engine = RowEngine(lambda rows: gate() if rows.ravel()[0] == 0 else None)
    made = model(engine, most_rows=4)

    def steps(asked: Begin) -> Steps:
        number = int(number_of(asked))
        return Answer((yield from compute(made, number, 2 if number == 3 else 1)), ())

    work = Work(steps)
    work.begin(begin(0))
    gate.reached()
    work.begin(*(begin(number) for number in (1, 2, 3, 4)))
    work.until_ready(5)
    gate.open()
    assert work.ended(5) == {"0": "[0.0]", "1": "[2.0]", "2": "[4.0]", "3": "[6.0, 6.0]", "4": "[8.0]"}
    assert engine.seen[1:] == [[1, 2, 3, 3], [4]]
    work.close()


def test_want_of_memory_halves_the_batch_and_at_one_row_it_is_the_tasks_failure() -> None:
    gate = Gate()

    def little_memory(rows: Any) -> None:
        if rows.ravel()[0] == 0:
            gate()
        if len(rows) > 1 or rows.ravel()[0] == 2:
            raise OutOfMemory("no room")

    engine = RowEngine(little_memory)
    made = model(engine, most_rows=8)

    def steps(asked: Begin) -> Steps:
        try:
            return Answer((yield from compute(made, number_of(asked))), ())
        except TransientFailure as error:
            return Answer(type(error).__name__, ())

    work = Work(steps)
    work.begin(begin(0))
    gate.reached()
    work.begin(*(begin(number) for number in (1, 2, 3, 4)))
    work.until_ready(5)
    gate.open()
    assert work.ended(5) == {"0": "[0.0]", "1": "[2.0]", "2": "OutOfMemory", "3": "[6.0]", "4": "[8.0]"}
    assert [len(rows) for rows in engine.seen[:4]] == [1, 4, 2, 1]
    work.begin(begin(5))
    assert work.ended(1) == {"5": "[10.0]"}
    work.close()


def test_one_request_that_breaks_a_batch_breaks_only_itself() -> None:
    gate = Gate()

    def brittle(rows: Any) -> None:
        if rows.ravel()[0] == 0:
            gate()
        if (rows == 2).any():
            raise TransientFailure("device lost")

    made = model(RowEngine(brittle), most_rows=8)

    def steps(asked: Begin) -> Steps:
        try:
            return Answer((yield from compute(made, number_of(asked))), ())
        except TransientFailure as error:
            return Answer(str(error), ())

    work = Work(steps)
    work.begin(begin(0))
    gate.reached()
    work.begin(begin(1), begin(2), begin(3))
    gate.open()
    assert work.ended(4) == {"0": "[0.0]", "1": "[2.0]", "2": "device lost", "3": "[6.0]"}
    work.close()


@pytest.mark.parametrize("stage", ["network", "hand", "engine", "between"])
def test_of_a_task_that_is_given_up_nothing_is_said_whatever_it_does(stage: str) -> None:
    gates = {name: Gate() for name in ("network", "hand", "engine", "other")}
    gates["between"] = gates["other"]
    if stage != "between":
        gates["other"].open()
    for name, gate in gates.items():
        if name not in (stage, "other"):
            gate.open()
    engine = RowEngine(lambda rows: gates["engine" if rows.ravel()[0] == 7 else "other"]())
    made = model(engine)
    closed = Gate()
    closed.open()

    def steps(asked: Begin) -> Steps:
        try:
            if asked.task.task_id == "7":
                gates["network"]()
                yield Compute()
                gates["hand"]()
            yield from compute(made, number_of(asked))
            yield Advanced(TaskState.POSTPROCESSING)
            return Answer("done", ())
        finally:
            if asked.task.task_id == "7":
                closed()

    work = Work(steps)
    if stage == "between":
        work.begin(begin(8))
        gates["other"].reached()
    work.begin(begin(7))
    if stage == "between":
        work.until_ready(2)
    else:
        gates[stage].reached()
    work.scheduler.abandon(("7", 1))
    for gate in gates.values():
        gate.open()
    if stage == "between":
        assert work.ended(1) == {"8": "done"}
    work.begin(begin(9))
    assert work.ended(1) == {"9": "done"}
    closed.reached()
    assert [entry for entry in work.close() if isinstance(entry, Moved | Ended) and entry.name[0] == "7"] == []


def test_a_task_that_waits_is_given_up_before_anything_is_done() -> None:
    gate = Gate()
    begun = []

    def steps(asked: Begin) -> Steps:
        begun.append(asked.task.task_id)
        gate()
        yield Compute()
        return Answer("done", ())

    work = Work(steps, Limits(tasks=1))
    work.begin(begin(0))
    gate.reached()
    work.begin(begin(1), begin(2))
    work.scheduler.abandon(("1", 1))
    work.scheduler.abandon(("1", 1))
    gate.open()
    assert list(work.ended(2)) == ["0", "2"]
    assert begun == ["0", "2"]
    work.close()


def test_the_same_task_may_come_back_while_its_last_step_runs() -> None:
    gates = [Gate(), Gate()]
    tries = iter(gates)

    def steps(_: Begin) -> Steps:
        gate = next(tries)
        gate()
        yield Compute()
        return Answer(f"try {gates.index(gate)}", ())

    work = Work(steps)
    work.begin(begin(1))
    gates[0].reached()
    work.scheduler.abandon(("1", 1))
    work.begin(begin(1))
    gates[1].reached()
    gates[0].open()
    gates[1].open()
    assert work.ended(1) == {"1": "try 1"}
    assert [entry for entry in work.close() if isinstance(entry, Ended)] == []


def test_what_is_alone_has_nothing_beside_it() -> None:
    inside: list[str] = []
    most = []
    made = model(RowEngine(), most_rows=8)

    def steps(asked: Begin) -> Steps:
        for _ in range(3):
            inside.append(asked.task.task_id)
            most.append(tuple(inside))
            inside.remove(asked.task.task_id)
            yield Compute()
            yield from compute(made, number_of(asked))
        return Answer("done", ())

    work = Work(steps)
    work.begin(*(begin(number, alone=number == 2) for number in range(5)))
    assert len(work.ended(5)) == 5
    left: list[tuple[str, ...]] = [entry for entry in most if "2" in entry]
    assert left == [("2",)] * 3
    work.close()


def test_a_gateway_that_is_away_and_an_error_that_nobody_expected() -> None:
    def steps(asked: Begin) -> Steps:
        yield Compute()
        if asked.task.task_id == "1":
            raise DestinationUnavailable("away", 7.0)
        raise ZeroDivisionError

    work = Work(steps)
    work.begin(begin(1))
    assert work.next(Unreachable) == Unreachable(("1", 1), "away", 7.0)
    work.begin(begin(2))
    assert work.ended(1) == {"2": "unexpected ZeroDivisionError"}
    assert work.close() == []


def test_what_hangs_on_the_network_leaves_a_thread_for_an_emergency_and_gives_way_itself() -> None:
    gate = Gate()

    def steps(asked: Begin) -> Steps:
        if asked.task.priority is not P1:
            gate()
        yield Compute()
        return Answer("done", ())

    work = Work(steps, Limits(network=2))
    work.begin(begin(4, P4))
    gate.reached()
    work.begin(begin(5, P4), begin(1, P1))
    assert work.ended(1) == {"1": "done"}
    gate.open()
    assert len(work.ended(2)) == 2
    work.close()


def test_progress_is_told_when_it_says_something_and_who_computes_before_it_does() -> None:
    made = model(RowEngine())

    def steps(asked: Begin) -> Steps:
        yield Advanced(TaskState.PREPROCESSING)
        for step in range(100):
            yield Advanced(TaskState.INFERRING, step / 100)
        yield from compute(made, 1)
        yield Advanced(TaskState.POSTPROCESSING, 0.5)
        return Answer("done", ())

    work = Work(steps)
    work.begin(begin(1, P3))
    ended: Ended | None = None
    said = []
    while ended is None:
        message = work.said.get(timeout=60)
        said.append(message)
        ended = message if isinstance(message, Ended) else None
    moves = [(entry.state.value, entry.progress) for entry in said if isinstance(entry, Moved)]
    assert moves == [
        ("preprocessing", 10),
        *(("inferring", at) for at in range(40, 80, 5)),
        ("postprocessing", 89),
    ]
    assert Computing((("1", 1),)) in said
    assert work.said.get(timeout=60) == Computing(())
    assert work.scheduler.problems() == ()
    work.close()
