"""Bundles pass a validator that works from HL7's own R4 definitions, and that validator sees deliberate errors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from consumers.fhir.bundle import failure
from consumers.fhir.known import NOTHING
from consumers.fhir.links import without_header
from dashboards.fhir.capability import statement
from schemas.events import Decision, InferenceResult
from schemas.ids import event_id
from schemas.terminology import Language
from tests.consumers import results
from tests.consumers.fhir.bundles import BASE, SYSTEMS, delivered, judged, reviewed, taken
from tests.consumers.fhir.validators import conformance_errors, structure_errors
from tests.consumers.generated import could_not_run, generated, nasty_case, nasty_texts

pytestmark = pytest.mark.integration

Json = dict[str, Any]

UKRAINIAN, ENGLISH = Language.UKRAINIAN, Language.ENGLISH


def bundle() -> Json:
    return delivered(results.result_with_findings())


def resource(bundle: Json, kind: str) -> Json:
    return next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)


def told(result: InferenceResult, language: Language, decision: Decision) -> tuple[Json, Json]:
    """Transactions of a result and of the first verdict on it."""
    first = delivered(result, language=language)
    return first, reviewed(judged(result, decision), taken(first), language)


@pytest.mark.parametrize("seed", range(50))
def test_generated_results_and_verdicts_conform_in_both_languages(seed: int) -> None:
    decision = list(Decision)[seed % 3]
    languages = (UKRAINIAN, ENGLISH) if seed % 2 else (ENGLISH, UKRAINIAN)
    result, verdict = told(generated(seed).result, languages[0], decision)
    translated = told(generated(seed).result, languages[1], decision)
    for one in (result, verdict, *translated):
        assert structure_errors(one) == []
        Bundle.model_validate(one)
    # this validator works for a third of a second on each, so it sees the result in one language, and what is said
    # of it later in the other
    assert conformance_errors(result) == []
    assert conformance_errors(translated[1]) == []


@pytest.mark.parametrize("language", list(Language))
def test_failures_conform(language: Language) -> None:
    for seed in range(len(nasty_texts())):
        result = could_not_run(seed).result
        told = failure(result, without_header(result, SYSTEMS), NOTHING, language, BASE)
        assert structure_errors(told) == []
    assert conformance_errors(told) == []


@pytest.mark.parametrize("number", range(0, len(nasty_texts()), 4))
def test_any_text_conforms(number: int) -> None:
    assert conformance_errors(delivered(nasty_case(nasty_texts()[number]).result, language=UKRAINIAN)) == []


def test_a_revision_that_replaces_another_conforms() -> None:
    first = results.result_with_findings()
    there = taken(delivered(first))
    assert there.report is not None
    second = replace(first, revision=2, task_id="second", event_id=event_id("result", "second"))
    known = replace(NOTHING, earlier=(there.report,), earlier_observations=tuple(there.observations.values()))
    replacing = delivered(second, known=known)
    assert resource(replacing, "DiagnosticReport")["extension"]
    assert structure_errors(replacing) == []
    assert conformance_errors(replacing) == []


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


def target_missing(b: Json) -> None:
    del resource(b, "Provenance")["target"]


def agent_without_who(b: Json) -> None:
    del resource(b, "Provenance")["agent"][0]["who"]


def unknown_role(b: Json) -> None:
    resource(b, "Provenance")["entity"][0]["role"] = "origin"


def unknown_intent(b: Json) -> None:
    resource(b, "Task")["intent"] = "wish"


def task_without_status(b: Json) -> None:
    del resource(b, "Task")["status"]


def output_without_value(b: Json) -> None:
    del resource(b, "Task")["output"][0]["valueReference"]


def wrong_target(b: Json) -> None:
    resource(b, "DiagnosticReport")["result"][0]["type"] = "Patient"
    resource(b, "DiagnosticReport")["result"][0]["reference"] = "Patient/1"


def unknown_narrative_status(b: Json) -> None:
    resource(b, "Observation")["text"]["status"] = "made-up"


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
    (target_missing, True, True),
    (agent_without_who, True, True),
    (unknown_role, False, True),
    (unknown_intent, False, True),
    (task_without_status, True, True),
    (output_without_value, True, True),
    (wrong_target, False, True),
    (unknown_narrative_status, False, True),
]


@pytest.mark.parametrize(("mutate", "by_structure", "by_conformance"), MUTATIONS)
def test_deliberate_errors_are_seen(
    mutate: Callable[[Json], None], by_structure: bool, by_conformance: bool
) -> None:
    wrong = bundle()
    mutate(wrong)
    assert bool(structure_errors(wrong)) == by_structure
    assert bool(conformance_errors(wrong)) == by_conformance
