"""Work that can wait → a thread that the operating system serves after the others.

What receives, publishes and tells on this machine, and the emergencies of this and other workers, then find a
processor at once while routine work keeps all of them busy. Only Linux has a niceness of threads.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Final

_MOST: Final = 19


def give_way(nice: int) -> None:
    """Make the calling thread nicer, for good: without privileges there is no way back (setpriority(2)).

    Parameters
    ----------
    nice
        By how much; 10 leaves it a tenth of a processor that somebody else wants too.
    """
    if nice <= 0 or sys.platform != "linux":
        return
    thread = threading.get_native_id()
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, min(os.getpriority(os.PRIO_PROCESS, thread) + nice, _MOST))
