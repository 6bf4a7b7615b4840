"""Partitions that come and go: when a worker says that it takes tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import TopicPartition

from schemas.topics import TASK_TOPICS, Priority
from streams.worker.partitions import REBALANCE_S, Partitions

OURS = [TopicPartition(TASK_TOPICS[Priority.P3_NORMAL].value, number) for number in range(3)]


class Group:
    """The consumer's side of a group: the test gives and takes."""

    def __init__(self) -> None:
        self.now = 100.0
        consumer: Any = self
        self.partitions = Partitions(
            consumer, Priority, lambda: [], lambda _: None, threading.Event(), clock=lambda: self.now
        )
        self.partitions.subscribe()

    def serving(self) -> bool:
        return self.partitions.serving

    def subscribe(self, _: Sequence[str], **callbacks: Callable[[Any, list[TopicPartition]], None]) -> None:
        self._callbacks = callbacks

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return partitions

    def resume(self, partitions: list[TopicPartition]) -> None:
        return

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._callbacks["on_assign"](self, partitions)

    def revoke(self) -> None:
        self._callbacks["on_revoke"](self, OURS)

    def lose(self) -> None:
        self._callbacks["on_lost"](self, OURS)


def test_a_rebalance_in_which_partitions_come_back_is_no_end() -> None:
    group = Group()
    assert not group.serving()
    group.assign(OURS)
    assert group.serving()
    group.revoke()
    assert group.serving()
    group.now += REBALANCE_S - 0.1
    assert group.serving()
    group.assign(OURS[:1])
    group.now += 1000
    assert group.serving()


def test_partitions_that_do_not_come_back_are_missed_soon_and_lost_ones_at_once() -> None:
    group = Group()
    group.assign(OURS)
    group.revoke()
    group.now += REBALANCE_S
    group.revoke()  # another rebalance begins while it has none
    assert not group.serving()
    group.assign(OURS)
    group.lose()
    assert not group.serving()


def test_one_that_gets_nothing_takes_no_tasks_though_it_is_in_its_group() -> None:
    group = Group()
    group.assign(OURS)
    group.revoke()
    group.assign([])
    assert not group.serving()
    assert group.partitions.joined
