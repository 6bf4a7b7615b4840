"""Tasks and commands that are allowed and make no sense: the desk answers each once at most, and goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.events import Event, InferenceResult, InferenceTask, PriorResult, TaskCommand, TaskState
from schemas.topics import TASK_TOPICS, Topic
from streams.worker.answers import Answer
from streams.worker.job import Job, Partition, Received
from streams.worker.ledger import Settlement
from streams.worker.priors import with_change
from streams.worker.protocol import Begin, Moved, Name, Unreachable
from streams.worker.supervisor import Died
from tests.schemas.odd_events import odd, odd_events
from tests.streams.worker.table import Table
from tests.streams.worker.tasks import task

CODEC = Codec()
YEAR_S = 366 * 24 * 3600.0


def names(table: Table) -> tuple[Name, ...]:
    return tuple((begin.task.task_id, begin.task.attempt) for begin in table.told if isinstance(begin, Begin))


def moved(table: Table) -> None:
    for name in names(table):
        table.desk.moved(Moved(name, TaskState.INFERRING, 140), table.now)


def died(table: Table) -> None:
    table.desk.died(Died("ended", names(table)), table.now)


def gateway_away(table: Table) -> None:
    for name in names(table):
        table.desk.unreachable(Unreachable(name, "no answer", 1.0), table.now)
    table.desk.look_at_gateways(table.now)


def written(table: Table) -> None:
    for _, job in table.settled:
        table.desk.written(job, table.now)


FATES: list[Callable[[Table], None]] = [
    moved,
    died,
    gateway_away,
    written,
    lambda table: table.later(YEAR_S),
    lambda table: table.desk.hand_back(table.now),
]


def job_of(task: InferenceTask, offset: int) -> Job:
    topic = TASK_TOPICS[task.priority].value
    return Job(task, Received(Partition(topic, offset % 2), offset, b"key", CODEC.encode(task), []))


def check(settlement: Settlement) -> None:
    """Everything that is written about a task can be."""
    answer = settlement.answer
    for _, key, event in answer.events:
        assert key.encode() is not None
        assert type(CODEC.decode(CODEC.encode(event))) is type(event)
    if answer.retry is not None:
        assert isinstance(CODEC.decode(CODEC.encode(answer.retry)), InferenceTask)
        assert 2 <= answer.retry.attempt <= 3


# a smaller example is not worth minutes
@settings(max_examples=120, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(odd_events([InferenceTask, TaskCommand], most=6), st.lists(st.sampled_from(FATES), max_size=8))
def test_nothing_that_tasks_and_commands_say_stops_the_desk(
    events: list[Event], fates: list[Callable[[Table], None]]
) -> None:
    table = Table()
    for offset, event in enumerate(events):
        read = CODEC.decode(CODEC.encode(event))
        if isinstance(read, InferenceTask):
            table.take(job_of(read, offset))
        elif isinstance(read, TaskCommand):
            table.desk.hear(read, table.now)
    for fate in fates:
        table.desk.dispatch(table.now)
        fate(table)
    for status in table.said:
        CODEC.encode(status)
    for settlement, _ in table.settled:
        check(settlement)
    assert max(Counter(id(job) for _, job in table.settled).values(), default=0) <= 1


LAST_DAY = datetime(9999, 12, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "odd_one",
    [{"task_id": "a|b"}, {"attempt": -2}, {"attempt": -(2**63)}, {"losses": 2**63 - 1}, {"deadline": LAST_DAY}],
    ids=str,
)
def test_an_odd_task_whose_process_was_lost_is_tried_again(odd_one: dict[str, Any]) -> None:
    table = Table()
    table.take(job_of(task(**odd_one), 0))
    died(table)
    check(table.settled[-1][0])
    assert table.answer().retry is not None


@pytest.mark.parametrize(
    ("odd_one", "given_up"),
    [({"task_id": "a|b"}, 1), ({"deadline": datetime(1, 1, 1, tzinfo=UTC)}, 1), ({"deadline": LAST_DAY}, 0)],
    ids=str,
)
def test_an_odd_task_waits_for_its_gateway_as_long_as_it_may(odd_one: dict[str, Any], given_up: int) -> None:
    table = Table()
    table.take(job_of(task(**odd_one), 0))
    gateway_away(table)
    table.seconds += YEAR_S
    table.desk.look_at_gateways(table.now)
    assert len(table.settled) == given_up


def test_a_task_that_counts_from_below_has_no_more_attempts_than_others() -> None:
    table = Table()
    table.take(job_of(task(attempt=-7), 0))
    died(table)
    following = table.answer().retry
    assert following is not None
    assert following.attempt == 2


@settings(max_examples=100, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(odd(InferenceTask), odd(PriorResult), odd(InferenceResult))
def test_any_earlier_result_can_be_compared_with(
    about: InferenceTask, prior: PriorResult, result: InferenceResult
) -> None:
    plain = Answer("done", ((Topic.RESULTS, "key", result),))
    for _, key, event in with_change(plain, about, prior).events:
        assert key.encode() is not None
        assert type(CODEC.decode(CODEC.encode(event))) is type(event)
