"""Bundles pass a validator that works from HL7's own R4 definitions, and that validator sees deliberate errors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from pydicom import Dataset

from consumers.fhir.bundle import transaction
from dashboards.fhir.capability import statement
from schemas.events import InferenceResult
from schemas.ids import dicom_uid
from tests.consumers import results
from tests.consumers.fhir.strategies import cases
from tests.consumers.fhir.validators import conformance_errors, structure_errors

pytestmark = pytest.mark.integration

Json = dict[str, Any]


def bundle() -> Json:
    return transaction(results.result_with_findings(), results.headers()[0], "urn:example:mrn")


def resource(bundle: Json, kind: str) -> Json:
    return next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(most_findings=3))
def test_generated_bundles_conform(case: tuple[InferenceResult, Dataset]) -> None:
    result, header = case
    assert conformance_errors(transaction(result, header, "urn:example:mrn")) == []


def test_many_findings_conform() -> None:
    base = results.result_with_findings()
    many = tuple(replace(base.findings[0], tracking_uid=dicom_uid("many", n)) for n in range(40))
    large = transaction(replace(base, findings=many), results.headers()[0], "urn:example:mrn")
    assert conformance_errors(large) == []
    assert structure_errors(large) == []


def test_the_capability_statement_conforms() -> None:
    capabilities = statement("http://127.0.0.1:8080/fhir")
    assert conformance_errors(capabilities) == []
    assert structure_errors(capabilities) == []


def wrong_status(b: Json) -> None:
    resource(b, "DiagnosticReport")["status"] = "prelim"


def missing_code(b: Json) -> None:
    del resource(b, "Observation")["code"]


def missing_subject(b: Json) -> None:
    del resource(b, "ImagingStudy")["subject"]


def number_as_text(b: Json) -> None:
    resource(b, "Observation")["component"][0]["valueQuantity"]["value"] = "12"


def list_as_object(b: Json) -> None:
    report = resource(b, "DiagnosticReport")
    report["category"] = report["category"][0]


def unknown_element(b: Json) -> None:
    resource(b, "DiagnosticReport")["device"] = {"reference": "Device/1"}


def two_values(b: Json) -> None:
    resource(b, "Observation")["valueString"] = "present"


def wrong_device_name_type(b: Json) -> None:
    resource(b, "Device")["deviceName"][0]["type"] = "model"


def wrong_date(b: Json) -> None:
    resource(b, "ImagingStudy")["started"] = "22.11.2026"


def missing_request(b: Json) -> None:
    del b["entry"][0]["request"]


def code_and_component_alike(b: Json) -> None:
    observation = resource(b, "Observation")
    observation["component"][0]["code"] = copy.deepcopy(observation["code"])


MUTATIONS: list[tuple[Callable[[Json], None], bool, bool]] = [
    # mutation, seen by fhirkit, seen by pyfhircheck
    (wrong_status, False, True),
    (missing_code, True, True),
    (missing_subject, True, True),
    (number_as_text, True, True),
    (list_as_object, True, False),
    (unknown_element, True, True),
    (two_values, True, True),
    (wrong_device_name_type, False, True),
    (wrong_date, True, True),
    (missing_request, False, True),
    (code_and_component_alike, False, True),
]


@pytest.mark.parametrize(("mutate", "by_structure", "by_conformance"), MUTATIONS)
def test_deliberate_errors_are_seen(
    mutate: Callable[[Json], None], by_structure: bool, by_conformance: bool
) -> None:
    wrong = bundle()
    mutate(wrong)
    assert bool(structure_errors(wrong)) == by_structure
    assert bool(conformance_errors(wrong)) == by_conformance
