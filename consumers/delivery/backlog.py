"""Results in memory → the one to deliver next. Pure; the present time is an argument.

Most urgent first, then oldest. Within a study strictly in order: a result waits while an earlier one of its study
is under way, waits for its retry, or has just been sent to the retry topic and has not come back yet.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from datetime import datetime

from consumers.delivery.item import Item


class Backlog:
    """What was read and is not finished."""

    def __init__(self) -> None:
        self._studies: dict[str, list[Item]] = {}
        self._under_way: set[str] = set()
        self._expected: set[str] = set()

    def __len__(self) -> int:
        return sum(len(items) for items in self._studies.values())

    def add(self, item: Item) -> None:
        """Take in a result that was read."""
        self._insert(item)
        if item.received.is_retry:
            self._expected.discard(item.study)

    def put_back(self, item: Item) -> None:
        """Take a result back whose delivery found the destination away."""
        self._insert(item)
        self._under_way.discard(item.study)

    def next(
        self,
        now: datetime,
        *,
        only_retries: bool = False,
        may_try: Callable[[str], bool] = lambda _: True,
    ) -> Item | None:
        """Take out the next result to deliver, and mark its study as under way.

        Parameters
        ----------
        now
            Present time, aware.
        only_retries
            Whether retries of an earlier life are still being read, so that nothing newer may start.
        may_try
            Whether results of a gateway may be tried.
        """
        ready = [
            item
            for item in self._heads(now)
            if (item.received.is_retry or not only_retries) and may_try(item.source)
        ]
        if not ready:
            return None
        chosen = min(ready, key=lambda item: item.urgency)
        items = self._studies[chosen.study]
        items.pop(0)
        if not items:
            del self._studies[chosen.study]
        self._under_way.add(chosen.study)
        return chosen

    def finished(self, study: str) -> None:
        """Note that nothing of a study is under way any more."""
        self._under_way.discard(study)

    def expect_retry(self, study: str) -> None:
        """Note that the result under way went to the retry topic and will be read from there by us."""
        self._expected.add(study)

    def clear(self) -> None:
        """Forget everything that was read; deliveries under way stay marked until they end."""
        self._studies.clear()
        self._expected.clear()

    def _insert(self, item: Item) -> None:
        insort(self._studies.setdefault(item.study, []), item, key=lambda one: one.received.first_offset)

    def _heads(self, now: datetime) -> Iterator[Item]:
        for study, items in self._studies.items():
            head = items[0]
            if study in self._under_way or (study in self._expected and not head.received.is_retry):
                continue
            due = head.received.not_before
            if due is None or due <= now:
                yield head
