"""Search parameters: tokens, references, dates, pages, and a clear refusal of what is not known."""

from __future__ import annotations

import json

import pytest

from consumers.fhir.identity import token
from dashboards.fhir import query
from dashboards.fhir.outcome import FhirRefusal
from dashboards.fhir.store import FhirStore
from tests.dashboards.fhir.bundles import create, observation, transaction
from tests.dashboards.fhir.conftest import Clock

LOGICAL = {"subject": {"type": "Patient", "identifier": {"system": "urn:mrn", "value": "Ж-7"}}}
LITERAL = {"subject": {"reference": "Patient/p1"}, "derivedFrom": [{"reference": "ImagingStudy/s1"}]}


@pytest.fixture
def filled(store: FhirStore, clock: Clock) -> FhirStore:
    store.transact(transaction(create(observation("1", **LOGICAL)), create(observation("2", "final", **LITERAL))))
    clock.forward(86400)
    comma = observation("a,b|c", identifier=[{"value": "a,b|c"}], code={"text": "no coding"})
    device = {
        "resourceType": "Device",
        "deviceName": [{"name": "Brain MR", "type": "model-name"}],
        "status": "active",
    }
    study = {
        "resourceType": "ImagingStudy",
        "status": "available",
        "subject": {"reference": "Patient/p1"},
        "series": [{"uid": "1.2", "modality": {"system": "http://dicom", "code": "MR"}}],
    }
    store.transact(transaction(create(comma), create(device), create(study)))
    return store


def found(store: FhirStore, kind: str, *given: tuple[str, str]) -> list[str]:
    page = store.search(query.parse(kind, given))
    assert page.total == len(page.matches)
    return [json.loads(match.body).get("identifier", [{"value": kind}])[0]["value"] for match in page.matches]


@pytest.mark.parametrize(
    ("name", "value", "values"),
    [
        ("identifier", "urn:x|1", ["1"]),
        ("identifier", "1", ["1"]),
        ("identifier", "urn:x|", ["2", "1"]),
        ("identifier", "|a\\,b\\|c", ["a,b|c"]),
        ("identifier", "|1", []),
        ("identifier", "urn:y|1", []),
        ("identifier", "urn:x|2,urn:x|1", ["2", "1"]),
        ("status", "final", ["2"]),
        ("status", "http://hl7.org/fhir/observation-status|final", ["2"]),
        ("code", "http://snomed.info/sct|12738006", ["2", "1"]),
        ("code", "12738006", ["2", "1"]),
        ("subject", "Patient/p1", ["2"]),
        ("patient", "p1", ["2"]),
        ("subject:Patient", "p1", ["2"]),
        ("patient", "http://elsewhere/fhir/Patient/p1", ["2"]),
        ("patient:identifier", "urn:mrn|Ж-7", ["1"]),
        ("subject:identifier", "Ж-7", ["1"]),
        ("derived-from", "ImagingStudy/s1", ["2"]),
        ("_lastUpdated", "2026-11-22", ["2", "1"]),
        ("_lastUpdated", "2026-11", ["a,b|c", "2", "1"]),
        ("_lastUpdated", "gt2026-11-22", ["a,b|c"]),
        ("_lastUpdated", "ge2026-11-23T10:00:00.123Z", ["a,b|c"]),
        ("_lastUpdated", "lt2026-11-22T12:00:00.123+02:00", []),
        ("_lastUpdated", "le2026-11-22T12:00:00.123+02:00", ["2", "1"]),
        ("_lastUpdated", "eq2026-11-22T10:00Z", ["2", "1"]),
        ("_lastUpdated", "ne2026", []),
        ("_id", "nobody", []),
    ],
)
def test_observations_are_found(filled: FhirStore, name: str, value: str, values: list[str]) -> None:
    assert found(filled, "Observation", (name, value)) == values


def test_other_types_are_found(filled: FhirStore) -> None:
    assert found(filled, "Device", ("device-name", "brain"))
    assert not found(filled, "Device", ("device-name", "mr"))
    assert found(filled, "ImagingStudy", ("modality", "MR"), ("series", "1.2"))
    assert not found(filled, "ImagingStudy", ("modality", "CT"))


def test_parameters_given_together_all_hold(filled: FhirStore) -> None:
    assert found(filled, "Observation", ("code", "12738006"), ("status", "final")) == ["2"]
    assert found(filled, "Observation", ("identifier", "1"), ("identifier", "2")) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "red"),
        ("status:not", "final"),
        ("subject:Group", "1"),
        ("patient.identifier", "7"),
        ("_sort", "status"),
        ("_lastUpdated", "yesterday"),
        ("_lastUpdated", "2026-13"),
        ("_count", "-1"),
        ("_after", "x"),
        ("status", ""),
        ("_id", ",".join("x" * 201)),
        ("_summary", "text"),
    ],
)
def test_what_is_not_known_is_refused(name: str, value: str) -> None:
    with pytest.raises(FhirRefusal) as caught:
        query.parse("Observation", [(name, value)])
    assert caught.value.status == 400


def test_a_refusal_names_what_is_supported_and_lenient_clients_are_not_refused() -> None:
    with pytest.raises(FhirRefusal, match="derived-from, device, identifier"):
        query.parse("Observation", [("colour", "red")])
    lenient = query.parse("Observation", [("colour", "red"), ("status", "final")], lenient=True)
    assert lenient.used == (("status", "final"),)


def test_pages_have_every_match_once_while_others_arrive(store: FhirStore) -> None:
    store.transact(transaction(*[create(observation(str(number))) for number in range(7)]))
    seen, after = [], None
    while True:
        given = [("_count", "3"), *([("_after", str(after))] if after is not None else [])]
        page = store.search(query.parse("Observation", given))
        seen += [json.loads(match.body)["identifier"][0]["value"] for match in page.matches]
        after = page.after
        if after is None:
            break
        store.transact(transaction(create(observation("late"))))
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


def test_counting_returns_no_resources(filled: FhirStore) -> None:
    for given in (("_summary", "count"), ("_count", "0")):
        page = filled.search(query.parse("Observation", [given]))
        assert (page.total, page.matches, page.after) == (3, (), None)


@pytest.mark.parametrize("moment", ["9999-12-31", "9999-12", "9999", "9999-12-31T23:59:59Z", "0000", "2026-13"])
def test_the_ends_of_the_calendar_are_no_dates_to_search_by(moment: str) -> None:
    with pytest.raises(FhirRefusal, match="_lastUpdated"):
        query.parse("Observation", [("_lastUpdated", moment)])


@pytest.mark.parametrize("system", ["urn:x", "urn:x\\", "a,b", "a$b|c"])
def test_any_identifier_is_found_by_its_token(store: FhirStore, system: str) -> None:
    for value in ("7", "Ж,7", "a|b", "\\", "1\\|2", "line\\\nend", "$"):
        named = {"system": system, "value": value}
        store.transact(transaction(create(observation(value, identifier=[named]))))
        assert found(store, "Observation", ("identifier", token(named))) == [value]
