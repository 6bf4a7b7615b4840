"""Partitions that are ours now → the book of each, what to pause, and the offsets to commit.

Shared by everybody who reads far ahead and finishes in any order: the loop of the writers and the workers.
Guarantee: what the metadata of a commit call finished is not given out again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from confluent_kafka import Consumer, TopicPartition

from producers.committed import committed_offsets
from producers.offset_ledger import Ledger

#: Topic and partition.
Place = tuple[str, int]


class AssignedBooks:
    """Books of the partitions that one consumer has.

    Parameters
    ----------
    consumer
        Member of the group.
    stop
        Ends the waiting for committed offsets.
    """

    def __init__(self, consumer: Consumer, stop: threading.Event) -> None:
        self._consumer = consumer
        self._stop = stop
        self._ledgers: dict[Place, Ledger] = {}
        self._paused: set[Place] = set()

    def __contains__(self, place: Place) -> bool:
        return place in self._ledgers

    def __getitem__(self, place: Place) -> Ledger:
        return self._ledgers[place]

    def places(self) -> list[Place]:
        """All partitions that are ours."""
        return list(self._ledgers)

    def unfinished(self) -> int:
        """Messages that were read and are not finished."""
        return sum(map(len, self._ledgers.values()))

    def open(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Begin the books of partitions anew, from what is committed; returns that.

        Raises
        ------
        DestinationUnavailable
            The broker did not tell it.
        """
        positions = committed_offsets(self._consumer, partitions, self._stop)
        for position in positions:
            self._ledgers[position.topic, position.partition] = Ledger(position.offset, position.metadata)
        return positions

    def close(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget all books; these partitions are going."""
        # librdkafka keeps a partition paused that comes back after a rebalance
        self._consumer.resume(list(partitions))
        self._ledgers, self._paused = {}, set()

    def only(self, place: Place) -> int | None:
        """Offset that alone may be worked on while the book of its partition is full; ``None`` where any may."""
        ledger = self._ledgers.get(place)
        return ledger.oldest if ledger is not None and ledger.is_full() else None

    def to_commit(self, places: Iterable[Place]) -> list[TopicPartition]:
        """Offsets, with what is finished beyond them, of some partitions."""
        positions = []
        for topic, partition in sorted(places):
            offset, metadata = self._ledgers[topic, partition].commit()
            positions.append(TopicPartition(topic, partition, offset, metadata))
        return positions

    @property
    def paused(self) -> bool:
        """Whether any partition is paused."""
        return bool(self._paused)

    def pause(self, wanted: set[Place]) -> None:
        """Pause exactly these partitions, and read the others on."""
        pause, resume = wanted - self._paused, self._paused - wanted
        if pause:
            self._consumer.pause([TopicPartition(*place) for place in sorted(pause)])
        if resume:
            self._consumer.resume([TopicPartition(*place) for place in sorted(resume)])
        self._paused = wanted
