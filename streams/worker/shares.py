"""Lanes that wait → whose turn it is, so that each gets its share of the work. Pure.

Weighted fair queueing: a lane's next job gets the virtual time at which it would end if all lanes were served at
once, each at its weight; the smallest goes first. So no lane waits for ever however much there is in the others,
and one that was empty gains nothing by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streams.worker.job import Lane

#: Jobs of each lane for one of the last, when all have work.
WEIGHTS: Final = {Lane.DUE: 16.0, Lane.URGENT: 8.0, Lane.NORMAL: 4.0, Lane.ROUTINE: 1.0}


class Shares:
    """Who was served how much."""

    def __init__(self) -> None:
        self._virtual = 0.0
        self._starts = dict.fromkeys(WEIGHTS, 0.0)
        self._waiting: set[Lane] = set()

    def order(self, lanes: Iterable[Lane]) -> list[Lane]:
        """The lanes that have something to serve now, the one whose turn it is first."""
        waiting = set(lanes)
        for lane in waiting - self._waiting:
            self._starts[lane] = max(self._starts[lane], self._virtual)
        self._waiting = waiting
        return sorted(waiting, key=lambda lane: (self._end(lane), lane))

    def take(self, lane: Lane) -> float:
        """Serve a lane once; its virtual end, which orders what was taken."""
        self._virtual = max(self._virtual, self._starts[lane])
        self._starts[lane] = self._end(lane)
        return self._starts[lane]

    def _end(self, lane: Lane) -> float:
        return self._starts[lane] + 1 / WEIGHTS[lane]


def gained(before: Lane, after: Lane) -> float:
    """How much earlier the virtual end of a job is after it moved to a better lane."""
    return 1 / WEIGHTS[before] - 1 / WEIGHTS[after]
