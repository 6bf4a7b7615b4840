from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from consumers.delivery.backlog import Backlog
from consumers.delivery.contents import Contents
from consumers.delivery.intake import Intake
from consumers.delivery.item import Place, Received
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable
from schemas.topics import Topic
from tests.consumers.delivery.items import received

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Book:
    """Partitions of which Kafka tells the end, or not."""

    def __init__(self) -> None:
        self.come: list[Received] = []
        self.silent: set[int] = set()

    def poll(self, _: float) -> Received | None:
        return self.come.pop(0) if self.come else None

    def receive(self, message: Received) -> Received:
        return message

    def end_of(self, place: Place) -> int:
        if place[1] in self.silent:
            raise DestinationUnavailable("Kafka did not say")
        return 0

    def has_read(self, place: Place, offset: int) -> bool:
        return True


def intake(book: Any, backlog: Backlog) -> Intake:
    nothing: Any = None
    return Intake(book, book, backlog, Contents(backlog, nothing, Codec(), 1 << 20), Telemetry())


def test_a_verdict_is_taken_in_once_though_the_place_of_the_next_cannot_be_told() -> None:
    book, backlog = Book(), Backlog()
    reader = intake(book, backlog)
    book.come = [
        received(0, study="a", topic=Topic.REVIEW),
        received(0, study="b", topic=Topic.REVIEW, partition=1),
        received(1, study="c", topic=Topic.REVIEW),
    ]
    book.silent = {1}
    for _ in range(2):
        reader.read(0)
    book.silent = set()
    reader.read(0)
    out = []
    while chosen := backlog.next(NOW):
        out.append(chosen.study)
        backlog.finished(chosen.study)
    assert sorted(out) == ["a", "b", "c"]
