"""Event and known alarms → the steps that follow from it. Pure; the present time is an argument.

A result opens alarms; only people end them. A later revision of the same finding opens none while somebody is
being told or has answered; it does where the contacts of the earlier one were told in vain. A later revision that
no longer has the finding changes nothing: a model does not silence an alarm, a radiologist's verdict does. A
verdict never opens one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from consumers.escalation import alarm
from consumers.escalation.book import Book
from consumers.escalation.routes import Routes
from schemas.events import (
    Adjudication,
    Decision,
    EscalationAcknowledgement,
    EscalationStage,
    EscalationStep,
    Event,
    Finding,
    InferenceResult,
)


class Intake:
    """Decides what events mean for alarms.

    Parameters
    ----------
    routes
        Who is told of what.
    rehearsal
        Every new alarm is marked as a rehearsal.
    """

    def __init__(self, routes: Routes, *, rehearsal: bool) -> None:
        self._routes = routes
        self._rehearsal = rehearsal

    def steps(self, event: Event, book: Book, now: datetime) -> list[EscalationStep]:
        """Steps that an event causes, none for most."""
        match event:
            case InferenceResult():
                return self._result(event, book, now) if event.findings else []
            case EscalationAcknowledgement():
                return self._acknowledgement(event, book, now)
            case Adjudication():
                return self._verdict(event, book, now)
            case _:
                return []

    def _result(self, result: InferenceResult, book: Book, now: datetime) -> list[EscalationStep]:
        steps = []
        for identity, (finding, route) in self._standing(result).items():
            known = book.find(identity)
            if known is not None and not _told_in_vain(known, result):
                continue
            if now - result.occurred_at > timedelta(hours=self._routes.max_age_h):
                reason = f"the result was read only {_days(now - result.occurred_at)} days after it was made"
                steps.append(self._over(finding, result, route, EscalationStage.WITHDRAWN, now, reason))
                continue
            chain = self._routes.chain(route)
            steps.append(alarm.opened(finding, result, route, chain, now, rehearsal=self._rehearsal))
        return steps

    def _acknowledgement(
        self, event: EscalationAcknowledgement, book: Book, now: datetime
    ) -> list[EscalationStep]:
        known = book.find(event.escalation_id)
        if known is None or known.study_instance_uid != event.study_instance_uid:
            return []
        return _some([alarm.acknowledged(known, event.actor, event.comment, now)])

    def _verdict(self, verdict: Adjudication, book: Book, now: datetime) -> list[EscalationStep]:
        judged = [] if verdict.result is None else list(verdict.result.findings)
        judged = [finding for finding in judged if finding.finding_id == verdict.finding_id]
        named = {alarm.alarm_id(finding, rehearsal=rehearsal) for finding in judged for rehearsal in (False, True)}
        known = [
            step
            for step in book.of_study(verdict.study_instance_uid)
            if step.finding_id == verdict.finding_id or step.escalation_id in named
        ]
        steps = _some(self._judged(step, verdict, now) for step in known)
        if not known and verdict.result is not None:
            steps += self._judged_before(verdict, verdict.result, judged, now)
        return steps

    def _judged(self, step: EscalationStep, verdict: Adjudication, now: datetime) -> EscalationStep | None:
        if verdict.result is None:
            stands = verdict.decision is not Decision.REJECTED
        else:
            stands = step.escalation_id in self._standing(verdict.result, rehearsal=step.rehearsal)
        if not stands:
            return alarm.withdrawn(step, verdict.reviewer, _reason(verdict), now)
        if verdict.decision is not Decision.REJECTED and self._routes.verdict_acknowledges(step.route):
            return alarm.acknowledged(step, verdict.reviewer, _reason(verdict), now)
        return None

    def _judged_before(
        self, verdict: Adjudication, result: InferenceResult, judged: Iterable[Finding], now: datetime
    ) -> list[EscalationStep]:
        """The verdict was read before its result, after an outage: the alarm must not begin afterwards."""
        steps = []
        standing = self._standing(result)
        for finding in judged:
            route = self._routes.route_of(finding, result.priority)
            if route is None:
                continue
            if alarm.alarm_id(finding, rehearsal=self._rehearsal) not in standing:
                stage = EscalationStage.WITHDRAWN
            elif verdict.decision is not Decision.REJECTED and self._routes.verdict_acknowledges(route):
                stage = EscalationStage.ACKNOWLEDGED
            else:
                continue
            steps.append(self._over(finding, result, route, stage, now, _reason(verdict), verdict.reviewer))
        return steps

    def _standing(
        self, result: InferenceResult, *, rehearsal: bool | None = None
    ) -> dict[str, tuple[Finding, str]]:
        """Findings to alarm about that nobody rejected, by alarm; the most probable speaks for its like."""
        found: dict[str, tuple[Finding, str]] = {}
        for finding in sorted(result.findings, key=lambda one: -(one.probability or 0.0)):
            route = self._routes.route_of(finding, result.priority)
            if route is not None and finding.decision is not Decision.REJECTED:
                marked = self._rehearsal if rehearsal is None else rehearsal
                found.setdefault(alarm.alarm_id(finding, rehearsal=marked), (finding, route))
        return found

    def _over(
        self,
        finding: Finding,
        result: InferenceResult,
        route: str,
        stage: EscalationStage,
        now: datetime,
        reason: str,
        actor: str | None = None,
    ) -> EscalationStep:
        return alarm.ended_unopened(
            finding, result, route, stage, now, rehearsal=self._rehearsal, reason=reason, actor=actor
        )


def _told_in_vain(known: EscalationStep, result: InferenceResult) -> bool:
    return known.stage is EscalationStage.EXHAUSTED and result.revision > known.revision


def _reason(verdict: Adjudication) -> str:
    """Without the comment, which is free text and may name the patient."""
    return f"verdict: {verdict.decision.value}"


def _days(age: timedelta) -> str:
    return f"{age.total_seconds() / 86400:.1f}"


def _some(steps: Iterable[EscalationStep | None]) -> list[EscalationStep]:
    return [step for step in steps if step is not None]
