"""A computing process that is no process: the test says what it says, and sees what it was told."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from streams.worker.protocol import FromChild, ToChild


class FakeChild:
    """:class:`streams.worker.child.ChildLink` without anything behind it."""

    def __init__(self) -> None:
        self.told: list[ToChild] = []
        self._said: SimpleQueue[FromChild] = SimpleQueue()
        self._exitcode: int | None = None

    def say(self, *messages: FromChild) -> None:
        """What the parent receives next."""
        for message in messages:
            self._said.put(message)

    def die(self, exitcode: int) -> None:
        """End, as a process does."""
        self._exitcode = exitcode

    def send(self, message: ToChild) -> None:
        if self.alive:
            self.told.append(message)

    def receive(self, timeout_s: float) -> FromChild | None:
        try:
            return self._said.get(timeout=timeout_s) if timeout_s > 0 and self.alive else self._said.get_nowait()
        except Empty:
            return None

    @property
    def alive(self) -> bool:
        return self._exitcode is None

    @property
    def exitcode(self) -> int | None:
        return self._exitcode

    def kill(self) -> None:
        if self.alive:
            self.die(-9)

    def close(self) -> None:
        if self.alive:
            self.die(0)
