"""Blocking work with a C-FIND, C-MOVE or C-GET → awaited, and ended at once when nobody waits any longer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

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
    """Run blocking work in a thread; when the waiting is cancelled, its association is aborted.

    The thread is no reason for the process to stay: it is a daemon.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    handle = Handle()

    def deliver(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] # without an error there is a result

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = work(handle)
        except Exception as error:  # noqa: BLE001 - handed to who waits, as it is
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, result, failure)

    threading.Thread(target=run, name="association", daemon=True).start()
    try:
        return await done
    except asyncio.CancelledError:
        handle.cancel()
        raise
