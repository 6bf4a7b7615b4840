"""What the delivery runtime needs of a destination: deliver one result, and say whether the far side is there.

Guarantee asked of every destination: :meth:`Destination.deliver` is idempotent. Each object that it writes has a
deterministic identifier, so delivering a result again (after a crash, a rebalance or a replay) is the same write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import httpx

from schemas.errors import DestinationUnavailable
from schemas.events import Adjudication, InferenceResult, ObjectOutcome


def is_http_url(text: str) -> bool:
    """Whether requests can be sent to this address at all: ``http`` or ``https``, a host, a port that is one."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host) and (url.port or 1) < 65536


class SourceUnavailable(DestinationUnavailable):
    """Somebody whom only some of the results need is away: only those wait.

    That is the gateway that holds their pixels, or what :meth:`AddressedDestination.address` tells.
    """


@contextmanager
def from_source() -> Iterator[None]:
    """Calls to a result's gateway: what is away there is the source, not the destination.

    Raises
    ------
    SourceUnavailable
        In place of DestinationUnavailable.
    """
    try:
        yield
    except DestinationUnavailable as error:
        raise SourceUnavailable(str(error), error.retry_after_s) from error


class Destination(Protocol):
    """One system that receives results.

    The runtime calls the methods from several worker threads at once; what is about one study never overlaps and
    comes in its order, a result before the verdicts on it.
    """

    @property
    def name(self) -> str:
        """Short name: ``destination`` of the outcome events and label of the metrics, such as ``stow``."""
        ...

    @property
    def wants_failures(self) -> bool:
        """Whether it is given results that say ``COULD_NOT_RUN``; else the runtime skips them."""
        ...

    def deliver(self, result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        """Write everything that this destination wants of a result, and return what became of each object.

        Parameters
        ----------
        result
            Outcome ``FINDINGS`` or ``NO_FINDINGS``; ``COULD_NOT_RUN`` only where :attr:`wants_failures`.

        Returns
        -------
        tuple of ObjectOutcome
            ``STORED`` for what the far side has confirmed, ``FAILED`` for what it refused for good,
            ``SKIPPED`` (with a reason) for what it does not want. An empty tuple means that there was nothing to
            do. Any ``FAILED`` object also makes a dead letter, so that the result can be replayed.

        Raises
        ------
        DestinationUnavailable
            The far side is away: the writer pauses and probes, keeps the order, and gives nothing up.
            ``retry_after_s`` is honoured.
        SourceUnavailable
            The gateway that holds the pixels is away (see :func:`from_source`): its results wait, others go on.
        TransientFailure
            This result failed in a way that may pass: tried again after 5, 30 and 120 s, then dead-lettered.
        InvalidMessage
            This result can never be delivered (its parts contradict each other): dead-lettered at once.
        PermanentRejection
            The far side refused all of it for good: outcome ``failed`` with the far side's code, dead-lettered.
        """
        ...

    def probe(self) -> None:
        """Ask the far side for as little as possible, to learn whether it is there again.

        Raises
        ------
        DestinationUnavailable
            It is still away.
        """
        ...


@runtime_checkable
class ReviewedDestination(Protocol):
    """A destination that is also told what radiologists decided (``review.adjudications``)."""

    def review(self, adjudication: Adjudication) -> tuple[ObjectOutcome, ...]:
        """Make a radiologist's verdict known, after the result that it is about.

        Parameters
        ----------
        adjudication
            ``adjudication.result`` is never ``None`` here: the result as it stands after the verdict.

        Returns
        -------
        tuple of ObjectOutcome
            As :meth:`Destination.deliver`, and so are the errors.
        """
        ...


@runtime_checkable
class AddressedDestination(Protocol):
    """A destination whose results go to many independent addresses.

    What one address refuses, or how long it is away, says nothing about the others: ``SourceUnavailable`` is then
    about the address, for a bounded time, and dead letters never stop the writer.
    """

    def address(self, result: InferenceResult) -> str:
        """Whom a result is for, such as ``host:port``; empty where it is for nobody."""
        ...
