"""A request to stop → how long anything may still be waited for, above all Kafka.

A process promises to end within some seconds of a request. Whoever waits does so in slices and asks in between, so
the promise holds whatever was being waited for when the request came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from confluent_kafka import KafkaError, KafkaException

#: Longest wait without a look at the request, in seconds.
SLICE_S: Final = 0.5

#: Pause before a call is repeated, should it have failed at once, in seconds.
_PAUSE_S: Final = 0.01


class TimeLeft:
    """Seconds until everything must have ended.

    Parameters
    ----------
    stop
        Set when the process must end.
    within_s
        How long it may take then.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, stop: threading.Event, within_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stop = stop
        self._within_s = within_s
        self._clock = clock
        self._end: float | None = None

    def __call__(self) -> float:
        """Seconds; infinite while nobody asked. They count from the first look after the request."""
        if self._end is None:
            if not self._stop.is_set():
                return float("inf")
            self._end = self._clock() + self._within_s
        return max(self._end - self._clock(), 0.0)


def without_end() -> float:
    """Time left of a process that nobody asks to stop."""
    return float("inf")


def slices(
    timeout_s: float, left: Callable[[], float] = without_end, clock: Callable[[], float] = time.monotonic
) -> Iterator[float]:
    """Waits, in seconds, that make up a longer one; they end early when no time is left. At least one is given."""
    end = clock() + timeout_s
    while True:
        wait_s = min(end - clock(), left())
        yield max(min(wait_s, SLICE_S), 0.0)
        if min(end - clock(), left()) <= 0:
            return


def call_again(call: Callable[[float], object], timeout_s: float, left: Callable[[], float]) -> None:
    """Wait for what goes on with its next call when one was too short: a producer's begin, commit and abort.

    Parameters
    ----------
    call
        Takes its time-out in seconds.
    timeout_s
        How long all calls together may take.
    left
        Seconds that are left at all.

    Raises
    ------
    KafkaException
        It failed, or took too long.
    """
    late: KafkaException | None = None
    for wait_s in slices(timeout_s, left):
        try:
            call(wait_s)
        except KafkaException as error:
            # what was too short is told as a time-out, or as the reason why it took so long; a conflict is with
            # another call that has not ended, and no repetition of this one ends that
            if not error.args[0].retriable() or error.args[0].code() == KafkaError._CONFLICT:
                raise
            late = error
            time.sleep(_PAUSE_S)
        else:
            return
    if late is not None:
        raise late
