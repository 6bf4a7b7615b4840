"""Numbers that the delivery runtime decides with, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How patient, how wide and how wary a writer is.

    Attributes
    ----------
    retry_delays_s
        Wait before attempt 2, 3, … of a result that failed; after the last one it is dead-lettered.
    concurrency
        Deliveries under way at once; results of one study never overlap.
    per_source
        Deliveries under way at once that need the same source, so that a slow one leaves room for others;
        ``None`` for no limit.
    per_second
        Most deliveries that start in a second; ``None`` for no limit.
    read_ahead
        Messages that are known beyond the oldest unfinished one, over all partitions, and among which urgent ones
        overtake; about 600 bytes each.
    held_bytes
        Memory for the content of what was read ahead; the rest is read again when its turn comes.
    probe_first_s, probe_longest_s
        Wait before the first probe of a destination that is away, and the longest between two; doubling.
    source_patience_s
        How long a result waits for its source (see :class:`consumers.destination.SourceUnavailable`) before it is
        dead-lettered; ``None`` for as long as it takes.
    max_consecutive_dead
        Dead letters in a row after which the writer stops.
    max_dead_share, dead_window
        Share of dead letters among the last ``dead_window`` results after which the writer stops.
    drain_s
        How long deliveries under way may take to end when the process must stop.
    """

    retry_delays_s: tuple[float, ...] = (5.0, 30.0, 120.0)
    concurrency: int = 2
    per_source: int | None = None
    per_second: float | None = None
    read_ahead: int = 100_000
    held_bytes: int = 64 * 1024 * 1024
    probe_first_s: float = 0.25
    probe_longest_s: float = 30.0
    source_patience_s: float | None = None
    max_consecutive_dead: int = 10
    max_dead_share: float = 0.2
    dead_window: int = 100
    drain_s: float = 3.0
