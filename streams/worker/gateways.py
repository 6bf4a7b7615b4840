"""Gateways that did not answer → how long what needs them waits. Pure; time is an argument.

After a while one task tries, and the others wait for what becomes of it: a gateway that is away costs one task a
few seconds, and those of other gateways nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streams.worker.protocol import Name

#: Seconds between two tries of a gateway that is away: first, and at most.
PROBE_FIRST_S: Final = 0.5
PROBE_LONGEST_S: Final = 10.0

#: How long what waits looks away while another task tries, in seconds.
_LOOK_AGAIN_S: Final = 0.5


@dataclass
class _Away:
    tries: int = 0
    again_at: float = 0.0
    trying: Name | None = None


class Gateways:
    """Those that are away."""

    def __init__(self) -> None:
        self._away: dict[str, _Away] = {}

    def __len__(self) -> int:
        return len(self._away)

    def names(self) -> list[str]:
        """Gateways that are away."""
        return sorted(self._away)

    def ready_at(self, gateway: str, now: float) -> float:
        """Monotonic moment before which nothing more may try a gateway."""
        away = self._away.get(gateway)
        if away is None:
            return 0.0
        return away.again_at if away.trying is None else now + _LOOK_AGAIN_S

    def trying(self, gateway: str, name: Name) -> None:
        """Note that a task tries."""
        away = self._away.get(gateway)
        if away is not None:
            away.trying = name

    def answered(self, gateway: str) -> bool:
        """Note that a gateway gave a task its images; whether it was away."""
        return self._away.pop(gateway, None) is not None

    def went(self, gateway: str, now: float, retry_after_s: float | None) -> bool:
        """Note that a gateway did not answer; whether that is news."""
        away = self._away.setdefault(gateway, _Away())
        wait_s = min(PROBE_FIRST_S * 2**away.tries, PROBE_LONGEST_S)
        away.again_at = now + max(wait_s, min(retry_after_s or 0.0, PROBE_LONGEST_S))
        away.tries += 1
        away.trying = None
        return away.tries == 1

    def given_up(self, gateway: str, name: Name) -> None:
        """Note that a task that may have tried ended otherwise: the next may try."""
        away = self._away.get(gateway)
        if away is not None and away.trying == name:
            away.trying = None
