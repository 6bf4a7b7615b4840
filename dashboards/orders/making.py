"""Order and the study as it is in the log → the task, and its first status. Pure.

The task's id follows from study, revision, model and request, so that an order that is written again is the same
task.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboards.orders.order import Order, Refused
from schemas import ids
from schemas.events import InferenceTask, SeriesContent, StudyReady
from schemas.topics import Priority
from streams.sop_classes import is_image


@dataclass(frozen=True)
class Terms:
    """What decides about a task beside its order.

    Attributes
    ----------
    priority
        Class of the study, where the order names none.
    deadline_s
        Seconds until results must be stored, for each class.
    rule_revision
        Of the rules that the deadlines come from.
    """

    priority: Priority
    deadline_s: dict[Priority, float]
    rule_revision: str


def task_of(
    order: Order, ready: StudyReady, terms: Terms, request: str, request_key: str | None, now: datetime
) -> InferenceTask:
    """Task of an order.

    Parameters
    ----------
    order
        What is asked for.
    ready
        The study's newest revision.
    terms
        What the site decides.
    request
        Distinguishes this request from others for the same study and model.
    request_key
        Where the requester gave an identifier of their own.
    now
        Time, UTC.

    Raises
    ------
    Refused
        A series is not of the study, or none of them has images.
    """
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    priority = order.priority or terms.priority
    reason = "asked for by the requester" if order.priority else "that of the study"
    task_id = ids.task_id(ready.study_instance_uid, ready.revision, order.model, request)
    age = order.patient_age_years if order.patient_age_years is not None else ready.patient_age_years
    return InferenceTask(
        event_id=ids.event_id("inference-task", task_id, 1),
        occurred_at=now,
        task_id=task_id,
        study_instance_uid=ready.study_instance_uid,
        revision=ready.revision,
        model_name=order.model,
        priority=priority,
        priority_reason=f"{reason} ({order.requested_by})",
        rule_revision=terms.rule_revision,
        created_at=now,
        deadline=now + timedelta(seconds=terms.deadline_s[priority]),
        retrieve_url=ready.retrieve_url,
        series=_series(order, ready),
        accession_number=ready.accession_number,
        requested_by=order.requested_by,
        callback_url=order.callback_url,
        parameters=order.parameters,
        patient_key=ready.patient_key,
        patient_age_years=age,
        indication=order.indication,
        model_version=order.model_version,
        partial=not ready.complete,
        study_date_time=ready.study_date_time,
        request_key=request_key,
        request_digest=None if request_key is None else order.digest(),
    )


def _series(order: Order, ready: StudyReady) -> tuple[SeriesContent, ...]:
    known = {series.series_instance_uid: series for series in ready.series}
    unknown = [uid for uid in order.series_instance_uids if uid not in known]
    if unknown:
        raise Refused(
            404,
            f"study {ready.study_instance_uid} has no series {', '.join(unknown)[:300]}: "
            f"it has {', '.join(known)[:600] or 'none'}, or more will arrive",
            field="series_instance_uids",
        )
    wanted = order.series_instance_uids or tuple(known)
    images = tuple(known[uid] for uid in dict.fromkeys(wanted) if is_image(known[uid].sop_class_uid))
    if not images:
        raise Refused(
            422,
            "none of the series has images that a model could look at: name another series",
            field="series_instance_uids",
        )
    return images
