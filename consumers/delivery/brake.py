"""Ends of results → whether dead letters have become too many to go on. Pure.

A wrong setting or a broken release makes every result a dead letter; a writer that goes on would empty the topic
into the dead-letter topic. The brake is asked *before* a dead letter is committed, so the result that stops the
writer stays where it was.
"""

from __future__ import annotations

from collections import deque

from schemas.errors import ConfigurationError


class BrakeApplied(ConfigurationError):
    """Too many dead letters: the writer ends, and a restart alone will not help."""


class Brake:
    """Counts the last ends.

    Parameters
    ----------
    max_consecutive
        Dead letters in a row that are still allowed.
    max_share
        Share of dead letters among the last ``window`` ends that is still allowed.
    window
        How many ends the share is taken of; it is not judged before so many have been seen.
    """

    def __init__(self, max_consecutive: int, max_share: float, window: int) -> None:
        self._max_consecutive = max_consecutive
        self._max_share = max_share
        self._ends: deque[bool] = deque(maxlen=window)
        self._consecutive = 0

    def delivered(self) -> None:
        """Note a result that did not end as a dead letter."""
        self._consecutive = 0
        self._ends.append(False)

    def dead(self, dlq: str, reason: str) -> None:
        """Note a dead letter that is about to be written.

        Parameters
        ----------
        dlq
            Name of the dead-letter topic, for the sentence.
        reason
            Why this result is one.

        Raises
        ------
        BrakeApplied
            It would be one too many.
        """
        if self._consecutive >= self._max_consecutive:
            raise BrakeApplied(
                f"stopped, because {self._consecutive} results in a row could not be delivered (last: {reason}): "
                f"look at {dlq}, correct the cause and start again; nothing is lost"
            )
        dead = sum(self._ends)
        if len(self._ends) == self._ends.maxlen and (dead + 1) / len(self._ends) > self._max_share:
            raise BrakeApplied(
                f"stopped, because {dead} of the last {len(self._ends)} results could not be delivered "
                f"(last: {reason}): look at {dlq}, correct the cause and start again; nothing is lost"
            )
        self._consecutive += 1
        self._ends.append(True)
