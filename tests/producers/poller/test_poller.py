"""What a source keeps back, over sources that no program of this machine can be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from producers.poller.archive import Object, Store
from producers.poller.bring import bring
from producers.poller.gateway import Gateway
from producers.poller.ledger import Job, Ledger
from producers.poller.limits import Limits
from producers.poller.observed import Observed
from producers.poller.plan import Instance, Request, Series, Study
from producers.poller.poller import Poller, Sides
from producers.poller.sources import Rate, WebSource
from producers.poller.web import DicomWeb
from producers.poller.windows import Window
from producers.telemetry import Telemetry
from schemas.errors import TransientFailure

NOW = 1_800_000_000.0
DAY = 86400.0


@dataclass
class Source:
    """Two instances in a study of which it may tell more, or not all."""

    whole: bool = True
    asked: list[Window] = field(default_factory=list)

    async def probe(self) -> None:
        """It answers."""

    async def studies(self, window: Window, limit: int | None) -> tuple[list[Study], bool]:
        self.asked.append(window)
        return [Study("1.2", "", instances=2)], self.whole

    async def series(self, study: str) -> list[Series]:
        return [Series("1.2.1")]

    async def instances(self, study: str) -> list[Instance]:
        return [Instance("1.2.1", f"1.2.1.{number}") for number in (1, 2)]

    async def retrieve(self, request: Request, store: Store) -> None:
        """The gateway has it already."""

    async def aclose(self) -> None:
        """Nothing is open."""


class Full(Gateway):
    """A gateway that has both instances."""

    def __init__(self) -> None:
        super().__init__(DicomWeb("http://127.0.0.1:1", "the gateway", 1))

    async def counts(self, studies: Collection[str]) -> dict[str, int]:
        return dict.fromkeys(studies, 2)

    async def instances(self, study: str) -> frozenset[str]:
        return frozenset({"1.2.1.1", "1.2.1.2"})

    async def store(self, study: str, objects: AsyncIterator[Object]) -> list[int]:
        return []


async def test_a_listing_that_is_not_whole_does_not_move_the_mark(tmp_path: Path) -> None:
    """Once the source's limit is raised, the days since then are listed again, however long ago that is."""
    entry = WebSource(kind="dicomweb", url="http://127.0.0.1:1", start_days=1, overlap_hours=0)
    source, gateway, clock = Source(whole=False), Full(), [NOW]
    with Ledger(tmp_path) as ledger:
        sides = Sides(entry, source, gateway, ledger)
        poller = Poller(sides, Observed(Telemetry(), "pacs"), clock=lambda: clock[0])
        await poller.poll()
        first = source.asked[0].first
        assert ledger.listed_s() == NOW - DAY
        clock[0] += 30 * DAY
        source.whole = True
        source.asked.clear()
        await poller.poll()
        assert source.asked[0].first == first
        assert ledger.listed_s() == clock[0]
    await gateway.aclose()


async def test_a_study_that_lists_fewer_than_it_tells_of_is_not_taken_for_whole_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its list may be cut off; some sources count what they never list, and say so for ever."""
    gateway, limits = Full(), Limits(Rate())
    for attempts in (0, 1):
        with pytest.raises(TransientFailure, match="tells of 3 instances and lists 2"):
            await bring(Source(), gateway, Job("1.2", 3, attempts, False), None, limits, lambda count: None)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        brought = await bring(Source(), gateway, Job("1.2", 3, 2, False), None, limits, lambda count: None)
    assert (brought.held, len(caplog.records)) == (2, 1)
    assert (await bring(Source(), gateway, Job("1.2", 2, 0, False), None, limits, lambda count: None)).held == 2
    await gateway.aclose()


async def test_who_read_that_a_study_was_set_aside_reads_that_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when the attempt that failed had brought all that there is."""
    gateway = Full()
    with Ledger(tmp_path) as ledger:
        sides = Sides(WebSource(kind="dicomweb", url="http://127.0.0.1:1"), Source(), gateway, ledger)
        poller = Poller(sides, Observed(Telemetry(), "pacs"), clock=lambda: NOW)
        await poller.poll()
        job = ledger.next(NOW, (), urgent_only=False)
        assert job is not None
        ledger.set_aside(job, "it listed fewer than it told of", NOW)
        with caplog.at_level(logging.INFO):
            running = asyncio.create_task(poller.run())
            async with asyncio.timeout(60):
                while ledger.standing().aside:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert [record.message for record in caplog.records] == ["study brought"]
    await gateway.aclose()
