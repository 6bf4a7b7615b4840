"""Alarms of the partitions that are ours, by identity, by study and by the time of their next move. Pure.

Restored from the changelog when partitions are assigned. An alarm that is over is remembered as long as a replay
could bring its result again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from consumers.escalation.alarm import OPEN, due
from schemas.events import EscalationStep
from schemas.topics import Topic, spec_of

#: Beyond the retention of results and of verdicts, after which neither can be read again.
REMEMBERED: Final = timedelta(
    milliseconds=max(spec_of(Topic.RESULTS).retention_ms, spec_of(Topic.REVIEW).retention_ms)
) + timedelta(days=35)


class Book:
    """Latest step of each alarm."""

    def __init__(self) -> None:
        self._alarms: dict[str, tuple[int, EscalationStep]] = {}
        self._studies: dict[str, set[str]] = {}
        self._open: set[str] = set()
        self._times: list[tuple[datetime, str]] = []

    def restore(self, partition: int, steps: Iterable[EscalationStep]) -> None:
        """Take in what the changelog of one partition holds."""
        for step in steps:
            self.note(partition, step)

    def forget(self) -> None:
        """Partitions went to somebody else."""
        self.__init__()  # type: ignore[misc] # the same as new

    def note(self, partition: int, step: EscalationStep) -> None:
        """An alarm moved."""
        self._alarms[step.escalation_id] = (partition, step)
        self._studies.setdefault(step.study_instance_uid, set()).add(step.escalation_id)
        at = due(step)
        if at is None:
            self._open.discard(step.escalation_id)
        else:
            self._open.add(step.escalation_id)
            self.wake(step.escalation_id, at)

    def find(self, escalation_id: str) -> EscalationStep | None:
        """Latest step of an alarm."""
        known = self._alarms.get(escalation_id)
        return None if known is None else known[1]

    def partition_of(self, escalation_id: str) -> int:
        """Partition of a known alarm."""
        return self._alarms[escalation_id][0]

    def of_study(self, study_instance_uid: str) -> list[EscalationStep]:
        """Alarms of one study."""
        return [self._alarms[identity][1] for identity in sorted(self._studies.get(study_instance_uid, ()))]

    def wake(self, escalation_id: str, at: datetime) -> None:
        """Have an alarm looked at then."""
        heapq.heappush(self._times, (at, escalation_id))

    def next_due(self) -> datetime | None:
        """When some alarm must be looked at; ``None`` when nothing is open."""
        while self._times and self._times[0][1] not in self._open:
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def due(self, now: datetime) -> list[EscalationStep]:
        """Open alarms whose time has come, each once; whoever takes them sees to their next time."""
        found = {}
        while self._times and self._times[0][0] <= now:
            _, identity = heapq.heappop(self._times)
            if identity in self._open:
                found[identity] = self._alarms[identity][1]
        return list(found.values())

    @property
    def open(self) -> int:
        """Number of alarms that nobody answered and that go on."""
        return len(self._open)

    def outlived(self, now: datetime) -> list[tuple[int, str]]:
        """Drop alarms that no replay can bring again; returns their partitions and identities."""
        gone = [
            (partition, identity)
            for identity, (partition, step) in self._alarms.items()
            if step.stage not in OPEN and now - step.occurred_at > REMEMBERED
        ]
        for _, identity in gone:
            study = self._alarms.pop(identity)[1].study_instance_uid
            self._studies[study].discard(identity)
            if not self._studies[study]:
                del self._studies[study]
        return gone
