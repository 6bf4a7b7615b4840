from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.delivery.backlog import Backlog
from consumers.delivery.contents import Contents
from consumers.delivery.item import Item, Received
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from tests.consumers.delivery.items import item, received

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Log:
    """What a second reading of the topic finds, from a place on."""

    def __init__(self, *offsets: int) -> None:
        self.offsets = offsets
        self.asked: list[int] = []

    def read(self, wanted: Item) -> Iterator[Received]:
        self.asked.append(wanted.offset)
        for offset in self.offsets:
            if offset >= wanted.offset:
                yield received(offset, study=f"study-{offset}")


def filled(log: Any, limit: int, count: int) -> tuple[Backlog, Contents]:
    backlog = Backlog()
    contents = Contents(backlog, log, Codec(), limit)
    for offset in range(count):
        one = item(f"study-{offset}", offset)
        contents.keep(one)
        backlog.add(one)
    return backlog, contents


def test_no_more_is_held_than_allowed_and_the_rest_comes_with_few_readings() -> None:
    log = Log(*range(100))
    backlog, contents = filled(log, 20_000, 100)
    assert contents.held < 25_000
    while chosen := backlog.next(NOW):
        assert contents.take(chosen).offset == chosen.offset
        assert contents.held < 25_000
        backlog.finished(chosen.study)
    assert contents.held == 0
    assert 5 <= len(log.asked) <= 15, "each reading brings as many as there is room for"


def test_a_message_that_was_deleted_meanwhile_is_not_lost_silently() -> None:
    backlog, contents = filled(Log(2), 0, 3)
    first = backlog.next(NOW)
    assert first is not None
    gone = contents.take(first)
    assert (gone.offset, gone.key, gone.value) == (0, b"study-0", None)
    with pytest.raises(InvalidMessage, match="deleted from its topic"):
        contents.decode(gone)
