"""Messages that are done → offsets to commit.

A partition is read in order, one message after another, so all before the last one that is done is done.
Guarantee: nothing is committed that was not written to its finding topics first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from faust.types import TP

#: Commits the offsets of the next messages to read; says whether Kafka took them.
Commit = Callable[[Mapping[TP, int]], Awaitable[bool]]


class Progress:
    """How far each partition is done, and what of it Kafka does not know yet."""

    def __init__(self) -> None:
        self._next: dict[TP, int] = {}

    def done(self, partition: TP, offset: int) -> None:
        """All messages of a partition up to this one are done."""
        self._next[partition] = offset + 1

    async def commit(self, commit: Commit) -> None:
        """Tell Kafka; what it does not take now is told again next time."""
        told, self._next = self._next, {}
        if told and not await commit(told):
            self._next = told | self._next
