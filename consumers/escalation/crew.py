"""Notices → channels, in threads of each channel's own: one that hangs keeps nobody else waiting.

A notice whose channel does not come to an end in time counts as failed, so the next way is tried. The threads are
daemons.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from consumers.defect import described
from consumers.escalation.channels.message import Channel, Message
from schemas.errors import PermanentRejection, ScanstreamError, TransientFailure
from schemas.events import PendingNotice

log = logging.getLogger(__name__)

#: Threads of one channel.
THREADS: Final = 4
#: Connecting, speaking and closing may each take a channel's timeout.
PATIENCE: Final = 3.0


@dataclass(frozen=True)
class Errand:
    """One notice to be sent; an alarm of a later revision has notices of its own."""

    escalation_id: str
    revision: int
    notice: PendingNotice


@dataclass(frozen=True)
class Ended:
    """What became of an errand; ``error`` is ``None`` where the channel took it."""

    errand: Errand
    error: ScanstreamError | None


class Crew:
    """Threads for every channel.

    Parameters
    ----------
    channels
        By name.
    timeouts_s
        Timeout of each channel, in seconds.
    clock
        Monotonic time in seconds.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        timeouts_s: Mapping[str, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._timeouts_s = timeouts_s
        self._work: dict[str, queue.SimpleQueue[tuple[Errand, Message]]] = {}
        self._ends: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._under_way: dict[Errand, float] = {}
        for name, channel in channels.items():
            work = self._work[name] = queue.SimpleQueue()
            for number in range(THREADS):
                threading.Thread(
                    target=self._run, args=(channel, work), name=f"{name}-{number}", daemon=True
                ).start()

    def is_under_way(self, errand: Errand) -> bool:
        """Whether this very notice is being sent."""
        return errand in self._under_way

    @property
    def busy(self) -> bool:
        """Whether anything is being sent."""
        return bool(self._under_way)

    def send(self, errand: Errand, message: Message) -> None:
        """Queue a notice; it fails at once where there is no such channel."""
        name = errand.notice.channel
        if name not in self._work:
            self.fail(errand, PermanentRejection(f"there is no channel {name!r}: describe it in the routes file"))
            return
        self._under_way[errand] = self._clock() + PATIENCE * self._timeouts_s[name]
        self._work[name].put((errand, message))

    def fail(self, errand: Errand, error: ScanstreamError) -> None:
        """Have a notice end that cannot even be written."""
        self._under_way[errand] = float("inf")
        self._ends.put(Ended(errand, error))

    def ends(self) -> Iterator[Ended]:
        """Everything that ended or was given up since the last call; never waits."""
        while True:
            try:
                ended = self._ends.get_nowait()
            except queue.Empty:
                break
            if self._under_way.pop(ended.errand, None) is not None:
                yield ended
        now = self._clock()
        for errand in [one for one, end in self._under_way.items() if now >= end]:
            del self._under_way[errand]
            reason = f"channel {errand.notice.channel} did not come to an end in time: check the far side"
            yield Ended(errand, TransientFailure(reason))

    def _run(self, channel: Channel, work: queue.SimpleQueue[tuple[Errand, Message]]) -> None:
        while True:
            errand, message = work.get()
            self._ends.put(Ended(errand, _sent(channel, message)))


def _sent(channel: Channel, message: Message) -> ScanstreamError | None:
    try:
        channel.send(message)
    except ScanstreamError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect of one channel must not stop the alarm
        return TransientFailure(f"unexpected {described(error)}: report it with the log of this writer")
    return None
