"""Durable requests for storage commitment → their reports at the peers (PS3.4 J.3.3).

A report goes on the association of its request while that is open, else on one that we open, again and again with
growing pauses until the peer takes it or a day has passed; a restart changes nothing about that. Guarantee: once
the peer has confirmed a report, it is not sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Protocol

from producers.dimse import commitment as rules
from producers.dimse.blocking import in_thread
from producers.dimse.data_sets import RESOURCE_LIMITATION, encode
from producers.dimse.promises import Promises
from producers.dimse.service import AssociationLost, Session
from producers.store import commitments
from producers.store.commitments import Commitment, Failures
from producers.store.lookup import Lookup
from producers.store.service_database import ServiceDatabase
from schemas.errors import ConfigurationError, DestinationUnavailable, PermanentRejection, ScanstreamError
from schemas.events import HintKind
from schemas.logs import fields

log = logging.getLogger(__name__)

#: While instances of a request are missing, the index is looked at so often, in seconds.
_LOOK_EVERY_S: Final = 0.5
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 600.0
#: Ended requests are remembered so long, in seconds: so long a Transaction UID is known as used.
_REMEMBER_S: Final = 7 * 86_400.0
_IDLE_S: Final = 60.0
#: Reports that are looked at in one go.
_AT_ONCE: Final = 500
#: Peers that are called at the same time.
_CALLS: Final = 4
#: At a stop, reports that are under way have so many seconds: what a peer has heard it should not hear again.
_LAST_REPORT_S: Final = 5.0


class Call(Protocol):
    """Opens an association to a peer and delivers reports, in the calling thread."""

    def __call__(self, reports: Sequence[Commitment]) -> list[int]:
        """Statuses of the reports that the peer answered, in their order; the first ones if not all.

        Parameters
        ----------
        reports
            Decided requests of one peer to one AE title of ours, at least one.

        Raises
        ------
        ScanstreamError
            It has no address, cannot be reached, or refuses; no report was answered.
        """
        ...


@dataclass(frozen=True)
class Patience:
    """Seconds.

    Attributes
    ----------
    grace_s
        How long instances may still be on their way when their commitment is requested.
    report_s
        How long a report is tried, from its request.
    """

    grace_s: float
    report_s: float


def pause_s(tries: int) -> float:
    """Seconds until the next attempt, after so many."""
    return float(min(_FIRST_PAUSE_S * 2 ** min(tries, 20), _LONGEST_PAUSE_S))


class CommitmentReports:
    """Decides on requests, and reports.

    Parameters
    ----------
    database
        Where requests are.
    lookup
        Knows which instances are stored.
    promises
        Tells that a study which is committed as a whole may be complete.
    call
        Reports on an association of ours.
    patience
        Times.
    clock
        Unix time in seconds.
    """

    def __init__(
        self,
        database: ServiceDatabase,
        lookup: Lookup,
        promises: Promises,
        call: Call,
        patience: Patience,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._lookup = lookup
        self._promises = promises
        self._call = call
        self._patience = patience
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._called: set[tuple[str, str]] = set()
        self._active: set[tuple[str, str]] = set()
        #: What came to an end since the list of what is due was asked for, and may be on it still.
        self._released: set[tuple[str, str]] = set()
        self._reporting: set[asyncio.Task[Any]] = set()
        self._slots = asyncio.Semaphore(_CALLS)
        self._wake = asyncio.Event()

    def begin(self, request: Commitment, session: Session | None, context_id: int) -> None:
        """Decide on a request and report on its association, or on one of ours when that is closed.

        A request that came again is begun again, unless somebody is at it.
        """
        if _key(request) not in self._active:
            self._active.add(_key(request))
            self._start(self._first(request, session, context_id))

    async def start(self) -> None:
        """Take up what an earlier process left, and report until :meth:`stop`."""
        waiting = await self._database.run(partial(commitments.put_off_all, next_try_at=self._clock()))
        undecided = await self._database.run(commitments.undecided)
        if waiting or undecided:
            log.info("storage commitments taken up", extra=fields(decided=waiting, undecided=len(undecided)))
        for request in undecided:
            self.begin(request, None, 0)
        self._start(self._run())

    async def stop(self) -> None:
        """End soon; what is not reported stays for the next start."""
        if self._reporting:
            await asyncio.wait(set(self._reporting), timeout=_LAST_REPORT_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._released.clear()
            now = self._clock()
            try:
                due = await self._database.run(partial(commitments.due, now=now, most=_AT_ONCE))
                await self._database.run(partial(commitments.forget, before=now - _REMEMBER_S))
                self._call_peers(due)
                upcoming = await self._database.run(commitments.next_due)
            except DestinationUnavailable as error:
                log.error("storage commitments not read", extra=fields(reason=str(error)))  # noqa: TRY400 - says it all
                upcoming = None
            wait = _IDLE_S if upcoming is None else min(max(upcoming - self._clock(), 1.0), _IDLE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def _first(self, request: Commitment, session: Session | None, context_id: int) -> None:
        try:
            await self._decide_and_report(request, session, context_id)
        finally:
            self._release([request])

    async def _decide_and_report(self, request: Commitment, session: Session | None, context_id: int) -> None:
        decided = await self._decide_at_last(request)
        if session is not None and session.link.is_open:
            event_type_id, information = rules.report(decided)
            command = rules.report_command(event_type_id)
            data = encode(information, session.contexts[context_id].transfer_syntax)
            try:
                with self._under_way():
                    answer = await session.link.request(context_id, command, (data,))
                    if await self._settled(decided, answer.status or 0, "on the association of the request"):
                        return
            except AssociationLost as lost:
                log.info("storage commitment report goes another way", extra=_fields(decided, reason=str(lost)))
        await self._database.run(
            partial(commitments.put_off, commitment=decided, next_try_at=self._clock(), tries=0)
        )
        self._wake.set()

    async def _decide_at_last(self, request: Commitment) -> Commitment:
        """A disk that takes nothing for a while delays the report, and no more."""
        while True:
            try:
                return await self._decide(request)
            except DestinationUnavailable as error:
                log.error("storage commitment not decided yet", extra=_fields(request, reason=str(error)))  # noqa: TRY400 - says it all
                await asyncio.sleep(_FIRST_PAUSE_S)

    async def _decide(self, request: Commitment) -> Commitment:
        """Look for the instances; what is still under way has a little time to come."""
        until = self._clock() + self._patience.grace_s
        while True:
            located = await self._lookup.located(sop for _, sop in request.instances)
            failures = rules.failures_of(request.instances, located)
            missing = rules.NO_SUCH_INSTANCE in failures.values()
            if not missing or self._clock() >= until:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        if not failures:
            counts = rules.counts_by_study(request.instances, located)
            # Many modalities ask for each series or image: only who asks for all that is here may know the study.
            held = await self._lookup.held(counts)
            whole = {study: count for study, count in counts.items() if count >= held[study]}
            await self._promises.tell(HintKind.STORAGE_COMMITMENT, whole, request.transaction_uid)
        await self._database.run(partial(commitments.decide, commitment=request, failures=failures))
        level = logging.WARNING if failures else logging.INFO
        log.log(level, "storage commitment decided", extra=_fields(request, failed=len(failures)))
        return _decided(request, failures)

    def _call_peers(self, due: Sequence[Commitment]) -> None:
        """One association for all that a peer is to hear, beside those of other peers."""
        by_pair: dict[tuple[str, str], list[Commitment]] = defaultdict(list)
        busy = self._active | self._released
        for commitment in due:
            if _key(commitment) in busy:
                continue
            by_pair[commitment.peer, commitment.own_ae_title].append(commitment)
        for pair, reports in by_pair.items():
            if pair not in self._called:
                self._called.add(pair)
                self._active.update(map(_key, reports))
                self._start(self._call_peer(pair, reports))

    async def _call_peer(self, pair: tuple[str, str], reports: Sequence[Commitment]) -> None:
        try:
            async with self._slots:
                with self._under_way():
                    statuses, reason = await self._answers(reports)
                    await self._note_at_last(reports, statuses, reason)
        finally:
            self._called.discard(pair)
            self._release(reports)

    def _release(self, reports: Sequence[Commitment]) -> None:
        self._active.difference_update(map(_key, reports))
        self._released.update(map(_key, reports))
        self._wake.set()

    async def _answers(self, reports: Sequence[Commitment]) -> tuple[list[int], str]:
        """Statuses of the first reports, and why there are none of the others."""
        try:
            statuses = await in_thread(partial(self._call, reports))
        except (ConfigurationError, DestinationUnavailable, PermanentRejection) as error:
            return [], str(error)
        except Exception as error:
            log.exception("storage commitment report failed", extra=_fields(reports[0]))
            return [], type(error).__name__
        return statuses, "the association ended before the peer answered"

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        """A peer is hearing something, and its answer is not written down yet."""
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - only tasks come here
            raise RuntimeError("not in a task")
        self._reporting.add(task)
        try:
            yield
        finally:
            self._reporting.discard(task)

    async def _note_at_last(self, reports: Sequence[Commitment], statuses: Sequence[int], reason: str) -> None:
        """A disk that takes nothing for a while does not make the peer hear its reports over and over."""
        while True:
            try:
                return await self._note(reports, statuses, reason)
            except DestinationUnavailable as error:
                log.error("answers to storage commitment reports not kept yet", extra=fields(reason=str(error)))  # noqa: TRY400 - says it all
                await asyncio.sleep(_FIRST_PAUSE_S)

    async def _note(self, reports: Sequence[Commitment], statuses: Sequence[int], reason: str) -> None:
        for commitment, status in zip(reports, statuses, strict=False):
            if not await self._settled(commitment, status, "on an association of ours"):
                await self._later(commitment, f"the peer answers with {status:04X}H")
        for commitment in reports[len(statuses) :]:
            await self._later(commitment, reason)

    async def _settled(self, commitment: Commitment, status: int, way: str) -> bool:
        """Whether the peer's answer ends the matter: it took the report, or knows of no such transaction."""
        if status in (rules.PROCESSING_FAILURE, RESOURCE_LIMITATION):
            return False
        refused = status != 0 and status >> 12 != 0xB and status not in (0x0001, 0x0107, 0x0116)
        ending = f"refused with {status:04X}H" if refused else "reported"
        await self._database.run(partial(commitments.end, commitment=commitment, ending=ending, now=self._clock()))
        level = logging.WARNING if refused else logging.INFO
        log.log(level, "storage commitment report answered", extra=_fields(commitment, ending=ending, way=way))
        return True

    async def _later(self, commitment: Commitment, reason: str) -> None:
        now, tries = self._clock(), commitment.tries + 1
        if now - commitment.requested_at >= self._patience.report_s:
            await self._database.run(partial(commitments.end, commitment=commitment, ending="given up", now=now))
            log.error("storage commitment not reported: given up", extra=_fields(commitment, reason=reason))
            return
        wait = pause_s(commitment.tries)
        await self._database.run(
            partial(commitments.put_off, commitment=commitment, next_try_at=now + wait, tries=tries)
        )
        log.warning(
            "storage commitment not reported yet", extra=_fields(commitment, reason=reason, again_in_s=wait)
        )

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        """What goes wrong is said; the request stays in the database and is taken up at the next start."""
        try:
            await work
        except ScanstreamError as error:
            log.error("storage commitment waits for a restart", extra=fields(reason=str(error)))  # noqa: TRY400 - says it all
        except Exception:
            log.exception("storage commitment failed")


def _decided(request: Commitment, failures: Failures) -> Commitment:
    return replace(request, failures=failures)


def _key(commitment: Commitment) -> tuple[str, str]:
    return commitment.peer, commitment.transaction_uid


def _fields(commitment: Commitment, **more: object) -> dict[str, dict[str, object]]:
    return fields(peer=commitment.peer, transaction_uid=commitment.transaction_uid, **more)
