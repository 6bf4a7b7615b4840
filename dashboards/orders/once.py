"""Task → its priority topic and its first status: one transaction, at most once across all processes of the API.

Two processes may be asked for the same task at once, and a process may die at any moment. So each request key
belongs to one of a few transactional ids that all processes share: whoever registers one (KIP-98) fences everybody
who had it before, and no transaction of theirs can commit any more. After it has registered, a process reads the
log up to its end of that moment, and so knows every task that was ever written under its keys; as long as its
transactions commit, nobody else has written any. What is half written is aborted by the next registration.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from zlib import crc32

from producers.kafka import EventPublisher
from schemas.errors import DestinationUnavailable, PermanentRejection
from schemas.events import Event
from schemas.topics import Topic

#: More of them let more requests be written side by side; each is a connection once it is used.
SHARES: Final = 4
_PATIENCE_S: Final = 10.0
_TRIES: Final = 8

#: Topic, key, event.
Output = tuple[Topic, str, Event]


class Once(Protocol):
    """Writes what is not known yet."""

    def __call__(self, key: str, known: Callable[[], bool], outputs: Callable[[], Sequence[Output]]) -> bool:
        """Write ``outputs`` unless ``known``; whether it did.

        Raises
        ------
        DestinationUnavailable
            Kafka did not say that it has them: ask again under the same key.
        """
        ...


@dataclass
class _Share:
    publisher: EventPublisher
    lock: threading.Lock = field(default_factory=threading.Lock)
    ours: bool = False
    used: bool = False


class Writer:
    """The way to Kafka.

    Parameters
    ----------
    publisher
        Transactional id → publisher of that name, not started.
    catch_up
        Waits until everything that is in the log now is known; raises ``DestinationUnavailable``.
    sleep
        Waits, in seconds.
    chance
        Number from 0 to 1.
    """

    def __init__(
        self,
        publisher: Callable[[str], EventPublisher],
        catch_up: Callable[[], None],
        sleep: Callable[[float], None],
        chance: Callable[[], float],
    ) -> None:
        self._publisher = publisher
        self._catch_up = catch_up
        self._sleep = sleep
        self._chance = chance
        self._lock = threading.Lock()
        self._shares: dict[int, _Share] = {}

    def __call__(self, key: str, known: Callable[[], bool], outputs: Callable[[], Sequence[Output]]) -> bool:
        """Write what is not known yet; see :class:`Once`."""
        share = self._share(crc32(key.encode()) % SHARES)
        if not share.lock.acquire(timeout=_PATIENCE_S):
            raise DestinationUnavailable("requests before this one still wait for Kafka: send it again")
        try:
            for attempt in range(_TRIES):
                try:
                    return self._write(share, known, outputs)
                except PermanentRejection:
                    # another process of the API was asked at the same moment: it goes first
                    share.ours = False
                    self._sleep(self._chance() * 0.05 * 2**attempt)
                except DestinationUnavailable:
                    share.ours = False
                    raise
        finally:
            share.lock.release()
        raise DestinationUnavailable("other processes of the API are busy with requests: send it again")

    def _write(self, share: _Share, known: Callable[[], bool], outputs: Callable[[], Sequence[Output]]) -> bool:
        if not share.ours:
            if share.used:
                share.publisher.renew(_PATIENCE_S)
            else:
                share.publisher.start(_PATIENCE_S)
                share.used = True
            self._catch_up()
            share.ours = True
        if known():
            return False
        with share.publisher.transaction() as transaction:
            for topic, event_key, event in outputs():
                transaction.publish(topic, event_key, event)
        return True

    def _share(self, number: int) -> _Share:
        with self._lock:
            if number not in self._shares:
                self._shares[number] = _Share(self._publisher(f"scanstream.api.requests.{number}"))
            return self._shares[number]
