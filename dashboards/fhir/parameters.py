"""Resources → rows of the search index, by the search parameters that FHIR R4 defines for them.

Tokens keep their system and code; references are indexed as ``Type/id`` and, for logical references, by the
identifier under ``name:identifier`` (FHIR R4 3.1.1.4.11).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from dashboards.fhir.outcome import Json

Kind = Literal["token", "reference", "string"]


@dataclass(frozen=True)
class Parameter:
    """One search parameter: its kind, the element that it reads, and the implied system of a plain code."""

    kind: Kind
    path: str
    system: str = ""
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One row of the search index."""

    parameter: str
    system: str
    value: str


_PATIENT: Final = Parameter("reference", "subject", targets=("Patient",))
_IDENTIFIER: Final = Parameter("token", "identifier")

_TAG: Final = Parameter("token", "meta.tag")

_OWN: Final[dict[str, dict[str, Parameter]]] = {
    "Device": {
        "identifier": _IDENTIFIER,
        "status": Parameter("token", "status", "http://hl7.org/fhir/device-status"),
        "device-name": Parameter("string", "deviceName.name"),
        "manufacturer": Parameter("string", "manufacturer"),
    },
    "DiagnosticReport": {
        "identifier": _IDENTIFIER,
        "status": Parameter("token", "status", "http://hl7.org/fhir/diagnostic-report-status"),
        "code": Parameter("token", "code"),
        "category": Parameter("token", "category"),
        "subject": _PATIENT,
        "patient": _PATIENT,
        "result": Parameter("reference", "result", targets=("Observation",)),
        "based-on": Parameter("reference", "basedOn", targets=("ServiceRequest",)),
    },
    "ImagingStudy": {
        "identifier": _IDENTIFIER,
        "status": Parameter("token", "status", "http://hl7.org/fhir/imagingstudy-status"),
        "modality": Parameter("token", "series.modality"),
        "series": Parameter("token", "series.uid"),
        "subject": _PATIENT,
        "patient": _PATIENT,
    },
    "Observation": {
        "identifier": _IDENTIFIER,
        "status": Parameter("token", "status", "http://hl7.org/fhir/observation-status"),
        "code": Parameter("token", "code"),
        "category": Parameter("token", "category"),
        "subject": _PATIENT,
        "patient": _PATIENT,
        "device": Parameter("reference", "device", targets=("Device",)),
        "derived-from": Parameter("reference", "derivedFrom", targets=("ImagingStudy",)),
    },
    "Patient": {"identifier": _IDENTIFIER},
    "Provenance": {
        "target": Parameter("reference", "target", targets=("DiagnosticReport", "Observation")),
        "agent": Parameter("reference", "agent.who", targets=("Device", "Practitioner")),
        "entity": Parameter("reference", "entity.what", targets=("ImagingStudy",)),
    },
    "ServiceRequest": {
        "identifier": _IDENTIFIER,
        "status": Parameter("token", "status", "http://hl7.org/fhir/request-status"),
        "intent": Parameter("token", "intent", "http://hl7.org/fhir/request-intent"),
        "code": Parameter("token", "code"),
        "subject": _PATIENT,
        "patient": _PATIENT,
    },
    "Task": {
        "identifier": _IDENTIFIER,
        "status": Parameter("token", "status", "http://hl7.org/fhir/task-status"),
        "business-status": Parameter("token", "businessStatus"),
        "code": Parameter("token", "code"),
        "subject": Parameter("reference", "for", targets=("Patient",)),
        "patient": Parameter("reference", "for", targets=("Patient",)),
        "focus": Parameter("reference", "focus", targets=("ImagingStudy",)),
        "owner": Parameter("reference", "owner", targets=("Device",)),
        "based-on": Parameter("reference", "basedOn", targets=("ServiceRequest",)),
    },
}

#: Resource type → search parameter → where its values are; every type has tags (FHIR R4 3.1.1.4).
PARAMETERS: Final = {name: {**own, "_tag": _TAG} for name, own in _OWN.items()}


def elements(resource_type: str, names: Collection[str]) -> set[str]:
    """Elements of a resource that search parameters of these names read."""
    known = PARAMETERS[resource_type]
    return {known[name].path.partition(".")[0] for name in names if name in known}


def rows(resource: Json, only: Collection[str] | None = None) -> set[Row]:
    """Index rows of one resource; elements that are not as R4 says are left out.

    Parameters
    ----------
    resource
        The resource.
    only
        Names of the parameters that are asked for; ``None``: all.
    """
    found: set[Row] = set()
    for name, parameter in PARAMETERS[resource["resourceType"]].items():
        if only is not None and name not in only:
            continue
        for element in _elements(resource, parameter.path.split(".")):
            found.update(_rows(name, parameter, element))
    return found


def _elements(value: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _elements(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _elements(value[path[0]], path[1:])


def _rows(name: str, parameter: Parameter, element: Any) -> Iterator[Row]:
    if isinstance(element, str):
        value = element.casefold() if parameter.kind == "string" else element
        yield Row(name, parameter.system, value)
    elif not isinstance(element, dict):
        return
    elif parameter.kind == "reference":
        if isinstance(element.get("reference"), str):
            yield Row(name, "", element["reference"])
        yield from _token(f"{name}:identifier", element.get("identifier"), "value")
    elif parameter.path == "identifier":
        yield from _token(name, element, "value")
    elif isinstance(element.get("coding"), list):
        for coding in element["coding"]:
            yield from _token(name, coding, "code")
    else:
        yield from _token(name, element, "code")


def _token(name: str, element: Any, key: str) -> Iterator[Row]:
    if isinstance(element, dict) and isinstance(element.get(key), str):
        system = element.get("system")
        yield Row(name, system if isinstance(system, str) else "", element[key])
