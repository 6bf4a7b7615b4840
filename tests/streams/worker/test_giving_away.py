"""Which node a task goes to that failed here."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from schemas.events import BegunTask, InferenceTask, ModelState, NodeHeartbeat, NodeState, VersionState
from schemas.topics import TASK_TOPICS, Priority
from streams.worker.giving_away import MOST_FORWARDS, destination
from streams.worker.job import GIVEN_AWAY, Partition, Received
from streams.worker.nodes import SILENT_S, Nodes
from tests.streams.worker.tasks import MODEL, START, task

P1, P2, P3, P4 = Priority
FAILED: InferenceTask = task(None, P2, excluded_nodes=("node-1",), attempt=2)
SERVES = ModelState(MODEL, "1", "ab" * 32, VersionState.SERVING)


def beat(node: str = "node-2") -> NodeHeartbeat:
    return NodeHeartbeat(f"beat-{node}", START, node, START, NodeState.READY, "onnx", (SERVES,))


def others(*beats: NodeHeartbeat, after_s: float = 10.0) -> list[str]:
    nodes = Nodes()
    for entry in beats:
        nodes.hear(entry.node, entry)
    return nodes.others_for(FAILED, "node-1", START + timedelta(seconds=after_s))


def test_a_node_that_lives_and_serves_the_model_counts() -> None:
    assert others(beat("node-3"), beat("node-2"), beat("node-1")) == ["node-2", "node-3"]


@pytest.mark.parametrize(
    "change",
    [
        {"node": "node-1"},
        {"state": NodeState.DRAINING},
        {"models": ()},
        {"models": (dataclasses.replace(SERVES, state=VersionState.REFUSED),)},
        {"occurred_at": START - timedelta(seconds=SILENT_S)},
    ],
    ids=["excluded", "stops", "has no models", "refused the model", "silent"],
)
def test_another_does_not(change: dict[str, object]) -> None:
    assert others(dataclasses.replace(beat(), **change)) == []  # type: ignore[arg-type] # one field of it


def test_the_newest_word_of_a_node_counts_and_a_tombstone_ends_it() -> None:
    assert others(beat(), dataclasses.replace(beat(), state=NodeState.UNHEALTHY)) == []
    nodes = Nodes()
    nodes.hear("node-2", beat())
    nodes.hear("node-2", None)
    assert nodes.others_for(FAILED, "node-1", START) == []


def works(node: str, life: int, deaths: int = 0, **changes: Any) -> NodeHeartbeat:
    began = START + timedelta(seconds=life)
    return dataclasses.replace(
        beat(node), started_at=began, begun=(BegunTask("t", 1, deaths),), occurred_at=began, **changes
    )


def deaths(*beats: NodeHeartbeat, node: str = "node-1", life: int = 9, after_s: float = 10.0) -> int:
    nodes = Nodes()
    for entry in beats:
        nodes.hear(entry.node, entry)
    for seconds in range(10, int(after_s) + 1, 10):  # all that time somebody else is heard
        nodes.hear("node-9", dataclasses.replace(beat("node-9"), occurred_at=START + timedelta(seconds=seconds)))
    assert nodes.vanished(("t", 2), node, START + timedelta(seconds=life)) == 0
    return nodes.vanished(("t", 1), node, START + timedelta(seconds=life))


def test_a_worker_that_begins_anew_has_vanished_over_what_it_worked_on() -> None:
    assert deaths(works("node-1", 0)) == 1  # we are its next life
    assert deaths(works("node-2", 0)) == 0  # it lives
    assert deaths(works("node-2", 0), dataclasses.replace(beat("node-2"), started_at=works("", 5).started_at)) == 1
    assert deaths(works("node-2", 0), works("node-2", 5, 1), works("node-1", 7)) == 2
    assert deaths(works("node-1", 0, 2)) == 3  # it knew of two


def test_a_worker_that_is_silent_for_long_has_vanished_and_one_that_took_its_task_back_has_not() -> None:
    assert deaths(works("node-2", 0), works("node-3", 0), after_s=SILENT_S + 20) == 2
    took_back = dataclasses.replace(works("node-2", 0), begun=(), state=NodeState.DRAINING)
    assert deaths(works("node-2", 0), took_back, after_s=SILENT_S + 20) == 0
    assert deaths(works("node-1", 9), after_s=SILENT_S + 20) == 0  # these are our own words


def test_late_words_of_a_former_life_change_nothing() -> None:
    newer = dataclasses.replace(works("node-2", 5), begun=())
    assert deaths(newer, works("node-2", 0), after_s=SILENT_S + 20) == 0


def test_who_was_fenced_off_and_says_late_that_it_works_on_nothing_has_not_vanished() -> None:
    goodbye = dataclasses.replace(works("node-2", 0), begun=())
    assert deaths(works("node-2", 0), dataclasses.replace(works("node-2", 5), begun=()), goodbye) == 0


def test_while_kafka_is_away_nobody_vanishes() -> None:
    nodes = Nodes()
    nodes.hear("node-2", works("node-2", 0))
    nodes.hear("node-1", dataclasses.replace(beat("node-1"), occurred_at=START + timedelta(hours=1)))
    assert nodes.vanished(("t", 1), "node-1", START) == 0


def test_a_topic_that_is_heard_again_takes_no_word_back() -> None:
    nodes = Nodes()
    done = dataclasses.replace(works("node-1", 0), begun=(), occurred_at=START + timedelta(seconds=5))
    for entry in (works("node-1", 0), done, works("node-1", 0)):
        nodes.hear("node-1", entry)
    assert nodes.vanished(("t", 1), "node-1", START + timedelta(seconds=9)) == 0


def test_what_was_beside_others_in_the_last_life_is_not_given_up() -> None:
    both = (BegunTask("t", 1, 2), BegunTask("u", 1, 2))
    assert deaths(dataclasses.replace(works("node-1", 0), begun=both)) == 2
    lives = [works(f"node-{number}", 0) for number in (2, 3, 4, 5)]  # none of them heard of the others
    assert deaths(*lives, after_s=SILENT_S + 20) == 2


def test_it_goes_to_a_partition_of_its_class_that_such_a_node_has() -> None:
    owners = {
        Partition(TASK_TOPICS[P2], 0): "node-1",
        Partition(TASK_TOPICS[P2], 1): "node-2",
        Partition(TASK_TOPICS[P3], 2): "node-2",
        Partition(TASK_TOPICS[P2], 3): "node-3",
    }
    assert destination(FAILED, ["node-2"], owners, 0) == Partition(TASK_TOPICS[P2], 1)
    assert destination(FAILED, [], owners, 0) is None
    assert destination(FAILED, ["node-9"], owners, 0) is None
    found = {destination(task(None, P2), ["node-2", "node-3"], owners, 0) for _ in range(50)}
    assert found == {Partition(TASK_TOPICS[P2], 1), Partition(TASK_TOPICS[P2], 3)}


def test_it_is_forwarded_a_bounded_number_of_times() -> None:
    owners = {Partition(TASK_TOPICS[P2], 1): "node-2"}
    place = Partition(TASK_TOPICS[P2], 0)
    for text, expected in ((b"2", 2), (b"3", 3), (b"x", 0)):
        assert Received(place, 1, headers=[(GIVEN_AWAY, text)]).given_away == expected
    assert destination(FAILED, ["node-2"], owners, MOST_FORWARDS - 1) is not None
    assert destination(FAILED, ["node-2"], owners, MOST_FORWARDS) is None
