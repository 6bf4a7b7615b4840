"""How full the disk is, and whether that is too full to take more."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from schemas.logs import fields

log = logging.getLogger(__name__)

_CHECK_EVERY_S: Final = 1.0


def used_fraction(path: Path) -> float:
    """Part of the file system that an unprivileged process cannot write to any more, 0 to 1."""
    status = os.statvfs(path)
    usable = status.f_blocks - status.f_bfree + status.f_bavail
    return 1.0 - status.f_bavail / usable if usable else 1.0


class Watermark:
    """Refuses above one mark, warns above another; looks at the disk at most once a second.

    Parameters
    ----------
    path
        Directory on the file system to watch.
    refuse_fraction, warn_fraction
        Marks, 0 to 1.
    measure, clock
        Used fraction of a path; monotonic seconds.
    on_warning
        Called with the used fraction when the lower mark is passed, and again only after the disk was below it.
    """

    def __init__(
        self,
        path: Path,
        refuse_fraction: float,
        warn_fraction: float,
        measure: Callable[[Path], float] = used_fraction,
        clock: Callable[[], float] = time.monotonic,
        on_warning: Callable[[float], None] | None = None,
    ) -> None:
        self._path = path
        self._refuse = refuse_fraction
        self._warn = warn_fraction
        self._measure = measure
        self._clock = clock
        self._on_warning = on_warning
        self._checked_at = float("-inf")
        self._state = "free"

    def refuses(self) -> bool:
        """Whether the disk is above the upper mark; each change of state is logged once."""
        now = self._clock()
        if now - self._checked_at >= _CHECK_EVERY_S:
            self._checked_at = now
            used = self._measure(self._path)
            state = "full" if used >= self._refuse else "warning" if used >= self._warn else "free"
            if state != self._state:
                was, self._state = self._state, state
                self._say(used)
                if was == "free" and self._on_warning is not None:
                    self._on_warning(used)
        return self._state == "full"

    def _say(self, used: float) -> None:
        extra = fields(path=str(self._path), used_percent=round(used * 100, 1))
        if self._state == "full":
            log.error("disk is full to the mark: instances are refused (A700) until space is freed", extra=extra)
        elif self._state == "warning":
            log.warning("disk is filling up: free space before instances must be refused", extra=extra)
        else:
            log.info("disk has space again", extra=extra)
