"""A verdict and what was decided before → the event that tells it, or that it says nothing new. Pure.

The id of the event follows from the finding, the verdict before it and what this one says, so a request that is
sent again is the same event.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from dashboards.api.review_models import Amendment, VerdictRequest
from dashboards.live.reviews import Review
from schemas.errors import InvalidMessage
from schemas.events import Adjudication, Finding, InferenceResult
from schemas.ids import event_id


def adjudicate(
    result: InferenceResult, review: Review, finding_id: str, request: VerdictRequest, now: datetime
) -> Adjudication | None:
    """Event of a verdict, with the result as it stands after it; ``None`` when it says what was said last.

    Parameters
    ----------
    result
        The result as the model gave it.
    review
        What was decided about it before.
    finding_id
        A finding of the result, or the result's event id where it has no findings.
    request
        The verdict.
    now
        When it was given; a verdict is later than the one before it in any case.

    Raises
    ------
    InvalidMessage
        A measurement is amended that the finding does not have, or has twice; or a negative answer is.
    """
    # events have milliseconds, and the verdict is compared with its own form from the log
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    before = review.over(result)
    if result.findings:
        judged = [_judged(one, request) if one.finding_id == finding_id else one for one in before.findings]
        after = replace(before, findings=tuple(judged))
    elif request.amended is not None:
        raise InvalidMessage("a negative answer has no values to amend: confirm or reject it")
    else:
        after = replace(before, decision=request.decision)
    known = review.verdicts.get(finding_id)
    comment = request.comment or None
    if known is not None:
        last = known.given
        said = (last.decision, last.reviewer, last.comment)
        if after == before and said == (request.decision, request.reviewer, comment):
            return None
        now = max(now, last.occurred_at + timedelta(milliseconds=1))
    content = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
    previous = known.given.event_id if known is not None else ""
    return Adjudication(
        event_id=event_id("adjudication", result.event_id, finding_id, previous, content),
        occurred_at=now,
        finding_id=finding_id,
        task_id=result.task_id,
        study_instance_uid=result.study_instance_uid,
        decision=request.decision,
        reviewer=request.reviewer,
        comment=comment,
        result=after,
    )


def _judged(finding: Finding, request: VerdictRequest) -> Finding:
    amended = _amended(finding, request.amended) if request.amended is not None else finding
    return replace(amended, decision=request.decision)


def _amended(finding: Finding, amendment: Amendment) -> Finding:
    values = {one.code: one.value for one in amendment.measurements}
    known = [one.code.value for one in finding.measurements]
    unknown = values.keys() - set(known)
    if unknown:
        raise InvalidMessage(f"the finding has no measurement {', '.join(sorted(unknown))}: see GET /tasks")
    unclear = [code for code in values if known.count(code) > 1]
    if unclear or len(values) != len(amendment.measurements):
        raise InvalidMessage(
            "one concept is there more than once, in the finding or in the request: reject the finding instead"
        )
    measurements = tuple(
        replace(one, value=values[one.code.value]) if one.code.value in values else one
        for one in finding.measurements
    )
    return replace(
        finding,
        code=amendment.code.code() if amendment.code else finding.code,
        site=amendment.site.code() if amendment.site else finding.site,
        laterality=amendment.laterality or finding.laterality,
        category=amendment.category or finding.category,
        measurements=measurements,
    )
