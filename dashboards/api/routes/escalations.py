"""Alarms about critical findings: where they stand, and the answer of whoever takes responsibility.

A link that a contact got opens a page with a button; opening it answers nothing, because mail scanners open links
too. Whoever may reach this service may also answer by JSON under a name of their choice, as long as it has no
users of its own: let a proxy say who that is.
"""

from __future__ import annotations

import logging
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from consumers.escalation.link import AcknowledgementLink, LinkExpired, verify
from dashboards.api import alarm_page
from dashboards.api.alarm_models import Acknowledgement, Alarm, AlarmList, alarm_of
from dashboards.api.context import ApiContext, Context
from dashboards.api.problems import NOT_FOUND
from dashboards.live.alarms import UNANSWERED
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import EscalationAcknowledgement, EscalationStep
from schemas.ids import event_id
from schemas.logs import fields
from schemas.terminology import Language, Phrase
from schemas.topics import Topic

log = logging.getLogger(__name__)

router = APIRouter(prefix="/escalations", tags=["escalations"])

_RETRY_S: Final = "5"


@router.get("")
def escalations(
    context: Context,
    unanswered: Annotated[bool, Query(description="only those that need a person")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AlarmList:
    """Alarms: unanswered ones first, then the latest first."""
    found = context.view.alarms.list(unanswered=unanswered)
    return AlarmList(total=len(found), escalations=[alarm_of(step) for step in found[:limit]])


@router.get("/{escalation_id}", responses=NOT_FOUND)
def escalation(escalation_id: str, context: Context) -> Alarm:
    """Where one alarm stands."""
    return alarm_of(_known(escalation_id, context))


@router.post("/{escalation_id}/acknowledge", responses=NOT_FOUND, status_code=202)
def acknowledge(escalation_id: str, answer: Acknowledgement, context: Context) -> Alarm:
    """Take responsibility; the alarm ends within moments. Answering twice changes nothing."""
    step = _known(escalation_id, context)
    if step.stage in UNANSWERED:
        try:
            _publish(step, answer.actor, answer.comment, context)
        except DestinationUnavailable as error:
            raise HTTPException(503, str(error), {"retry-after": _RETRY_S}) from error
    return alarm_of(step)


def _link(
    escalation_id: str,
    contact: Annotated[str, Query(max_length=64)],
    expires: Annotated[int, Query(ge=0, le=2**40)],
    lang: Annotated[Language, Query()] = Language.ENGLISH,
) -> AcknowledgementLink:
    return AcknowledgementLink(escalation_id, contact, expires, lang)


Link = Annotated[AcknowledgementLink, Depends(_link)]
Signature = Annotated[str, Query(max_length=64)]


@router.get("/{escalation_id}/acknowledge", include_in_schema=False)
def ask(link: Link, signature: Signature, context: Context, request: Request) -> HTMLResponse:
    """Page behind a link; answers nothing by itself."""
    refused = _refused(link, signature, context)
    step = context.view.alarms.find(link.escalation_id)
    if refused is not None or step is None:
        return refused or _page(503, alarm_page.said(link.language, Phrase.ACKNOWLEDGE_UNAVAILABLE))
    return _page(200, alarm_page.question(step, link.language, f"acknowledge/link?{request.url.query}"))


@router.post("/{escalation_id}/acknowledge/link", include_in_schema=False)
def confirm(link: Link, signature: Signature, context: Context) -> HTMLResponse:
    """The button of that page."""
    refused = _refused(link, signature, context)
    step = context.view.alarms.find(link.escalation_id)
    if refused is not None or step is None:
        return refused or _page(503, alarm_page.said(link.language, Phrase.ACKNOWLEDGE_UNAVAILABLE))
    if step.stage not in UNANSWERED:
        return _page(200, alarm_page.question(step, link.language, ""))
    try:
        _publish(step, link.contact, None, context)
    except DestinationUnavailable as error:
        log.warning("an answer was not recorded", extra=fields(reason=str(error)))
        return _page(503, alarm_page.said(link.language, Phrase.ACKNOWLEDGE_UNAVAILABLE, step))
    return _page(200, alarm_page.said(link.language, Phrase.ACKNOWLEDGE_THANKS, step))


def _known(escalation_id: str, context: ApiContext) -> EscalationStep:
    step = context.view.alarms.find(escalation_id)
    if step is None:
        raise HTTPException(404, f"no alarm {escalation_id} is known: GET /escalations lists those that are")
    return step


def _publish(step: EscalationStep, actor: str, comment: str | None, context: ApiContext) -> None:
    answer = EscalationAcknowledgement(
        event_id=event_id("acknowledgement", step.escalation_id, step.revision, actor),
        occurred_at=context.now(),
        escalation_id=step.escalation_id,
        study_instance_uid=step.study_instance_uid,
        actor=actor,
        comment=comment,
    )
    context.publish(Topic.ACKNOWLEDGEMENTS, step.study_instance_uid, answer)
    log.info("an alarm was answered", extra=fields(escalation_id=step.escalation_id))


def _refused(link: AcknowledgementLink, signature: str, context: ApiContext) -> HTMLResponse | None:
    """Page for a link that does not hold; ``None`` for one that does."""
    if context.link_secret is None:
        return _page(503, alarm_page.said(link.language, Phrase.ACKNOWLEDGE_UNAVAILABLE))
    try:
        verify(link, signature, context.link_secret, context.now())
    except LinkExpired:
        return _page(410, alarm_page.said(link.language, Phrase.ACKNOWLEDGE_LINK_EXPIRED))
    except InvalidMessage:
        return _page(403, alarm_page.said(link.language, Phrase.ACKNOWLEDGE_LINK_WRONG))
    return None


def _page(status: int, html: str) -> HTMLResponse:
    return HTMLResponse(html, status, alarm_page.HEADERS)
