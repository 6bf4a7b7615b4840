"""Offsets are committed when their messages are done, and told again until Kafka takes them."""

from __future__ import annotations

from collections.abc import Mapping

from faust.types import TP

from streams.findings.progress import Progress

FIRST, SECOND = TP("inference.results", 0), TP("inference.results", 1)


class Kafka:
    def __init__(self) -> None:
        self.up = True
        self.told: list[dict[TP, int]] = []

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.told.append(dict(offsets))
        return self.up


async def test_the_offset_of_the_next_message_is_committed_once() -> None:
    kafka, progress = Kafka(), Progress()
    progress.done(FIRST, 4)
    progress.done(FIRST, 5)
    progress.done(SECOND, 0)
    await progress.commit(kafka.commit)
    await progress.commit(kafka.commit)
    assert kafka.told == [{FIRST: 6, SECOND: 1}]


async def test_what_kafka_did_not_take_is_told_again_unless_more_is_done() -> None:
    kafka, progress = Kafka(), Progress()
    kafka.up = False
    progress.done(FIRST, 4)
    progress.done(SECOND, 8)
    await progress.commit(kafka.commit)
    progress.done(FIRST, 7)
    kafka.up = True
    await progress.commit(kafka.commit)
    assert kafka.told[-1] == {FIRST: 8, SECOND: 9}


async def test_a_partition_that_is_read_again_is_committed_where_it_is_read() -> None:
    kafka, progress = Kafka(), Progress()
    progress.done(FIRST, 9)
    progress.done(FIRST, 3)
    await progress.commit(kafka.commit)
    assert kafka.told == [{FIRST: 4}]
