"""Rate of a source → waiting before the next request; shared by everything that reads this source."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from producers.poller.pace import TokenBucket
from producers.poller.sources import Rate


class Limits:
    """How fast one source may be read.

    Parameters
    ----------
    rate
        Of the source.
    clock
        Seconds that never go back.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._studies = TokenBucket(rate.studies_per_minute, clock())
        self._instances = TokenBucket(rate.instances_per_minute, clock())
        # waiters go in the order in which they came
        self._turn = asyncio.Lock()

    @property
    def at_most(self) -> int | None:
        """Instances that one request may bring; ``None`` for any number."""
        return self._instances.burst

    async def study(self) -> None:
        """Wait until another study may begin."""
        await self._take(self._studies, 1)

    async def instances(self, count: int) -> None:
        """Wait until a request for so many instances may begin."""
        await self._take(self._instances, count)

    async def _take(self, bucket: TokenBucket, count: int) -> None:
        async with self._turn:
            await asyncio.sleep(bucket.wait_s(self._clock()))
            bucket.take(count)
