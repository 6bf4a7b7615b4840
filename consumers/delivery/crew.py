"""Worker threads that deliver and probe, so that the thread that polls Kafka never waits for a destination.

Work goes in through a queue, ends come out through another; nothing else is shared. The threads are daemons: a
destination that hangs does not keep the process alive.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from consumers.defect import described
from consumers.delivery.item import Subject
from consumers.delivery.work import Work
from consumers.destination import Destination, ReviewedDestination
from schemas.errors import InvalidMessage, ScanstreamError, TransientFailure
from schemas.events import ObjectOutcome


@dataclass(frozen=True)
class Delivered:
    """The destination answered about a result."""

    work: Work
    objects: tuple[ObjectOutcome, ...]


@dataclass(frozen=True)
class Failed:
    """The destination raised."""

    work: Work
    error: ScanstreamError


@dataclass(frozen=True)
class Probed:
    """A probe ended; ``error`` is ``None`` where the destination answered."""

    error: ScanstreamError | None


End = Delivered | Failed | Probed


class Crew:
    """Threads that work for one destination.

    Parameters
    ----------
    destination
        Called from all threads.
    size
        Number of threads.
    """

    def __init__(self, destination: Destination, size: int) -> None:
        self._destination = destination
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._ends: queue.SimpleQueue[End] = queue.SimpleQueue()
        self._first: End | None = None
        for number in range(size):
            threading.Thread(target=self._run, name=f"delivery-{number}", daemon=True).start()

    def deliver(self, work: Work) -> None:
        """Queue a result."""
        self._work.put(work)

    def probe(self) -> None:
        """Queue a probe."""
        self._work.put(None)

    def wait(self, timeout_s: float) -> None:
        """Wait until something has ended, but no longer than so many seconds."""
        if self._first is None:
            with suppress(queue.Empty):
                self._first = self._ends.get(timeout=timeout_s)

    def ends(self) -> Iterator[End]:
        """Everything that ended since the last call; never waits."""
        first, self._first = self._first, None
        if first is not None:
            yield first
        while True:
            try:
                yield self._ends.get_nowait()
            except queue.Empty:
                return

    def _run(self) -> None:
        while True:
            work = self._work.get()
            self._ends.put(self._probe() if work is None else self._deliver(work))

    def _deliver(self, work: Work) -> End:
        try:
            return Delivered(work, self._tell(work.subject))
        except ScanstreamError as error:
            return Failed(work, error)
        except Exception as error:  # noqa: BLE001 - one poisoned result must not stop all others
            return Failed(work, _unexpected(error))

    def _tell(self, subject: Subject) -> tuple[ObjectOutcome, ...]:
        if subject.verdict is None:
            return self._destination.deliver(subject.result)
        if not isinstance(self._destination, ReviewedDestination):
            raise InvalidMessage(
                f"{self._destination.name} takes no verdicts: find out who wrote it to this topic"
            )
        return self._destination.review(subject.verdict)

    def _probe(self) -> End:
        try:
            self._destination.probe()
        except ScanstreamError as error:
            return Probed(error)
        except Exception as error:  # noqa: BLE001 - any failed probe means that the destination is still away
            return Probed(_unexpected(error))
        return Probed(None)


def _unexpected(error: Exception) -> TransientFailure:
    return TransientFailure(f"unexpected {described(error)}: report it with the log of this writer")
