"""Results and verdicts on them → what radiologists have decided, per task, within a bounded memory.

A result lists all its source images, which can be long, so only its place in the log is kept. A verdict brings the
finding as it stands after it, so that verdicts of several API processes add up: the latest of each finding counts.
Guarantee: at most ``most`` tasks (and a tenth more) are kept; those that moved last stay.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from schemas.events import Adjudication, Finding, InferenceResult


@dataclass(frozen=True)
class Place:
    """Where a message lies in the log."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Verdict:
    """The latest verdict on one finding.

    ``given`` is without its result; ``finding`` is the finding after it, ``None`` for a result without findings.
    """

    given: Adjudication
    finding: Finding | None


@dataclass(frozen=True)
class Review:
    """What was decided about the result of one task; ``verdicts`` by what they name."""

    task_id: str
    result_id: str | None = None
    place: Place | None = None
    verdicts: Mapping[str, Verdict] = field(default_factory=lambda: MappingProxyType({}))

    def over(self, result: InferenceResult) -> InferenceResult:
        """The result as it stands after all verdicts."""
        after = {name: verdict.finding for name, verdict in self.verdicts.items()}
        findings = tuple(after.get(finding.finding_id) or finding for finding in result.findings)
        whole = self.verdicts.get(result.event_id)
        return replace(result, findings=findings, decision=whole.given.decision if whole else result.decision)


class Reviews:
    """Reviews by task; readers on any thread get immutable records.

    Parameters
    ----------
    most
        How many tasks are kept.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._reviews: dict[str, Review] = {}

    def note_result(self, result: InferenceResult, place: Place | None) -> None:
        """A result was read at this place."""
        with self._lock:
            known = self._reviews.pop(result.task_id, Review(result.task_id))
            self._keep(replace(known, result_id=result.event_id, place=place))

    def note_verdict(self, given: Adjudication) -> None:
        """A verdict was given; one that is older than what is known of its finding changes nothing."""
        with self._lock:
            review = self._reviews.pop(given.task_id, Review(given.task_id))
            known = review.verdicts.get(given.finding_id)
            if known is None or known.given.occurred_at <= given.occurred_at:
                verdict = Verdict(replace(given, result=None), _finding(given))
                review = replace(review, verdicts={**review.verdicts, given.finding_id: verdict})
            self._keep(review)

    def find(self, task_id: str) -> Review | None:
        """What was decided about a task's result, or ``None`` when it has none that is known."""
        with self._lock:
            return self._reviews.get(task_id)

    def _keep(self, review: Review) -> None:
        self._reviews[review.task_id] = review
        if len(self._reviews) > self._most * 1.1:
            for task_id in list(self._reviews)[: len(self._reviews) - self._most]:
                del self._reviews[task_id]


def _finding(given: Adjudication) -> Finding | None:
    findings = given.result.findings if given.result is not None else ()
    return next((finding for finding in findings if finding.finding_id == given.finding_id), None)
