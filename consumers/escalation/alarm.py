"""One alarm, and what happened to it → its next step. Pure; the present time is an argument.

The latest step says everything: what is still to be sent and when (``pending``), and when the row of contacts is
at its end (``due_at``). So a restart or a new owner of the partition goes on exactly where the last one was.

A notice that is taken gives its contact time; one that fails sends the next channel, or the next contact, at once,
and is itself repeated later where the failure may pass. Any answer ends everything.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from consumers.escalation.routes import Chain
from schemas.errors import InvalidMessage, PermanentRejection, ScanstreamError
from schemas.events import EscalationStage, EscalationStep, Finding, InferenceResult, PendingNotice
from schemas.ids import event_id

#: Stages in which somebody is still to be told or to answer.
OPEN: Final = frozenset({EscalationStage.OPENED, EscalationStage.NOTIFIED, EscalationStage.NOTIFY_FAILED})

#: Longest wait that a channel may ask for with Retry-After, in seconds.
LONGEST_ASKED_S: Final = 600.0


def alarm_id(finding: Finding, *, rehearsal: bool) -> str:
    """Identity of the alarm about a finding: concept, site and side within its study.

    Not of the finding's own id, which changes with the revision and the run: whoever was told of a bleeding in
    this brain is not told again because two more images came, or because a model marked three of them. A rehearsal
    has an identity of its own, so it never silences the real alarm.
    """
    site = None if finding.site is None else (finding.site.scheme, finding.site.value)
    about = [finding.study_instance_uid, finding.code.scheme, finding.code.value, site, finding.laterality]
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    return event_id("escalation", digest, "rehearsal" if rehearsal else "real")


def notice_id(step: EscalationStep, notice: PendingNotice) -> str:
    """Identity of a notice; every repetition of it bears the same, so a receiver can drop what it has."""
    return event_id("notice", step.escalation_id, step.revision, notice.level, notice.channel)


def opened(
    finding: Finding, result: InferenceResult, route: str, chain: Chain, now: datetime, *, rehearsal: bool
) -> EscalationStep:
    """First step: nobody is told yet, and the first contact is due."""
    step = _first(finding, result, route, EscalationStage.OPENED, now, rehearsal=rehearsal)
    return replace(step, due_at=now, pending=(_notice(chain, 1, 0, now),))


def ended_unopened(
    finding: Finding,
    result: InferenceResult,
    route: str,
    stage: EscalationStage,
    now: datetime,
    *,
    rehearsal: bool,
    reason: str,
    actor: str | None = None,
) -> EscalationStep:
    """Step of an alarm that is over before it began, noted so that it never begins."""
    step = _first(finding, result, route, stage, now, rehearsal=rehearsal)
    return replace(step, reason=reason, actor=actor)


def taken(step: EscalationStep, notice: PendingNotice, chain: Chain, now: datetime) -> EscalationStep:
    """The channel took a notice: its contact has time now, then the next one is due."""
    pending = _without(step, notice)
    due_at = step.due_at
    if notice.attempt == 1:
        level = chain.level(notice.level)
        due_at = now + timedelta(seconds=0 if level is None else level.wait_s)
        if chain.level(notice.level + 1) is not None:
            pending = (*pending, _notice(chain, notice.level + 1, 0, due_at))
    return _about(
        step,
        EscalationStage.NOTIFIED,
        notice,
        now,
        due_at=due_at,
        pending=pending,
        notified_at=step.notified_at or now,
        reason=None,
    )


def refused(
    step: EscalationStep, notice: PendingNotice, error: ScanstreamError, chain: Chain, now: datetime
) -> EscalationStep:
    """The channel did not take a notice: the next way is due at once, and this one again if it may help."""
    pending = _without(step, notice)
    due_at = step.due_at
    if notice.attempt == 1:
        following = _following(chain, notice, now)
        due_at = now
        if following is not None:
            pending = (*pending, following)
    if _may_pass(error) and notice.attempt <= len(chain.retry_after_s):
        asked = getattr(error, "retry_after_s", None) or 0.0
        wait_s = max(chain.retry_after_s[notice.attempt - 1], min(asked, LONGEST_ASKED_S))
        again = replace(notice, attempt=notice.attempt + 1, due_at=now + timedelta(seconds=wait_s))
        pending = (*pending, again)
    return _about(
        step,
        EscalationStage.NOTIFY_FAILED,
        notice,
        now,
        due_at=due_at,
        pending=pending,
        reason=f"{type(error).__name__}: {error}"[:500],
    )


def exhausted(step: EscalationStep, now: datetime) -> EscalationStep | None:
    """Last step, once everybody was told and had time; ``None`` while there is something to wait for."""
    if step.stage not in OPEN or step.pending or (step.due_at is not None and now < step.due_at):
        return None
    told = "nobody acknowledged" if step.notified_at is not None else "nobody could be told"
    return _end(step, EscalationStage.EXHAUSTED, now, None, f"{told}, and there is no further contact")


def acknowledged(step: EscalationStep, actor: str, comment: str | None, now: datetime) -> EscalationStep | None:
    """Somebody took responsibility, also late; ``None`` where the alarm was answered before."""
    if step.stage not in OPEN and step.stage is not EscalationStage.EXHAUSTED:
        return None
    return _end(step, EscalationStage.ACKNOWLEDGED, now, actor, comment)


def withdrawn(step: EscalationStep, actor: str, reason: str, now: datetime) -> EscalationStep | None:
    """The finding no longer stands; ``None`` where the alarm was answered before."""
    if step.stage not in OPEN and step.stage is not EscalationStage.EXHAUSTED:
        return None
    return _end(step, EscalationStage.WITHDRAWN, now, actor, reason)


def due(step: EscalationStep) -> datetime | None:
    """When the alarm must be looked at next; ``None`` when it is over."""
    if step.stage not in OPEN:
        return None
    return min((notice.due_at for notice in step.pending), default=step.due_at or step.occurred_at)


def _first(
    finding: Finding,
    result: InferenceResult,
    route: str,
    stage: EscalationStage,
    now: datetime,
    *,
    rehearsal: bool,
) -> EscalationStep:
    identity = alarm_id(finding, rehearsal=rehearsal)
    return EscalationStep(
        event_id=event_id("escalation-step", identity, result.revision, stage.value, 0, "", 0),
        occurred_at=now,
        escalation_id=identity,
        finding_id=finding.finding_id,
        task_id=result.task_id,
        study_instance_uid=result.study_instance_uid,
        stage=stage,
        route=route,
        level=0,
        priority=result.priority,
        result_at=result.occurred_at,
        finding=finding.code,
        rehearsal=rehearsal,
        accession_number=result.accession_number,
        revision=result.revision,
        site=finding.site,
        laterality=finding.laterality,
        probability=finding.probability,
        category=finding.category,
    )


def _about(
    step: EscalationStep,
    stage: EscalationStage,
    notice: PendingNotice,
    now: datetime,
    *,
    due_at: datetime | None,
    pending: tuple[PendingNotice, ...],
    reason: str | None,
    notified_at: datetime | None = None,
) -> EscalationStep:
    about = (step.escalation_id, step.revision, stage.value, notice.level, notice.channel, notice.attempt)
    return replace(
        step,
        event_id=event_id("escalation-step", *about),
        occurred_at=now,
        stage=stage,
        level=notice.level,
        contact=notice.contact,
        channel=notice.channel,
        due_at=due_at,
        pending=pending,
        reason=reason,
        notified_at=notified_at or step.notified_at,
    )


def _end(
    step: EscalationStep, stage: EscalationStage, now: datetime, actor: str | None, reason: str | None
) -> EscalationStep:
    return replace(
        step,
        event_id=event_id("escalation-step", step.escalation_id, step.revision, stage.value, 0, "", 0),
        occurred_at=now,
        stage=stage,
        contact=None,
        channel=None,
        due_at=None,
        pending=(),
        actor=actor,
        reason=reason,
    )


def _without(step: EscalationStep, notice: PendingNotice) -> tuple[PendingNotice, ...]:
    return tuple(other for other in step.pending if other != notice)


def _notice(chain: Chain, number: int, channel: int, due_at: datetime) -> PendingNotice:
    level = chain.level(number)
    if level is None:
        raise ValueError(f"a chain of {len(chain.levels)} contacts has no level {number}")
    return PendingNotice(number, level.contact, level.channels[channel], 1, due_at)


def _following(chain: Chain, notice: PendingNotice, now: datetime) -> PendingNotice | None:
    """Next channel of the same contact, else the first of the next; a contact that the file dropped has none."""
    level = chain.level(notice.level)
    if level is not None and level.contact == notice.contact and notice.channel in level.channels:
        number = level.channels.index(notice.channel) + 1
        if number < len(level.channels):
            return _notice(chain, notice.level, number, now)
    return None if chain.level(notice.level + 1) is None else _notice(chain, notice.level + 1, 0, now)


def _may_pass(error: ScanstreamError) -> bool:
    return not isinstance(error, PermanentRejection | InvalidMessage)
