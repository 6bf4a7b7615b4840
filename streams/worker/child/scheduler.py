"""Tasks in work, their steps done by threads and the engine → messages to the parent.

Any thread may call. The engine belongs to the thread in :meth:`Scheduler.compute`; network and arithmetic go on
beside it. Guarantee: of a task that was abandoned nothing is said after :meth:`Scheduler.abandon` returned, and of
every other one exactly one ``Ended`` or ``Unreachable`` is the last that is said. What goes on after the answer
(``Aside``) is given up as soon as there is other work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from engines.steps import Advanced
from schemas.errors import DestinationUnavailable
from schemas.events import InferenceTask
from schemas.logs import fields
from streams.worker.answers import Answer
from streams.worker.child import choice
from streams.worker.child.batches import Batches
from streams.worker.child.held import Held, Place, StepsOf, expected_bytes
from streams.worker.child.steps import Compute, Request, Told, Transfer, Wait
from streams.worker.protocol import Aside, Begin, Computing, Ended, FromChild, Moved, Name, Unreachable

log = logging.getLogger(__name__)

#: A step of the engine that takes longer than this, in seconds, is a problem to tell.
STUCK_S: Final = 120.0

#: Where threads wait for steps.
_PLACES: Final = (Place.NETWORK, Place.HAND, Place.ENGINE)


class Scheduler:
    """Does the steps of several tasks, the most urgent one first.

    Parameters
    ----------
    steps_of
        Makes the generator of a task.
    unexpected
        Answer for an error that nobody expected.
    say
        Takes messages to the parent; must not wait.
    limits
        How much may be in work.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        steps_of: StepsOf,
        unexpected: Callable[[InferenceTask, Exception], Answer],
        say: Callable[[FromChild], None],
        limits: choice.Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps_of = steps_of
        self._unexpected = unexpected
        self._say = say
        self._limits = limits or choice.Limits()
        self._clock = clock
        self._work: list[Held] = []
        self._names: dict[Name, Held] = {}
        self._number = 0
        self._batches = Batches()
        self._lock = threading.Lock()
        self._changed = {place: threading.Condition(self._lock) for place in _PLACES}
        self._closed = False
        self._computing: tuple[str, float] | None = None
        self._named: tuple[Name, ...] = ()

    def begin(self, begin: Begin) -> None:
        """Take a task on; one that is held under the same name is given up for it."""
        name = (begin.task.task_id, begin.task.attempt)
        self.abandon(name)
        with self._lock:
            self._number += 1
            held = Held(
                begin, self._steps_of(begin), self._number, self._clock(), begin.rank, bytes=expected_bytes(begin)
            )
            self._names[name] = held
            for other in [entry for entry in self._work if entry.answered]:
                self._give_up(other)
            self._work.append(held)
            self._wake(held, Place.NETWORK)

    def rerank(self, name: Name, rank: float) -> None:
        """Make a task more or less urgent."""
        with self._lock:
            if name in self._names:
                self._names[name].rank = rank
                self._wake_all()

    def abandon(self, name: Name) -> None:
        """Give a task up: its step under way is the last one, and nothing more is said of it."""
        with self._lock:
            held = self._names.pop(name, None)
            if held is not None:
                self._give_up(held)
                self._wake_all()

    def close(self) -> None:
        """Begin no further step; every thread returns after the one that it does."""
        with self._lock:
            self._closed = True
            self._wake_all()

    def start_threads(self) -> list[threading.Thread]:
        """Start what does the steps beside the engine."""
        places = [Place.NETWORK] * self._limits.network + [Place.HAND] * self._limits.hands
        threads = [
            threading.Thread(target=self._serve, args=(place,), name=f"{place.value}-{index}", daemon=True)
            for index, place in enumerate(places)
        ]
        for thread in threads:
            thread.start()
        return threads

    def in_work(self) -> tuple[Held, ...]:
        """Tasks that are held, abandoned ones whose last step runs among them."""
        with self._lock:
            return tuple(self._work)

    def problems(self) -> tuple[str, ...]:
        """What is wrong at this moment."""
        computing = self._computing
        if computing is None or self._clock() - computing[1] < STUCK_S:
            return ()
        return (f"model {computing[0]} has computed one step for more than {STUCK_S:.0f} s",)

    def compute(self) -> None:
        """Serve the engine until :meth:`close`, in the calling thread."""
        while batch := self._next_batch():
            model = batch[0].request.model if batch[0].request else None
            if model is None:  # pragma: no cover - only requests are handed to the engine
                continue
            self._computing = (model.info.name, self._clock())
            replies = self._batches.run(model, [held.request.tensors for held in batch if held.request])
            self._computing = None
            with self._lock:
                for held, reply in zip(batch, replies, strict=True):
                    held.request = None
                    held.reply = reply
                    self._put_down(held, Place.HAND)

    def _next_batch(self) -> list[Held]:
        with self._lock:
            while not self._closed:
                now = self._clock()
                first = choice.first_for_engine(self._work, now)
                if first is not None and first.request is not None:
                    most = self._batches.most_rows(first.request.model)
                    batch = choice.next_batch(self._work, most, now)
                    wait_s = choice.worth_waiting_s(self._work, batch, most, now)
                    if wait_s > 0:
                        self._changed[Place.ENGINE].wait(wait_s)
                        continue
                    for held in batch:
                        held.running = True
                    self._say_computing()
                    return batch
                self._changed[Place.ENGINE].wait(choice.frees_at(self._work, now))
            return []

    def _serve(self, place: Place) -> None:
        while (held := self._next(place)) is not None:
            self._advance(held)

    def _next(self, place: Place) -> Held | None:
        with self._lock:
            while not self._closed:
                now = self._clock()
                held = choice.next_for_thread(self._work, place, self._limits, now)
                if held is not None:
                    held.running = held.begun = True
                    self._say_computing()
                    return held
                self._changed[place].wait(choice.frees_at(self._work, now))
            return None

    def _advance(self, held: Held) -> None:
        """Let a generator go on until somebody else has to do its next step."""
        place = held.place
        while True:
            reply, held.reply = held.reply, None
            try:
                step = held.steps.throw(reply) if isinstance(reply, Exception) else held.steps.send(reply)
            except StopIteration as end:
                return self._finish(held, Ended(held.name, end.value))
            except DestinationUnavailable as error:
                return self._finish(held, Unreachable(held.name, str(error), error.retry_after_s))
            except Exception as error:
                log.exception("unexpected error in a task", extra=fields(task_id=held.name[0]))
                return self._finish(held, Ended(held.name, self._unexpected(held.begin.task, error)))
            if isinstance(step, Wait):
                return self._wait(held, step)
            with self._lock:
                following = place
                if isinstance(step, Advanced):
                    self._tell(held, step)
                elif isinstance(step, Told):
                    self._answer(held, step.answer)
                elif isinstance(step, Aside):
                    self._say(step)
                else:
                    following = self._wants(held, step)
                # after each step somebody more urgent may be waiting for this thread
                if held.abandoned or following is not place or self._closed or self._displaced(held):
                    return self._put_down(held, following)

    def _answer(self, held: Held, answer: Answer) -> None:
        if not held.abandoned:
            del self._names[held.name]
            self._say(Ended(held.name, answer))
        held.answered = True
        self._named = ()  # who hears the answer takes the task for done: its next step is named again
        if any(not entry.answered for entry in self._work):
            self._give_up(held)

    def _give_up(self, held: Held) -> None:
        held.abandoned = True
        if not held.running:
            self._work.remove(held)
            held.steps.close()

    def _wait(self, held: Held, step: Wait) -> None:
        with self._lock:
            held.begun = False  # it takes nobody's place meanwhile
            self._put_down(held, Place.ELSEWHERE)
        step.until.add_done_callback(lambda _: self._go_on(held))

    def _go_on(self, held: Held) -> None:
        with self._lock:
            held.place = Place.NETWORK
            held.moved_at = self._clock()
            self._wake(held, Place.NETWORK)

    def _say_computing(self) -> None:
        """Name the tasks whose arithmetic is under way, decoders of images included, before a step begins."""
        names = tuple(
            sorted(entry.name for entry in self._work if entry.running and entry.place is not Place.NETWORK)
        )
        if names != self._named:
            self._named = names
            self._say(Computing(names))

    def _displaced(self, held: Held) -> bool:
        held.running = False
        best = choice.next_for_thread(self._work, held.place, self._limits, self._clock())
        held.running = True
        return best is not held

    def _wants(self, held: Held, step: Request | Transfer | Compute) -> Place:
        if isinstance(step, Request):
            held.request = step
            return Place.ENGINE
        if step.holds_bytes is not None:
            if step.holds_bytes < held.bytes:  # there may be room for several others
                self._changed[Place.NETWORK].notify_all()
            held.bytes = step.holds_bytes
        return Place.NETWORK if isinstance(step, Transfer) else Place.HAND

    def _tell(self, held: Held, step: Advanced) -> None:
        progress = held.progress(step.state, step.fraction)
        if progress is not None and not held.abandoned:
            self._say(Moved(held.name, step.state, progress))

    def _put_down(self, held: Held, place: Place) -> None:
        held.running = False
        held.place = place
        held.moved_at = self._clock()
        if held.abandoned:
            self._work.remove(held)
            held.steps.close()
        if not any(entry.running for entry in self._work):
            self._say_computing()
        self._wake(held, place)

    def _finish(self, held: Held, message: FromChild) -> None:
        with self._lock:
            self._work.remove(held)
            if not held.abandoned and not held.answered:
                del self._names[held.name]
                self._say(message)
            if not any(entry.running for entry in self._work):
                self._say_computing()
            self._wake(held, Place.NETWORK)

    def _wake(self, held: Held, place: Place) -> None:
        """Wake who may do the next step after a change; all, only where some stand in the others' way."""
        apart = held.abandoned or held.emergency or held.begin.alone or place is Place.ELSEWHERE
        if apart or any(entry.emergency or entry.begin.alone or entry.answered for entry in self._work):
            self._wake_all()
        else:
            self._changed[place].notify_all()

    def _wake_all(self) -> None:
        for changed in self._changed.values():
            changed.notify_all()
