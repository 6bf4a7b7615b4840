"""Old studies that nobody needs any more → deleted, one by one, each with its audit event.

Guarantee: a study goes only when its newest instance is older than the policy says, every consumer group has
passed all messages that speak of it, and none of its events waits in the outbox. When any of that cannot be known
for certain, nothing is deleted. Nothing is ever deleted to make room.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from producers.store import InstanceStore
from schemas.errors import ScanstreamError
from schemas.logs import fields

log = logging.getLogger(__name__)

DAY_S: Final = 24 * 3600.0
WHO: Final = "retention"

#: Studies that are looked at in one round.
MAX_STUDIES: Final = 100_000
#: Studies that are deleted in one round, so that what is known of Kafka is never old; the next goes on at once.
MAX_DELETED: Final = 500
_EVERY_S: Final = 3600.0
_AFTER_START_S: Final = 60.0
#: After a round in which Kafka did not answer.
_AGAIN_S: Final = 300.0


@dataclass(frozen=True)
class Unread:
    """Studies that some consumer group has not passed yet.

    Attributes
    ----------
    studies
        Their UIDs.
    unknown
        Why these may not be all of them; ``None`` when they are.
    """

    studies: frozenset[str] = frozenset()
    unknown: str | None = None


def deletable(old: Iterable[str], unread: Unread, waiting: Collection[str]) -> list[str]:
    """Studies that may go.

    Parameters
    ----------
    old
        Studies beyond the age of the policy, in the order in which they should go.
    unread
        What consumer groups have not passed.
    waiting
        Studies with events in the outbox.
    """
    if unread.unknown is not None:
        return []
    return [study for study in old if study not in unread.studies and study not in waiting]


class Retention:
    """Looks every hour, in a thread of its own.

    Parameters
    ----------
    store
        Where studies are deleted.
    days
        Age that a study must have reached.
    read_unread
        Asks Kafka; see :func:`producers.retention_backlog.read_unread`.
    clock
        Unix time in seconds.
    every_s, after_start_s
        Seconds between two rounds, and before the first.
    """

    def __init__(
        self,
        store: InstanceStore,
        days: float,
        read_unread: Callable[[], Unread],
        clock: Callable[[], float] = time.time,
        every_s: float = _EVERY_S,
        after_start_s: float = _AFTER_START_S,
    ) -> None:
        self._store = store
        self._days = days
        self._read_unread = read_unread
        self._clock = clock
        self._every_s = every_s
        self._after_start_s = after_start_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """End after the study that is just being deleted."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        wait_s = self._after_start_s
        while not self._stop.wait(wait_s):
            wait_s = self._every_s
            try:
                if self.round() >= MAX_DELETED:
                    wait_s = 0.0
            except ScanstreamError as error:
                wait_s = min(self._every_s, _AGAIN_S)
                log.warning("retention waits for its next round", extra=fields(reason=str(error)))
            except Exception:
                # The gateway takes images in whether or not old ones can be deleted.
                log.exception("retention failed and tries again in its next round")

    def round(self) -> int:
        """Delete what may go; returns the number of studies.

        Raises
        ------
        DestinationUnavailable
            Kafka or the index did not answer.
        """
        before = self._clock() - self._days * DAY_S
        old = asyncio.run(self._store.studies_before(before, MAX_STUDIES))
        if not old:
            return 0
        # The outbox is read first: what leaves it meanwhile is on Kafka when that is read.
        waiting = self._store.outbox.studies()
        unread = self._read_unread()
        if unread.unknown is not None:
            log.warning("retention deletes nothing", extra=fields(reason=unread.unknown, studies=len(old)))
        going = deletable(old, unread, waiting)
        deleted = 0
        for study in going[:MAX_DELETED]:
            if self._stop.is_set():
                break
            # Asked again in the commit: a study that got a new instance meanwhile stays.
            deleted += asyncio.run(self._store.delete(study, who=WHO, stored_before=before)) > 0
        log.info("retention looked at old studies", extra=fields(deleted=deleted, held=len(old) - len(going)))
        return deleted
