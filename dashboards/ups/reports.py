"""Task as it was told and as it is → event reports (PS3.4 CC.2.4, PS3.18 11.12), in DICOM JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dashboards.live.records import Said, TaskView
from dashboards.ups.identity import workitem_uid
from dashboards.ups.model import Json, Value, dataset, value_of
from dashboards.ups.search import matcher, parse_filter
from dashboards.ups.subscriptions import FILTERED, GLOBAL, Subscription
from dashboards.ups.workitem import (
    LABEL,
    UPS_PUSH,
    State,
    code_item,
    discontinuation,
    progress_of,
    readiness_of,
    state_of,
    station_name,
)

_STATE_REPORT: Final = 1
_CANCEL_REQUESTED: Final = 2
_PROGRESS_REPORT: Final = 3
_ASSIGNED: Final = 5
_FINAL: Final = frozenset({State.COMPLETED, State.CANCELED})
#: What an AE title may not have (PS3.5 6.2).
_NO_AE: Final = re.compile(r"[^\x20-\x5b\x5d-\x7e]")


@dataclass(frozen=True)
class Told:
    """What a subscriber knows of a workitem."""

    state: State
    readiness: str
    progress: str
    cancel_requested: bool


def is_wanted(task: TaskView, subscriptions: Iterable[Subscription], now: datetime) -> bool:
    """Whether the workitem of a task is subscribed to; what was said of it alone comes first (PS3.4 CC.2.3.1)."""
    uid, in_general = workitem_uid(task), False
    for one in subscriptions:
        wanted = one.until is None or task.created_at <= one.until
        if one.workitem == uid:
            return wanted
        if one.workitem == GLOBAL:
            in_general |= wanted
        elif one.workitem == FILTERED:
            in_general |= wanted and matcher(parse_filter(one.filter), now)(task)
    return in_general


def told(task: TaskView, now: datetime) -> Told:
    """What the workitem of a task says now."""
    state = state_of(task, now)
    progress = progress_of(task, state)
    said = (
        f"{value_of(progress, 'ProcedureStepProgress')} {value_of(progress, 'ProcedureStepProgressDescription')}"
    )
    return Told(state, readiness_of(task), said, task.cancelled is not None)


def reports(task: TaskView, now: datetime, before: Told | None, *, new: bool = False) -> Iterator[Json]:
    """Reports for a subscriber who knows this much: of a request, of the state, then of the progress.

    Parameters
    ----------
    task
        As it is.
    now
        Time, UTC.
    before
        What the subscriber knows; ``None``: nothing.
    new
        The workitem was made while the subscriber listened, so it is told to whom it was given (PS3.4 CC.2.4.3).
    """
    is_now, uid = told(task, now), workitem_uid(task)
    known = before is not None and before.cancel_requested
    if task.cancelled is not None and not known and (before is not None or is_now.state not in _FINAL):
        yield _report(uid, _CANCEL_REQUESTED, **_request(task.cancelled))
    progress = progress_of(task, is_now.state)
    if before is not None and before.state is State.SCHEDULED and is_now.state in _FINAL:
        # a final state is entered from IN PROGRESS only, for however short it was that (PS3.4 CC.1.1, CC.2.2.3)
        passed = State.IN_PROGRESS.value
        yield _report(uid, _STATE_REPORT, ProcedureStepState=passed, InputReadinessState=is_now.readiness)
    if before is None or (before.state, before.readiness) != (is_now.state, is_now.readiness):
        more = _reason(task, progress) if is_now.state is State.CANCELED else {}
        state = is_now.state.value
        yield _report(uid, _STATE_REPORT, ProcedureStepState=state, InputReadinessState=is_now.readiness, **more)
    if before is None and new and is_now.state is State.SCHEDULED:
        yield _report(uid, _ASSIGNED, ScheduledStationNameCodeSequence=[station_name()])
    if before is not None and before.progress != is_now.progress and is_now.state is State.IN_PROGRESS:
        yield _report(uid, _PROGRESS_REPORT, ProcedureStepProgressInformationSequence=[progress])


def _reason(task: TaskView, progress: Json) -> dict[str, Value]:
    return {
        "ReasonForCancellation": value_of(progress, "ReasonForCancellation"),
        "ProcedureStepDiscontinuationReasonCodeSequence": discontinuation(task),
    }


def _request(said: Said) -> dict[str, Value]:
    # over HTTP nobody has an AE title: the name under which it was asked is the nearest
    found: dict[str, Value] = {
        "RequestingAE": _NO_AE.sub("", said.actor)[:16].strip() or LABEL,
        "ReasonForCancellation": said.reason,
        "ProcedureStepDiscontinuationReasonCodeSequence": [code_item(code) for code in said.codes],
        "ContactURI": said.contact_uri,
        "ContactDisplayName": said.contact_name,
    }
    # those that were given, and no others (type 1C)
    return {keyword: value for keyword, value in found.items() if value}


def _report(uid: str, kind: int, **content: Value) -> Json:
    # every workitem is one of UPS Push, and its reports name that class (PS3.4 CC.2.4.3)
    return dataset(AffectedSOPClassUID=UPS_PUSH, AffectedSOPInstanceUID=uid, EventTypeID=kind, **content)
