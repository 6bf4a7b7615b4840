"""Tasks in work → whose step is done next, by which thread, and with whom. Pure.

The lowest rank goes first at every step. While an emergency is under way nothing of a lower class begins a step,
so it waits for no more than the step in flight; one whose images do not come gives the others way after a while.
 A task that is alone has nothing beside it. What is prefetched is bounded by number and by bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from engines.base import Tensors
from streams.worker.child.held import Held, Place

#: Seconds for which an emergency that waits for others keeps everything free for itself.
KEPT_FREE_S: Final = 10.0
#: Where it waits for the network, or for its version to be loaded.
_WAITING: Final = frozenset({Place.NETWORK, Place.ELSEWHERE})


@dataclass(frozen=True)
class Limits:
    """How much may be in work.

    Attributes
    ----------
    tasks
        Tasks that hold images at the same time.
    held_bytes
        No further task is begun while those in work hold more.
    threads
        Threads by place; one of each is kept for emergencies where there are several.
    """

    tasks: int = 8
    held_bytes: int = 4 << 30
    network: int = 5
    hands: int = 3

    def threads(self, place: Place) -> int:
        """Threads that do steps of this kind."""
        return {Place.NETWORK: self.network, Place.HAND: self.hands, Place.ENGINE: 1}[place]


def allowed(held: Sequence[Held], now: float) -> list[Held]:
    """Tasks of which a step may begin now, most urgent first."""
    emergency = any(_keeps_free(entry, now) for entry in held)
    waiting = sorted(
        (
            entry
            for entry in held
            if not entry.running and entry.place is not Place.ELSEWHERE and (entry.emergency or not emergency)
        ),
        key=lambda entry: entry.order,
    )
    running = [entry for entry in held if entry.running]
    if any(entry.begin.alone for entry in running):
        return []
    begun = [entry for entry in waiting if entry.begun]
    # what is alone begins after all that has begun, and nothing after it: else each could wait for the memory
    # of the other
    if begun and (any(entry.begin.alone for entry in begun) or waiting[0].begin.alone):
        waiting = begun
    if waiting and waiting[0].begin.alone:
        return [] if running else waiting[:1]
    return [entry for entry in waiting if not entry.begin.alone]


def frees_at(held: Iterable[Held], now: float) -> float | None:
    """Seconds until an emergency that waits for others gives way; ``None`` without one."""
    kept = [entry for entry in held if _keeps_free(entry, now) and entry.place in _WAITING]
    return min((entry.moved_at + KEPT_FREE_S - now for entry in kept), default=None)


def _keeps_free(entry: Held, now: float) -> bool:
    return entry.emergency and (entry.place not in _WAITING or now - entry.moved_at < KEPT_FREE_S)


def next_for_thread(held: Sequence[Held], place: Place, limits: Limits, now: float) -> Held | None:
    """Task whose next step a free thread of this kind does."""
    busy = sum(1 for entry in held if entry.running and entry.place is place)
    free = busy < limits.threads(place) - (1 if limits.threads(place) > 1 else 0)
    for entry in allowed(held, now):
        if entry.place is place and (
            entry.emergency or (free and (entry.begun or _has_room(entry, held, limits)))
        ):
            return entry
    return None


def _has_room(entry: Held, held: Sequence[Held], limits: Limits) -> bool:
    """Whether a task may begin; those of lower classes never stand in its way."""
    begun = [other for other in held if other.begun]
    before = sum(1 for other in begun if other.begin.task.priority.rank <= entry.begin.task.priority.rank)
    enough = sum(other.bytes for other in begun) < limits.held_bytes
    return before == 0 or (before < limits.tasks and enough)


def next_batch(held: Sequence[Held], most_rows: int | None, now: float) -> list[Held]:
    """Tasks whose requests are computed together: the most urgent one, and who fits in beside it.

    Parameters
    ----------
    held
        All in work.
    most_rows
        Largest batch for the model of the one that :func:`first_for_engine` gives; ``None`` where the model does
        not batch. A preferred size that the rows suffice for goes before it.
    now
        Monotonic seconds.
    """
    ready = _ready(held, now)
    first = next(iter(ready), None)
    if first is None or first.request is None or most_rows is None or first.begin.alone:
        return ready[:1]
    batch, counts = [first], [rows(first.request.tensors)]
    for entry in ready[1:]:
        if entry.request is None or entry.request.model is not first.request.model:
            continue
        # on a CPU every further row is time that an emergency would wait
        if entry.emergency is first.emergency and alike(entry.request.tensors, first.request.tensors):
            count = counts[-1] + rows(entry.request.tensors)
            if count <= most_rows:
                batch.append(entry)
                counts.append(count)
    batching = first.request.model.config.dynamic_batching
    preferred = batching.preferred_batch_sizes if batching is not None else ()
    fitting = [index for index, count in enumerate(counts) if count in preferred]
    return batch[: fitting[-1] + 1] if fitting else batch


def worth_waiting_s(held: Sequence[Held], batch: Sequence[Held], most_rows: int | None, now: float) -> float:
    """Seconds for which others may still join a batch; never for an emergency, nor when nobody is on the way."""
    first = batch[0]
    if most_rows is None or first.request is None or first.emergency or first.begin.alone:
        return 0.0
    batching = first.request.model.config.dynamic_batching
    if batching is None or batching.max_queue_delay_s <= 0:
        return 0.0
    count = sum(rows(entry.request.tensors) for entry in batch if entry.request is not None)
    if count >= max(batching.preferred_batch_sizes, default=most_rows):
        return 0.0
    name = first.begin.task.model_name
    coming = any(
        entry.begun and entry.place is not Place.ENGINE and entry.begin.task.model_name == name for entry in held
    )
    return max(0.0, first.moved_at + batching.max_queue_delay_s - now) if coming else 0.0


def first_for_engine(held: Sequence[Held], now: float) -> Held | None:
    """The task whose request is the most urgent one."""
    return next(iter(_ready(held, now)), None)


def _ready(held: Sequence[Held], now: float) -> list[Held]:
    return [entry for entry in allowed(held, now) if entry.place is Place.ENGINE and entry.request is not None]


def rows(tensors: Tensors) -> int:
    """Independent rows of a request, its first axis."""
    return next(iter(array.shape[0] if array.ndim else 1 for array in tensors.values()), 1)


def alike(one: Tensors, other: Tensors) -> bool:
    """Whether two requests can be joined along the first axis."""
    return one.keys() == other.keys() and all(
        one[name].shape[1:] == other[name].shape[1:] and one[name].dtype == other[name].dtype for name in one
    )
