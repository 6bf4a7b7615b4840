"""How a process ended → whether and when it starts again. Pure.

Exponential backoff with jitter, so that processes which fell together do not come back together; reset after a
time of stable work. A wrong configuration is never tried again: only a person can correct it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from producers.process import EXIT_CONFIGURATION


@dataclass(frozen=True)
class RestartPolicy:
    """Numbers of the backoff.

    Attributes
    ----------
    first_s, largest_s
        Delay before the first restart, and the largest, in seconds before jitter.
    stable_s
        A process that lived this long has recovered: the next delay is the first again.
    """

    first_s: float = 0.2
    largest_s: float = 30.0
    stable_s: float = 60.0


@dataclass(frozen=True)
class Again:
    """Start again.

    Attributes
    ----------
    delay_s
        Seconds to wait before.
    failures
        Ends in a row, this one included.
    """

    delay_s: float
    failures: int


@dataclass(frozen=True)
class Never:
    """Do not start again: the configuration must be corrected first."""


@dataclass(frozen=True)
class Finished:
    """A process with an end did what it is for."""


Decision = Again | Never | Finished

DEFAULT_POLICY: Final = RestartPolicy()


def decide(
    exit_code: int,
    lived_s: float,
    failures: int,
    draw: float,
    *,
    has_end: bool = False,
    policy: RestartPolicy = DEFAULT_POLICY,
) -> Decision:
    """What to do about a process that ended although nobody told it to.

    Parameters
    ----------
    exit_code
        Negative for a signal, as :attr:`subprocess.Popen.returncode`.
    lived_s
        Seconds from its start to its end.
    failures
        Ends in a row before this one.
    draw
        Random number from 0 to 1: the delay is between half and all of the backoff.
    has_end
        The process is meant to end with code 0, as one that creates topics does.
    policy
        Numbers of the backoff.
    """
    if exit_code == EXIT_CONFIGURATION:
        return Never()
    if has_end and exit_code == 0:
        return Finished()
    row = 1 if lived_s >= policy.stable_s else failures + 1
    backoff = min(policy.largest_s, policy.first_s * 2.0 ** min(row - 1, 30))
    return Again(backoff * (0.5 + 0.5 * draw), row)
