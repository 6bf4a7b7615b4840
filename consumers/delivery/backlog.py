"""What was read → what to deliver next. Pure; the present time is an argument.

Most urgent first, then oldest. Within a study strictly in order: a result waits while an earlier one of its study
is under way, waits for its retry, or has just been sent to the retry topic and has not come back yet; the earlier
one is then as urgent as what waits for it. Choosing takes the same short time whether ten or a hundred thousand
wait.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import count, islice
from typing import Final

from consumers.delivery.item import Item, Place

#: Items that the same circumstances hold up: those of a partition, and of who is away (``None``: not known yet).
Lane = tuple[Place, str | None]

#: So many results of a study are looked at for the most urgent one; few studies have ten.
_LOOK_AT: Final = 50


class Backlog:
    """What was read and is not finished.

    Parameters
    ----------
    longest_wait_s
        Longest wait for a retry, in seconds; a moment beyond that was written by a clock that was wrong.
    """

    def __init__(self, longest_wait_s: float = 3600.0) -> None:
        self._longest_wait = timedelta(seconds=longest_wait_s)
        self._at: dict[tuple[Place, int], Item] = {}
        self._studies: dict[str, list[Item]] = {}
        self._lanes: dict[Lane, list[tuple[tuple[int, int], int, Item]]] = {}
        self._later: list[tuple[datetime, int, Item]] = []
        self._under_way: dict[str, Item] = {}
        self._expected: set[str] = set()
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._at)

    def at(self, place: Place, offset: int) -> Item | None:
        """What waits of a place and offset."""
        return self._at.get((place, offset))

    def add(self, item: Item) -> None:
        """Take in what was read."""
        if item.is_retry:
            self._expected.discard(item.study)
        self._insert(item)

    def put_back(self, item: Item) -> None:
        """Take back what could not be delivered now, though nothing is wrong with it."""
        del self._under_way[item.study]
        self._insert(item)

    def put_behind(self, item: Item, event_id: str) -> bool:
        """Take a verdict back where the result that it is about is still waiting, and let that go first.

        Clocks of machines differ, so the result may look younger.
        """
        for other in self._studies.get(item.study, []):
            if other.event_id == event_id and not other.is_review:
                item.order = (*other.order[:2], 1, item.order[3])
                self.put_back(item)
                return True
        return False

    def next(
        self,
        now: datetime,
        *,
        only_retries: bool = False,
        may_try: Callable[[str | None], bool] = lambda _: True,
        only: Callable[[Place], int | None] = lambda _: None,
    ) -> Item | None:
        """Take out what to deliver next, and mark its study as under way.

        Parameters
        ----------
        now
            Present time, aware.
        only_retries
            Whether retries of an earlier life are still being read, so that nothing newer may start.
        may_try
            Whether what waits for a source may be tried.
        only
            Offset that alone may be delivered of a partition; ``None`` where any may.
        """
        self._correct(now)
        while self._later and self._later[0][0] <= now:
            self._offer(heappop(self._later)[2].study, now)
        chosen = None
        soonest = None
        for lane in list(self._lanes):
            if not may_try(lane[1]):
                continue
            item = self._best(lane, only(lane[0]), now)
            if item is None or (only_retries and not item.is_retry):
                continue
            urgency = self._urgency(item.study)
            if soonest is None or urgency < soonest:
                chosen, soonest = item, urgency
        if chosen is not None:
            self._take(chosen)
        return chosen

    def finished(self, study: str) -> None:
        """Note that nothing of a study is under way any more."""
        self._under_way.pop(study, None)
        self._offer(study)

    def expect_retry(self, study: str) -> None:
        """Note that what is under way went to the retry topic and will be read from there by us."""
        self._expected.add(study)

    def clear(self) -> None:
        """Forget everything that was read; deliveries under way stay marked until they end."""
        self._at.clear()
        self._studies.clear()
        self._lanes.clear()
        self._later.clear()
        self._expected.clear()

    def unfinished(self) -> Iterator[Item]:
        """Everything that waits or is under way."""
        yield from self._at.values()
        yield from self._under_way.values()

    def _insert(self, item: Item) -> None:
        self._at[item.place, item.offset] = item
        insort(self._studies.setdefault(item.study, []), item, key=lambda one: one.order)
        self._offer(item.study)

    def _take(self, item: Item) -> None:
        del self._at[item.place, item.offset]
        items = self._studies[item.study]
        items.pop(0)
        if not items:
            del self._studies[item.study]
        self._under_way[item.study] = item

    def _offer(self, study: str, now: datetime | None = None) -> None:
        """Let the first of a study compete, or wait for its time."""
        items = self._studies.get(study)
        if items is None or not self._is_ready(items[0]):
            return
        head = items[0]
        if head.not_before is not None and (now is None or now < head.not_before):
            heappush(self._later, (head.not_before, next(self._numbers), head))
        else:
            lane = self._lanes.setdefault((head.place, head.source), [])
            heappush(lane, (self._urgency(study), next(self._numbers), head))

    def _urgency(self, study: str) -> tuple[int, int]:
        """Of the first of a study, which holds up the others."""
        return min(one.urgency for one in islice(self._studies[study], _LOOK_AT))

    def _correct(self, now: datetime) -> None:
        """No retry waits longer than any can: where the first of them does, all do."""
        latest = now + self._longest_wait
        if not self._later or self._later[0][0] <= latest:
            return
        for _, _, item in self._later:
            item.not_before = latest
        self._later = [(latest, number, item) for _, number, item in self._later]
        heapify(self._later)

    def _best(self, lane: Lane, only: int | None, now: datetime) -> Item | None:
        """Most urgent item of a lane that may go; what is not to compete any more is thrown away."""
        heap = self._lanes[lane]
        while heap and not (heap[0][2].source == lane[1] and self._is_ready(heap[0][2])):
            heappop(heap)
        if not heap:
            del self._lanes[lane]
            return None
        if only is None:
            return heap[0][2]
        item = self._at.get((lane[0], only))
        if item is None or item.source != lane[1] or not self._is_ready(item):
            return None
        return item if item.not_before is None or item.not_before <= now else None

    def _is_ready(self, item: Item) -> bool:
        items = self._studies.get(item.study)
        return (
            items is not None
            and items[0] is item
            and item.study not in self._under_way
            and (item.is_retry or item.study not in self._expected)
        )
