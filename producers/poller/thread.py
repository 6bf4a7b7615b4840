"""Blocking work with a C-FIND, C-MOVE or C-GET → awaited, and ended at once when nobody waits any longer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from producers.dimse import blocking

T = TypeVar("T")


class Abortable(Protocol):
    """An association."""

    def abort(self) -> None:
        """End it from another thread; whoever waits on it is told that it is lost."""
        ...


class Handle:
    """Tells blocking work that it is no longer wanted."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._association: Abortable | None = None

    def is_cancelled(self) -> bool:
        """Whether nobody waits for the result any longer."""
        return self._cancelled.is_set()

    def hold(self, association: Abortable) -> None:
        """Say what to abort."""
        with self._lock:
            self._association = association
            if self.is_cancelled():
                association.abort()

    def cancel(self) -> None:
        """End the work."""
        with self._lock:
            self._cancelled.set()
            if self._association is not None:
                self._association.abort()


async def in_thread(work: Callable[[Handle], T]) -> T:
    """Run blocking work in a thread; when the waiting is cancelled, its association is aborted."""
    handle = Handle()
    try:
        return await blocking.in_thread(lambda: work(handle))
    except asyncio.CancelledError:
        handle.cancel()
        raise
