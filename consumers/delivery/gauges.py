"""State of a writer → metrics: lag in seconds, oldest undelivered of each class, breaker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from consumers.delivery.backlog import Backlog
from consumers.delivery.circuit import Circuit, State
from producers.telemetry import Telemetry
from schemas.topics import Priority

_INTERVAL_S: Final = 2.0

#: State of the circuit → what operations call it.
_NAMES: Final = {
    State.CLOSED: "closed",
    State.OPEN: "open",
    State.PROBING: "half-open",
    State.TRIAL: "half-open",
}


class Gauges:
    """Metrics of one writer.

    Parameters
    ----------
    telemetry
        Of the process.
    destination
        Name of the destination.
    now, clock
        Wall clock, and monotonic time in seconds.
    """

    def __init__(
        self, telemetry: Telemetry, destination: str, now: Callable[[], datetime], clock: Callable[[], float]
    ) -> None:
        self._telemetry = telemetry
        self._destination = destination
        self._now = now
        self._clock = clock
        self._next = clock()

    def show(self, backlog: Backlog, circuit: Circuit) -> None:
        """Tell how things are, every other second."""
        if self._clock() < self._next:
            return
        self._next = self._clock() + _INTERVAL_S
        oldest = oldest_ms(backlog)
        now_ms = self._now().timestamp() * 1000
        ages = {rank: max(0.0, (now_ms - timestamp) / 1000) for rank, timestamp in oldest.items()}
        lag_s = max(ages.values(), default=0.0)
        self._telemetry.gauge("scanstream_delivery_lag_seconds", lag_s, destination=self._destination)
        for priority in Priority:
            self._telemetry.gauge(
                "scanstream_delivery_oldest_seconds",
                ages.get(priority.rank, 0.0),
                destination=self._destination,
                priority=priority.value,
            )
        for name in sorted(set(_NAMES.values())):
            self._telemetry.gauge(
                "scanstream_delivery_breaker",
                float(_NAMES[circuit.state] == name),
                destination=self._destination,
                state=name,
            )


def oldest_ms(backlog: Backlog) -> dict[int, int]:
    """Kafka timestamp, in milliseconds, of the oldest unfinished message of each rank."""
    oldest: dict[int, int] = {}
    for item in backlog.unfinished():
        known = oldest.get(item.rank)
        if known is None or item.timestamp_ms < known:
            oldest[item.rank] = item.timestamp_ms
    return oldest
