"""Messages to the parent → its pipe, whole and in order; and a sign of life every few seconds."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from streams.worker.protocol import FromChild, Health

#: Seconds between two signs of life.
HEALTH_S: Final = 2.0


class Voice:
    """Says things to the parent, from any thread.

    What was said is in the pipe when :meth:`say` returns, so the parent hears it even if this process dies then.

    Parameters
    ----------
    outbound
        Our end of the pipe.
    gone
        Called when nobody listens any more.
    """

    def __init__(self, outbound: Connection, gone: Callable[[], None]) -> None:
        self._outbound = outbound
        self._gone = gone
        self._lock = threading.Lock()

    def say(self, message: FromChild) -> None:
        """Say something; the parent reads at all times, so this waits for nothing else that it does."""
        try:
            with self._lock:
                self._outbound.send(message)
        except OSError:
            self._gone()


def keep_telling(say: Callable[[FromChild], None], problems: Callable[[], tuple[str, ...]]) -> threading.Event:
    """Say ``Health`` now and every few seconds from a thread, until the event is set."""
    over = threading.Event()

    def tell() -> None:
        while True:
            say(Health(resident_bytes(), problems()))
            if over.wait(HEALTH_S):
                return

    threading.Thread(target=tell, name="health", daemon=True).start()
    return over


def resident_bytes() -> int:
    """Memory of this process that is in RAM; where the system does not tell, the most that it ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
