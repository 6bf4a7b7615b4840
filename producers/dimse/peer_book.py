"""The peers file as it is now: read again when it has changed, without a restart.

Guarantee: a new file with a mistake is said once in the log, and the last good one stays in force.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from producers.dimse.peers import Peers, load
from producers.watched import Watched
from schemas.errors import ConfigurationError
from schemas.logs import fields

log = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 1.0


class PeerBook:
    """Known application entities.

    Parameters
    ----------
    path
        YAML file, or ``None`` when everyone may do everything.
    clock
        Monotonic time in seconds.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or says something that cannot be.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._files = Watched(() if path is None else (path,), CHECK_EVERY_S, clock)
        self._peers = load(path)

    def current(self) -> Peers:
        """Peers of the newest good file."""
        if self._files.changed():
            try:
                self._peers = load(self._path)
            except ConfigurationError as error:
                log.error(  # noqa: TRY400 - the sentence says it all
                    "peers file not taken: the last good one stays", extra=fields(reason=str(error))
                )
            else:
                log.info("peers file read again", extra=fields(peers=len(self._peers.peers)))
        return self._peers
