"""Inference task as the log tells it → FHIR R4 Task. Pure, plain JSON.

::

    queued            requested    queued          held        on-hold   held
    preprocessing …   in-progress  preprocessing … retry wait  ready     retry-wait
    completed         completed    completed, delivered or delivered-partial
    failed            failed       failed, with statusReason
    cancelled         cancelled    cancelled

The second word is ``businessStatus``; while a cancellation is on its way it is ``cancel-requested``. A version is
the time at which something was last heard of the task: ``live-<milliseconds>``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from consumers.fhir import identity
from consumers.fhir.links import instant
from consumers.fhir.task import BUSINESS_STATUS
from dashboards.fhir.outcome import Json
from dashboards.live.records import TaskView
from schemas.events import DeliveryStatus, TaskState
from schemas.topics import Priority

#: Coding system of names of models, and of the kinds of inputs and outputs.
MODEL: Final = "urn:scanstream:model"
PARAMETER: Final = "urn:scanstream:ai-task-parameter"

PRIORITIES: Final = {
    Priority.P1_EMERGENCY: "stat",
    Priority.P2_URGENT: "urgent",
    Priority.P3_NORMAL: "routine",
    Priority.P4_ROUTINE: "routine",
}
_STATUS: Final = {
    TaskState.QUEUED: "requested",
    TaskState.PREPROCESSING: "in-progress",
    TaskState.INFERRING: "in-progress",
    TaskState.POSTPROCESSING: "in-progress",
    TaskState.RETRY_WAIT: "ready",
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
}


def version_of(task: TaskView) -> str:
    """``meta.versionId`` of a Task that is made from the log."""
    return f"live-{round(task.updated_at.timestamp() * 1000)}"


def etag_of(task: TaskView) -> str:
    """Weak entity tag of that version."""
    return f'W/"{version_of(task)}"'


def status_of(task: TaskView) -> str:
    """``Task.status``."""
    waits = task.state in (TaskState.QUEUED, TaskState.RETRY_WAIT)
    return "on-hold" if waits and task.held is not None else _STATUS[task.state]


def live_task(task: TaskView, only: Collection[str] | None = None) -> Json:
    """FHIR Task of an inference task.

    Parameters
    ----------
    task
        What is known of it.
    only
        Elements that are wanted beside type and id, for a search that looks at nothing else; ``None``: all.
    """
    resource: Json = {"resourceType": "Task", "id": task.task_id}
    for name, make in _ELEMENTS.items():
        if only is None or name in only:
            value = make(task)
            if value not in (None, []):
                resource[name] = value
    return resource


def _reason(task: TaskView) -> Json | None:
    if task.finished or task.state is TaskState.RETRY_WAIT:
        text = task.reason or (task.cancelled.reason if task.cancelled and task.cancelled.reason else None)
    else:
        text = task.held.reason if task.held is not None else None
    if text is None and task.state is TaskState.FAILED:
        text = "no reason was given: see the worker's log"
    return None if text is None else {"text": text}


def business_status(task: TaskView) -> str:
    """Code of ``Task.businessStatus``."""
    if task.state is TaskState.COMPLETED and task.deliveries:
        stored = all(one.status in (DeliveryStatus.STORED, DeliveryStatus.SKIPPED) for one in task.deliveries)
        return "delivered" if stored else "delivered-partial"
    if not task.finished and task.cancelled is not None:
        return "cancel-requested"
    if status_of(task) == "on-hold":
        return "held"
    return task.state.value.replace("_", "-")


def _period(task: TaskView) -> Json | None:
    begun = [moment.at for moment in task.moments if moment.name == TaskState.PREPROCESSING.value]
    if not begun:
        return None
    return {"start": instant(min(begun)), **({"end": instant(_end(task))} if task.finished else {})}


def _owner(task: TaskView) -> Json:
    """The Device that performs: of the model that answered, or by its name until one has."""
    if task.result is None:
        return {"type": "Device", "identifier": {"system": MODEL, "value": task.model_name}}
    model = task.result.model
    return {
        "type": "Device",
        "identifier": identity.uid_identifier(model.device_uid),
        "display": f"{model.name} {model.version}",
    }


def _inputs(task: TaskView) -> list[Json]:
    asked = task.asked
    if asked is None:
        return []
    # "routine" of FHIR is two classes here
    found = [_parameter("priority-class", valueCode=task.priority.value)]
    found += [_parameter("series-instance-uid", valueString=uid) for uid in asked.series_instance_uids]
    if asked.model_version is not None:
        found.append(_parameter("model-version", valueString=asked.model_version))
    given = asked.parameters
    if given is not None:
        if given.confidence_threshold is not None:
            found.append(_parameter("confidence-threshold", valueDecimal=given.confidence_threshold))
        found += [_parameter("output-format", valueString=one) for one in given.output_formats]
        found.append(_parameter("include-heatmaps", valueBoolean=given.include_heatmaps))
    return found


def _outputs(task: TaskView) -> list[Json]:
    found = []
    for delivery in task.deliveries:
        for one in delivery.objects:
            if one.status is not DeliveryStatus.STORED:
                continue
            if one.object_type == "DiagnosticReport" and one.url:
                found.append(
                    _parameter("report", valueReference={"type": "DiagnosticReport", "reference": one.url})
                )
            elif one.object_type[:1].isdigit():
                found.append(_parameter("dicom-object", valueIdentifier=identity.uid_identifier(one.identifier)))
    return found


def _parameter(code: str, **value: object) -> Json:
    return {"type": {"coding": [{"system": PARAMETER, "code": code}]}, **value}


def _end(task: TaskView) -> datetime:
    return max(task.created_at, task.updated_at)


_ELEMENTS: Final[dict[str, Callable[[TaskView], object]]] = {
    "meta": lambda task: {"versionId": version_of(task), "lastUpdated": instant(task.updated_at)},
    "identifier": lambda task: [identity.task_identifier(task.task_id)],
    "status": status_of,
    "statusReason": _reason,
    "businessStatus": lambda task: {"coding": [{"system": BUSINESS_STATUS, "code": business_status(task)}]},
    "intent": lambda _: "order",
    "priority": lambda task: PRIORITIES[task.priority],
    "code": lambda task: {"coding": [{"system": MODEL, "code": task.model_name}], "text": task.model_name},
    "focus": lambda task: {
        "type": "ImagingStudy",
        "identifier": identity.uid_identifier(task.study_instance_uid),
    },
    "executionPeriod": _period,
    "authoredOn": lambda task: instant(task.created_at),
    "lastModified": lambda task: instant(_end(task)),
    "requester": lambda task: (
        None if task.asked is None else {"type": "Device", "display": f"scanstream {task.asked.requested_by}"}
    ),
    "owner": _owner,
    "restriction": lambda task: {"period": {"end": instant(max(task.created_at, task.deadline))}},
    "input": _inputs,
    "output": _outputs,
}
