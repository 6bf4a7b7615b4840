"""The poller of one source: lists what is new, and brings it, for ever.

One task lists, some bring; both work from the ledger, so the process may die at any point. A source or a gateway
that is away stops the work without limit and costs no study an attempt. A study that fails while both sides answer
otherwise is set aside with its reason, is tried again later and holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from producers.poller.archive import Archive, SourceMisconfigured
from producers.poller.bring import bring
from producers.poller.gateway import Gateway
from producers.poller.ledger import Job, Ledger, Work
from producers.poller.limits import Limits
from producers.poller.listing import studies_of
from producers.poller.observed import Observed
from producers.poller.pace import ASIDE_FIRST_S, ASIDE_MOST_S, backoff_s
from producers.poller.plan import Study, needs_work, wanted
from producers.poller.reach import Reach
from producers.poller.sources import GetSource, MoveSource, WebSource
from producers.poller.web import GatewayUnavailable
from producers.poller.windows import window_of
from schemas.errors import DestinationUnavailable, ScanstreamError, TransientFailure
from schemas.logs import fields

log = logging.getLogger(__name__)

_DAY_S: Final = 86400.0
#: Longest sleep of a task that found nothing to bring: off-peak hours and retries begin by the clock.
_NAP_S: Final = 5.0


@dataclass(frozen=True)
class Sides:
    """What a poller works between."""

    source: WebSource | MoveSource | GetSource
    archive: Archive
    gateway: Gateway
    ledger: Ledger


class Poller:
    """Work of one source, until it is cancelled.

    Parameters
    ----------
    sides
        Source, gateway and ledger; closed by who made them.
    observed
        Metrics.
    clock
        Unix time, in seconds.
    chance
        Uniform in [0, 1).
    """

    def __init__(
        self,
        sides: Sides,
        observed: Observed,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._source = sides.source
        self._archive = sides.archive
        self._gateway = sides.gateway
        self._ledger = sides.ledger
        self._observed = observed
        self._clock = clock
        self._chance = chance
        self._limits = Limits(sides.source.rate)
        self._hours = sides.source.hours()
        self._source_reach = Reach("source", observed.source_up)
        self._gateway_reach = Reach("gateway", observed.gateway_up)
        self._running: set[str] = set()
        self._work = asyncio.Event()
        self._told_cut = False

    async def run(self) -> None:
        """List and bring for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._list_for_ever())
            for _ in range(self._source.max_concurrent):
                tasks.create_task(self._bring_for_ever())

    async def _list_for_ever(self) -> None:
        while True:
            await self._source_reach.ready()
            await self._gateway_reach.ready()
            try:
                await self.poll()
            except GatewayUnavailable as error:
                self._gateway_reach.lost(error, error.retry_after_s)
                continue
            except ScanstreamError as error:
                # whatever it fails on: without a list there is nothing to do
                self._observed.polled("failed")
                self._source_reach.lost(error, getattr(error, "retry_after_s", None))
                continue
            except Exception as error:
                log.exception("a listing failed in a way that nobody expected")
                self._observed.polled("failed")
                self._source_reach.lost(TransientFailure(_unexpected(error)))
                continue
            self._source_reach.found()
            self._gateway_reach.found()
            await asyncio.sleep(self._source.poll_interval_s)

    async def poll(self) -> int:
        """List once, and put what needs work into the ledger.

        Returns
        -------
        int
            Studies that need work.

        Raises
        ------
        ScanstreamError
            The source or the gateway failed; nothing has changed.
        """
        now_s = self._clock()
        listed_s = self._ledger.listed_s() or now_s - self._source.start_days * _DAY_S
        window = window_of(_moment(listed_s), _moment(now_s), self._source.overlap, self._source.zone())
        studies, whole = await studies_of(self._archive, window, self._source.max_results)
        candidates = [study for study in studies if wanted(study, self._source.filters) is not False]
        uids = [study.study_instance_uid for study in candidates]
        at_gateway = await self._gateway.counts(uids)
        known = self._ledger.known(uids)
        work = [
            study
            for study, uid in zip(candidates, uids, strict=True)
            if needs_work(study, known.get(uid), at_gateway.get(uid, 0), now_s)
        ]
        filters = self._source.filters
        # as long as the source keeps something back, later listings must look back as far as this one
        self._ledger.record(
            [Work(study, self._is_urgent(study), wanted(study, filters) is None) for study in work],
            now_s if whole else listed_s,
        )
        self._ledger.forget(window.study_date()[:8])
        self._observed.polled("ok")
        self._observed.found(sum(study.study_instance_uid not in known for study in work))
        self._observed.standing(self._ledger.standing(), now_s)
        if not whole and not self._told_cut:
            log.warning("the source tells only a part of its studies: raise its limit of results")
        self._told_cut = not whole
        if work:
            self._work.set()
        return len(work)

    async def _bring_for_ever(self) -> None:
        while True:
            await self._source_reach.ready()
            await self._gateway_reach.ready()
            now_s = self._clock()
            closed = self._hours is not None and not self._hours.open_at(_moment(now_s))
            job = self._ledger.next(now_s, self._running, urgent_only=closed)
            if job is None:
                await self._nap()
                continue
            self._running.add(job.study_instance_uid)
            try:
                await self._limits.study()
                await self._bring(job)
            except Exception as error:
                # one strange study must not stop all the others
                log.exception("a study failed in a way that nobody expected", extra=_about(job))
                self._set_aside(job, _unexpected(error))
            finally:
                self._running.discard(job.study_instance_uid)

    async def _bring(self, job: Job) -> None:
        """Bring a study and write down what became of it."""
        filters = self._source.filters if job.by_series else None
        try:
            brought = await bring(
                self._archive, self._gateway, job, filters, self._limits, self._observed.bytes_passed
            )
        except GatewayUnavailable as error:
            if error.retry_after_s is None and await _answers(self._gateway.probe()):
                self._set_aside(job, str(error))
            else:
                self._gateway_reach.lost(error, error.retry_after_s)
        except SourceMisconfigured as error:
            self._source_reach.lost(error)
        except DestinationUnavailable as error:
            if error.retry_after_s is None and await _answers(self._archive.probe()):
                self._set_aside(job, str(error))
            else:
                self._source_reach.lost(error, error.retry_after_s)
        except ScanstreamError as error:
            self._set_aside(job, str(error))
        else:
            self._ledger.complete(job, brought.held, self._clock())
            self._observed.brought(brought.fetched)
            self._source_reach.found()
            self._gateway_reach.found()
            # whoever read that it was set aside reads that it is there
            if brought.fetched or job.attempts:
                log.info("study brought", extra=_about(job, instances=brought.held, fetched=brought.fetched))
        self._observed.standing(self._ledger.standing(), self._clock())

    def _set_aside(self, job: Job, reason: str) -> None:
        delay_s = backoff_s(job.attempts + 1, self._chance(), ASIDE_FIRST_S, ASIDE_MOST_S)
        self._ledger.set_aside(job, reason, self._clock() + delay_s)
        self._observed.failed()
        log.warning(
            "study set aside, it is tried again later",
            extra=_about(job, attempts=job.attempts + 1, reason=reason, next_try_s=round(delay_s)),
        )

    async def _nap(self) -> None:
        """Sleep until a listing found work, or a moment."""
        self._work.clear()
        try:
            async with asyncio.timeout(_NAP_S):
                await self._work.wait()
        except TimeoutError:
            return

    def _is_urgent(self, study: Study) -> bool:
        off_peak = self._source.off_peak
        return off_peak is not None and bool(off_peak.urgent_modalities & (study.modalities or frozenset()))


async def _answers(probe: Awaitable[None]) -> bool:
    try:
        await probe
    except ScanstreamError:
        return False
    return True


def _unexpected(error: Exception) -> str:
    return f"an error that nobody expected, {type(error).__name__}: see the poller's log"


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def _about(job: Job, **more: object) -> dict[str, dict[str, object]]:
    return fields(study_instance_uid=job.study_instance_uid, **more)
