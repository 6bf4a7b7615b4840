"""All processes of the system on this machine: started together, kept alive, stopped in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from dashboards.local.stack import Stack

STOP_TIMEOUT_S: Final = 30.0


def up(data_dir: Path, on_change: Callable[[Stack], None] | None = None) -> int:
    """Run the stack in the foreground, until SIGTERM or SIGINT. Call it from the main thread.

    Parameters
    ----------
    data_dir
        State directory, one for each stack.
    on_change
        Called with the stack after each change of a process.

    Returns
    -------
    int
        0 when it was told to stop.

    Raises
    ------
    ConfigurationError
        A stack is up there already, or the directory cannot be written, or a setting is wrong.
    """


def detach(data_dir: Path, timeout_s: float = 300.0, on_change: Callable[[Stack], None] | None = None) -> Stack:
    """Start the stack in the background and wait until every process is ready or one refuses its configuration.

    Parameters
    ----------
    data_dir
        State directory.
    timeout_s
        Seconds to wait (the first start fetches Kafka).
    on_change
        Called with the stack after each change, while waiting.

    Raises
    ------
    ConfigurationError
        As :func:`up`.
    ScanstreamError
        The supervisor ended while it was waited for.
    """


def down(data_dir: Path, timeout_s: float = STOP_TIMEOUT_S + 10.0) -> bool:
    """Stop the stack of a state directory and wait for its end; ``False`` when none was up.

    After ``timeout_s`` seconds the supervisor is killed, and its processes with it.
    """
