"""Task → its priority topic and its first status: one transaction, at most once across all processes of the API.

Requests that come while a transaction is under way are written together in the next one (group commit), so that
many at once wait for two commits at most, and not for those of everybody before them.

Two processes may be asked for the same task at once, and a process may die at any moment. So each request key
belongs to one of a few transactional ids that all processes share: whoever registers one (KIP-98) fences everybody
who had it before, and no transaction of theirs can commit any more. After it has registered, a process reads the
log up to its end of that moment, and so knows every task that was ever written under its keys; as long as its
transactions commit, nobody else has written any. What is half written is aborted by the next registration.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Protocol
from zlib import crc32

from dashboards.orders.order import Refused
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


@dataclass(eq=False)
class _Wish:
    """One request: what it asks for, and what became of it once ``done``."""

    key: str
    known: Callable[[], bool]
    outputs: Callable[[], Sequence[Output]]
    done: bool = False
    new: bool = False
    error: Exception | None = None

    def settle(self, *, new: bool = False, error: Exception | None = None) -> None:
        self.new, self.error, self.done = new, error, True


@dataclass
class _Share:
    publisher: EventPublisher
    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: deque[_Wish] = field(default_factory=deque)
    ours: bool = False
    used: bool = False

    def next(self) -> list[_Wish]:
        """Those that wait, of each key the first: whether the others are known shows when it is written."""
        found: dict[str, _Wish] = {}
        for _ in range(len(self.waiting)):
            wish = self.waiting.popleft()
            if found.setdefault(wish.key, wish) is not wish:
                self.waiting.append(wish)
        return list(found.values())


class Writer:
    """The way to Kafka.

    Parameters
    ----------
    publisher
        Transactional id → publisher of that name, not started.
    catch_up
        Waits until everything that is in the log now is known; raises ``DestinationUnavailable``.
    learn
        Is told what was written, before anything else is asked for under the same key.
    sleep
        Waits, in seconds.
    chance
        Number from 0 to 1.
    """

    def __init__(
        self,
        publisher: Callable[[str], EventPublisher],
        catch_up: Callable[[], None],
        learn: Callable[[Sequence[Output]], None],
        sleep: Callable[[float], None],
        chance: Callable[[], float],
    ) -> None:
        self._publisher = publisher
        self._catch_up = catch_up
        self._learn = learn
        self._sleep = sleep
        self._chance = chance
        self._lock = threading.Lock()
        self._shares: dict[int, _Share] = {}

    def __call__(self, key: str, known: Callable[[], bool], outputs: Callable[[], Sequence[Output]]) -> bool:
        """Write what is not known yet; see :class:`Once`."""
        share, wish = self._share(crc32(key.encode()) % SHARES), _Wish(key, known, outputs)
        share.waiting.append(wish)
        if not share.lock.acquire(timeout=_PATIENCE_S):
            with suppress(ValueError):  # whoever writes now took it along: it is written or not
                share.waiting.remove(wish)
            raise DestinationUnavailable("requests before this one still wait for Kafka: send it again")
        try:
            # whoever had the lock before has written this one too, unless it came too late
            while not wish.done:
                self._serve(share, share.next())
        finally:
            share.lock.release()
        if wish.error is not None:
            raise wish.error
        return wish.new

    def _serve(self, share: _Share, wishes: Sequence[_Wish]) -> None:
        """Settle all of them."""
        try:
            self._try(share, wishes)
        except Exception as error:  # noqa: BLE001 - each gets it in its own thread
            left = [wish for wish in wishes if not wish.done]
            if len(left) == 1 or isinstance(error, DestinationUnavailable):
                for wish in left:
                    wish.settle(error=error)
                return
            for wish in left:  # one of them cannot be written, which is not the others' fault
                self._serve(share, [wish])

    def _try(self, share: _Share, wishes: Sequence[_Wish]) -> None:
        for attempt in range(_TRIES):
            try:
                self._write(share, wishes)
            except PermanentRejection:
                # another process of the API was asked at the same moment: it goes first
                share.ours = False
                self._sleep(self._chance() * 0.05 * 2**attempt)
            except DestinationUnavailable:
                share.ours = False
                raise
            else:
                return
        raise DestinationUnavailable("other processes of the API are busy with requests: send it again")

    def _write(self, share: _Share, wishes: Sequence[_Wish]) -> None:
        if not share.ours:
            if share.used:
                share.publisher.renew(_PATIENCE_S)
            else:
                share.publisher.start(_PATIENCE_S)
                share.used = True
            self._catch_up()
            share.ours = True
        new = [wish for wish in wishes if not wish.done and not _is_known(wish)]
        if not new:
            return
        written = [wish.outputs() for wish in new]
        with share.publisher.transaction() as transaction:
            for topic, event_key, event in chain.from_iterable(written):
                transaction.publish(topic, event_key, event)
        for wish, outputs in zip(new, written, strict=True):
            self._learn(outputs)
            wish.settle(new=True)

    def _share(self, number: int) -> _Share:
        with self._lock:
            if number not in self._shares:
                self._shares[number] = _Share(self._publisher(f"scanstream.api.requests.{number}"))
            return self._shares[number]


def _is_known(wish: _Wish) -> bool:
    """Whether there is nothing to write; a refusal is that of its request alone."""
    try:
        known = wish.known()
    except Refused as error:
        wish.settle(error=error)
        return True
    if known:
        wish.settle()
    return known
