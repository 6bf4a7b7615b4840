"""Which loopback port each service of the stack gets, and where that is remembered.

A port that a setting names is taken as it is. Any other is chosen once, from below the range that the system uses
for outgoing connections, and kept in ``<data dir>/ports.json``: retrieve URLs in the log name the gateway's port,
so it must stay the same when the stack starts again.
"""

from __future__ import annotations

import json
import logging
import random
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError
from schemas.logs import fields

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
FIRST, LAST = 20_000, 29_999
ATTEMPTS: Final = 200


def choose(
    names: Iterable[str],
    fixed: Mapping[str, int],
    remembered: Mapping[str, int],
    is_free: Callable[[int], bool],
    draw: Callable[[int, int], int],
) -> dict[str, int]:
    """One port for each name, all different. Pure but for what it is given.

    Parameters
    ----------
    names
        Services.
    fixed
        Ports that settings name; taken without asking whether they are free (their process says so better).
    remembered
        Ports of the last run, taken again when free.
    is_free
        Whether nobody listens on a port.
    draw
        Random integer between two, both included.

    Raises
    ------
    ConfigurationError
        No free port was found.
    """
    chosen: dict[str, int] = {}
    taken = set(fixed.values()) | set(remembered.values())
    for name in names:
        before = remembered.get(name)
        if name in fixed:
            chosen[name] = fixed[name]
        elif before is not None and before not in fixed.values() and is_free(before):
            chosen[name] = before
        else:
            chosen[name] = _another(taken, is_free, draw)
            taken.add(chosen[name])
    return chosen


def _another(taken: set[int], is_free: Callable[[int], bool], draw: Callable[[int, int], int]) -> int:
    for _ in range(ATTEMPTS):
        port = draw(FIRST, LAST)
        if port not in taken and is_free(port):
            return port
    raise ConfigurationError(
        f"no free port was found between {FIRST} and {LAST} on {HOST}: "
        "end other programs or set the ports yourself"
    )


def assign(data_dir: Path, names: Iterable[str], fixed: Mapping[str, int]) -> dict[str, int]:
    """:func:`choose` with what the last run used, and remember it."""
    file = data_dir / "ports.json"
    try:
        remembered = {str(name): int(port) for name, port in json.loads(file.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        remembered = {}
    chosen = choose(names, fixed, remembered, is_free, random.SystemRandom().randint)
    moved = {name: port for name, port in chosen.items() if remembered.get(name, port) != port}
    if moved:
        log.warning("a port of the last run is in use or set otherwise", extra=fields(now=moved))
    if chosen != remembered:
        file.write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
    return chosen


def is_free(port: int) -> bool:
    """Whether a listener could be opened on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
