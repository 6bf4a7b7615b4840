"""What two independent validators say against a resource or a Bundle.

``fhirkit`` (Rust, its own copy of the R4 specification) checks elements, types and cardinalities. ``pyfhircheck``
works from HL7's StructureDefinitions, value sets and code systems: required bindings, invariants, references,
narrative and bundle rules too.
"""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import Any

import fhirkit
from pydicom.sr.codedict import codes
from pyfhircheck import Validator
from pyfhircheck.config import ValidatorConfig
from pyfhircheck.core import fhirpath
from pyfhircheck.models import Severity, ValidationIssue

from tests.consumers.fhir.definitions import r4_definitions

_DISPLAY = re.compile(r"Wrong Display Name '(.+?)' for http://dicom\.nema\.org/resources/ontology/DCM#(\w+)\.")
BASE = "http://hl7.org/fhir/StructureDefinition/"


def structure_errors(resource: dict[str, Any]) -> list[str]:
    """Errors that fhirkit finds."""
    return [str(issue) for issue in fhirkit.validate(resource) if issue.severity == "error"]


def conformance_errors(resource: dict[str, Any]) -> list[str]:
    """Errors that pyfhircheck finds, in the Bundle and in each resource against its R4 definition."""
    claimed = copy.deepcopy(resource)
    inner = [entry["resource"] for entry in claimed.get("entry", []) if "resource" in entry]
    for one in inner or [claimed]:
        one.setdefault("meta", {}).setdefault("profile", []).append(BASE + one["resourceType"])
    issues = _validator().validate_resource(claimed).issues
    return [f"{issue.code} {issue.path}: {issue.message}" for issue in issues if _is_error(issue)]


def _is_error(issue: ValidationIssue) -> bool:
    path = issue.path or ""
    if issue.code == "profile.element.cardinality.max" and path.count(".") > 1:
        return False  # it counts an element of all items of a list together; fhirkit sees a list in a wrong place
    if issue.code == "cardinality.min" and path.endswith("[x]"):
        return False  # inside a backbone element it looks for this very name; fhirkit sees a missing choice
    renamed = _DISPLAY.match(issue.message) if issue.code == "terminology.display" else None
    if renamed and (renamed[2], renamed[1]) in _dicom_terms():
        return False  # HL7's copy of the DICOM terms is of 2018, and DICOM has changed this meaning since
    return issue.severity is Severity.ERROR


@cache
def _dicom_terms() -> frozenset[tuple[str, str]]:
    """Values and meanings of PS3.16 annex D, as pydicom has them."""
    return frozenset((code.value, code.meaning) for code in codes.DCM.concepts.values())


@cache
def _stem(key: str) -> str | None:
    """Name of the choice element that a key is one form of, such as ``value`` of ``valueString``."""
    ends = (one for one in fhirpath._CHOICE_SUFFIXES if key.endswith(one) and len(key) > len(one))
    suffix = next(ends, None) if key[0].islower() else None
    return None if suffix is None else key[: -len(suffix)]


def _with_choices(data: Any) -> Any:
    """What pyfhircheck does to all of a Bundle for each invariant, without trying forty suffixes on each key."""
    if isinstance(data, list):
        return [_with_choices(item) for item in data]
    if not isinstance(data, dict):
        return data
    result = {key: _with_choices(value) for key, value in data.items()}
    for key in data:
        stem = _stem(key)
        if stem is not None and stem not in result:
            result[stem] = result[key]
    return result


@cache
def _validator() -> Validator:
    # three quarters of its time go there; the result is the same
    fhirpath._augment_choice_types = _with_choices
    return Validator(ValidatorConfig(local_package_paths=[str(r4_definitions())]))
