"""FHIR Task that somebody posts → order; one that somebody changes → command. Pure.

Who asks names the model by ``code`` (system ``urn:scanstream:model``), the study by ``focus`` and anything else by
``input``. What is not understood is refused: a parameter that is passed over would be a promise that is not kept.
"""

from __future__ import annotations

from typing import Any, Final

from dashboards.fhir.live_task import MODEL, PARAMETER, PRIORITIES, status_of
from dashboards.fhir.outcome import FhirRefusal, Json
from dashboards.live.records import TaskView
from dashboards.orders.order import Order
from dashboards.orders.request import order_from
from schemas.events import CommandKind
from schemas.topics import Priority

_PRIORITY: Final = {
    "stat": Priority.P1_EMERGENCY,
    "asap": Priority.P2_URGENT,
    "urgent": Priority.P2_URGENT,
    "routine": Priority.P3_NORMAL,
}
#: Input → field of the request, and the kinds of value that it may have.
_INPUTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "series-instance-uid": ("series_instance_uids", ("valueString", "valueOid", "valueIdentifier")),
    "callback-url": ("callback_url", ("valueUrl", "valueUri", "valueString")),
    "model-version": ("model_version", ("valueString",)),
    "confidence-threshold": ("confidence_threshold", ("valueDecimal",)),
    "output-format": ("output_formats", ("valueString", "valueCode")),
    "include-heatmaps": ("include_heatmaps", ("valueBoolean",)),
    "indication": ("indication", ("valueString",)),
    "patient-age-years": ("patient_age_years", ("valueDecimal", "valueInteger")),
    "priority-class": ("priority", ("valueCode", "valueString")),
}
_LISTS: Final = frozenset({"series_instance_uids", "output_formats"})
_PARAMETERS: Final = frozenset({"confidence_threshold", "output_formats", "include_heatmaps"})
_CONTEXT: Final = frozenset({"indication", "patient_age_years"})


def order_of_task(resource: Json) -> Order:
    """Order of a Task.

    Raises
    ------
    FhirRefusal
        It is none that can be served, with the element at fault.
    Refused
        A value is wrong.
    """
    if resource.get("status") != "requested" or resource.get("intent") != "order":
        raise FhirRefusal(422, "business-rule", "a new Task has status requested and intent order", "Task.status")
    content: Json = {"model": _model(resource), "study_instance_uid": _study(resource)}
    priority = resource.get("priority")
    if priority is not None:
        if not isinstance(priority, str) or priority not in _PRIORITY:
            raise FhirRefusal(422, "code-invalid", "priority is none of FHIR R4", "Task.priority")
        content["priority"] = _PRIORITY[priority]
    for index, one in enumerate(_list(resource.get("input"))):
        field, value = _input(one, f"Task.input[{index}]")
        part = content
        if field in _PARAMETERS:
            part = content.setdefault("parameters", {})
        elif field in _CONTEXT:
            part = content.setdefault("clinical_context", {})
        if field in _LISTS:
            part.setdefault(field, []).append(value)
        elif field == "priority":
            content[field] = _class(value, priority, f"Task.input[{index}]")
        elif field in part:
            raise FhirRefusal(422, "business-rule", "this input is there twice: leave one", f"Task.input[{index}]")
        else:
            part[field] = value
    return order_from({name: value for name, value in content.items() if value is not None}, "fhir")


def _class(value: Any, priority: Any, where: str) -> Priority:
    """Class by its own name: four codes of FHIR are three of ours, and none of them is below normal."""
    if value not in list(Priority):
        names = ", ".join(Priority)
        raise FhirRefusal(422, "code-invalid", f"the class is none of {names}: correct it", where)
    if priority is not None and PRIORITIES[Priority(value)] != _same(priority):
        raise FhirRefusal(
            422,
            "business-rule",
            f"Task.priority says {priority}, the class {value} is {PRIORITIES[Priority(value)]}: leave one out",
            where,
        )
    return Priority(value)


def _same(priority: Any) -> str:
    """Code under which the class of this one is shown."""
    return PRIORITIES[_PRIORITY[str(priority)]]


def _model(resource: Json) -> str:
    code = resource.get("code")
    for coding in _list(code.get("coding") if isinstance(code, dict) else None):
        if isinstance(coding, dict) and coding.get("system") == MODEL and isinstance(coding.get("code"), str):
            return str(coding["code"])
    raise FhirRefusal(422, "required", f"name the model by a coding of the system {MODEL}", "Task.code")


def _study(resource: Json) -> str | None:
    focus = resource.get("focus")
    if focus is None:
        return None
    identifier = focus.get("identifier") if isinstance(focus, dict) else None
    if isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
        return str(identifier["value"]).removeprefix("urn:oid:")
    raise FhirRefusal(
        422, "required", "name the study by Task.focus.identifier (urn:dicom:uid, urn:oid:<UID>)", "Task.focus"
    )


def _input(given: Any, where: str) -> tuple[str, Any]:
    kind = given.get("type") if isinstance(given, dict) else None
    codings = _list(kind.get("coding") if isinstance(kind, dict) else None)
    codes = [one.get("code") for one in codings if isinstance(one, dict) and one.get("system") == PARAMETER]
    if not codes or not isinstance(codes[0], str) or codes[0] not in _INPUTS:
        raise FhirRefusal(
            422, "not-supported", f"name an input by a code of {PARAMETER}: {', '.join(_INPUTS)}", f"{where}.type"
        )
    field, kinds = _INPUTS[str(codes[0])]
    for name in kinds:
        if name in given:
            value = given[name]
            if name == "valueIdentifier":
                value = value.get("value") if isinstance(value, dict) else None
            return field, value.removeprefix("urn:oid:") if isinstance(value, str) else value
    raise FhirRefusal(422, "required", f"the value must be {' or '.join(kinds)}", where)


def reason_of(given: Any) -> str | None:
    """Why somebody changes a Task, of its ``statusReason``: the text, or else what its codes mean."""
    if not isinstance(given, dict):
        return None
    if isinstance(given.get("text"), str):
        return str(given["text"])
    meanings = [one.get("display") for one in _list(given.get("coding")) if isinstance(one, dict)]
    return ", ".join(one for one in meanings if isinstance(one, str)) or None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def command_of(task: TaskView, status: object, priority: object) -> tuple[CommandKind, Priority | None] | None:
    """What a client asks for that gives a Task this status and priority; ``None``: it stays as it is.

    Raises
    ------
    FhirRefusal
        Only a worker moves a task that way.
    """
    known = status_of(task)
    if status == "cancelled" and known != "cancelled":
        return CommandKind.CANCEL, None
    if status == "on-hold" and known in ("requested", "ready", "in-progress"):
        return CommandKind.HOLD, None
    if known == "on-hold" and status in ("requested", "ready", "in-progress"):
        return CommandKind.RELEASE, None
    if status != known:
        raise FhirRefusal(
            422,
            "business-rule",
            f"a task that is {known} becomes so by its worker only: a client may set cancelled, on-hold, "
            "or ready where it is on hold",
            "Task.status",
        )
    if priority is None or priority == PRIORITIES[task.priority]:
        return None
    if not isinstance(priority, str) or priority not in _PRIORITY:
        raise FhirRefusal(422, "code-invalid", "priority is none of FHIR R4", "Task.priority")
    return CommandKind.UPGRADE, _PRIORITY[str(priority)]
