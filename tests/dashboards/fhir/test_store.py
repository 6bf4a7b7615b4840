"""Transactions are all or nothing, conditional requests find what is there, and no version is ever lost."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dashboards.fhir import query
from dashboards.fhir.outcome import FhirRefusal
from dashboards.fhir.store import FhirStore, Stored
from schemas.errors import ConfigurationError
from tests.dashboards.fhir.bundles import create, observation, transaction, update
from tests.dashboards.fhir.conftest import Clock


def body(stored: Stored) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(stored.body)
    return parsed


def total(store: FhirStore, kind: str = "Observation", **parameters: str) -> int:
    return store.search(query.parse(kind, parameters.items())).total


def refused(store: FhirStore, *entries: Any) -> FhirRefusal:
    with pytest.raises(FhirRefusal) as caught:
        store.transact(transaction(*entries))
    return caught.value


def test_conditional_create_keeps_what_is_there(store: FhirStore) -> None:
    (first,) = store.transact(transaction(create(observation(), "identifier=urn:x|1")))
    (second,) = store.transact(transaction(create(observation(status="final"), "identifier=urn:x%7C1")))
    assert (first.status, second.status) == (201, 200)
    assert first.location == second.location
    assert body(second)["status"] == "preliminary"


def test_conditional_update_makes_versions_and_keeps_the_old_ones(store: FhirStore, clock: Clock) -> None:
    (first,) = store.transact(transaction(update(observation(), "identifier=urn:x|1")))
    clock.forward(1)
    (second,) = store.transact(transaction(update(observation(status="final"), "identifier=urn:x|1")))
    assert (first.status, second.status, second.version) == (201, 200, 2)
    assert body(store.read("Observation", first.resource_id))["meta"] == {
        "versionId": "2",
        "lastUpdated": "2026-11-22T10:00:01.123Z",
    }
    assert body(store.read("Observation", first.resource_id, 1))["status"] == "preliminary"
    assert total(store, status="preliminary") == 0
    assert total(store, status="final") == 1


def test_an_update_that_changes_nothing_is_no_new_version(store: FhirStore, clock: Clock) -> None:
    entry = update(observation(meta={"security": [{"code": "AIAST"}]}), "identifier=urn:x|1")
    (first,) = store.transact(transaction(entry))
    clock.forward(5)
    (second,) = store.transact(transaction(entry))
    assert (second.status, second.version, second.updated) == (200, 1, first.updated)


def test_versions_cannot_be_changed_or_removed_even_by_sql(store: FhirStore, tmp_path: Path) -> None:
    store.transact(transaction(create(observation())))
    with sqlite3.connect(tmp_path / "api" / "fhir.sqlite") as connection:
        for statement in ("DELETE FROM version", "UPDATE version SET body = '{}'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    connection.close()


def test_entry_names_become_references_but_identifiers_stay(store: FhirStore) -> None:
    name = "urn:uuid:0d5aa34f-1e5c-4b6e-8b0f-7f0d3a3d4c11"
    device = {"resourceType": "Device", "identifier": [{"system": "urn:ietf:rfc:3986", "value": name}]}
    stored = store.transact(
        transaction(create(observation(device={"reference": name})), create(device, name=name))
    )
    assert body(stored[0])["device"]["reference"] == f"Device/{stored[1].resource_id}"
    assert body(stored[1])["identifier"][0]["value"] == name


def test_a_conditional_reference_finds_its_target(store: FhirStore) -> None:
    patient = {"resourceType": "Patient", "identifier": [{"system": "urn:p", "value": "7"}]}
    (known,) = store.transact(transaction(create(patient)))
    subject = {"subject": {"reference": "Patient?identifier=urn:p|7"}}
    (stored,) = store.transact(transaction(create(observation(**subject))))
    assert body(stored)["subject"]["reference"] == f"Patient/{known.resource_id}"
    assert total(store, subject=f"Patient/{known.resource_id}") == 1
    missing = {"subject": {"reference": "Patient?identifier=urn:p|8"}}
    assert refused(store, create(observation("2", **missing))).status == 404
    store.transact(transaction(create(patient)))
    assert refused(store, create(observation("2", **subject))).status == 412


def test_one_wrong_entry_undoes_the_whole_transaction(store: FhirStore) -> None:
    for wrong in (
        create(observation("2", status="prelim")),
        create({"resourceType": "Observation", "status": "final"}),
        create(observation("2", device={"reference": "urn:uuid:unknown"})),
        update(observation("2"), path="a", ifMatch='W/"3"'),
        {"resource": observation("2")},
    ):
        refused(store, create(observation("1")), wrong)
        assert total(store) == 0


def test_criteria_that_match_several_are_refused(store: FhirStore) -> None:
    store.transact(transaction(create(observation()), create(observation())))
    refusal = refused(store, update(observation(), "identifier=urn:x|1"))
    assert (refusal.status, refusal.code) == (412, "multiple-matches")
    assert refused(store, create(observation(), "identifier=urn:x|1")).status == 412
    assert refused(store, create(observation(), "_count=1")).status == 412
    assert refused(store, create(observation(), "colour=red")).status == 400


def test_the_same_resource_twice_in_one_transaction_is_refused(store: FhirStore) -> None:
    (known,) = store.transact(transaction(create(observation())))
    both = [update(observation(), "identifier=urn:x|1"), update(observation(), path=known.resource_id)]
    assert refused(store, *both).status == 400
    assert refused(store, create(observation(), name="urn:uuid:a"), create(observation(), name="urn:uuid:a"))


def test_update_by_id_creates_and_checks_the_version(store: FhirStore) -> None:
    (first,) = store.transact(transaction(update(observation(id="mine"), path="mine")))
    assert (first.status, first.resource_id) == (201, "mine")
    (second,) = store.transact(transaction(update(observation("2", id="mine"), path="mine", ifMatch='W/"1"')))
    assert second.version == 2
    assert refused(store, update(observation(id="mine"), path="mine", ifMatch='W/"1"')).status == 412
    assert refused(store, update(observation(id="other"), path="mine")).status == 400
    assert refused(store, update(observation("9", id="mine"), "identifier=urn:x|9")).status == 409


@pytest.mark.parametrize(
    ("bundle", "status"),
    [
        ([], 400),
        ({"resourceType": "Bundle", "type": "batch"}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": {}}, 400),
        (transaction({"request": {"method": "DELETE", "url": "Observation/1"}}), 400),
        (transaction({"request": {"method": "POST", "url": "Binary"}, "resource": {}}), 404),
        (transaction({"request": {"method": "POST", "url": "Observation/1"}, "resource": observation()}), 400),
        (transaction({"request": {"method": "PUT", "url": "Observation"}, "resource": observation()}), 400),
        (transaction({"request": {"method": "PUT", "url": "../x"}, "resource": observation()}), 400),
        (transaction({"request": {"method": "POST", "url": "Device"}, "resource": observation()}), 400),
        (transaction(create(observation(meta=[]))), 422),
        (transaction(create(observation(identifier={}))), 422),
        (transaction(update(observation(id=7), "identifier=urn:x|1")), 400),
        (transaction(*[{}] * 2001), 413),
    ],
)
def test_what_is_no_transaction_is_refused(store: FhirStore, bundle: object, status: int) -> None:
    with pytest.raises(FhirRefusal) as caught:
        store.transact(bundle)
    assert caught.value.status == status


def test_an_empty_transaction_is_one(store: FhirStore) -> None:
    assert store.transact({"resourceType": "Bundle", "type": "transaction"}) == []


def test_what_was_answered_survives_a_new_start(tmp_path: Path) -> None:
    first = FhirStore(tmp_path / "fhir.sqlite")
    (stored,) = first.transact(transaction(create(observation())))
    first.close()
    second = FhirStore(tmp_path / "fhir.sqlite")
    assert second.read("Observation", stored.resource_id).body == stored.body
    second.close()


def test_a_file_that_is_no_store_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "fhir.sqlite").write_bytes(b"not a database, but long enough to be read as one" * 40)
    with pytest.raises(ConfigurationError, match="SCANSTREAM_DATA_DIR"):
        FhirStore(tmp_path / "fhir.sqlite")


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_the_same_criteria_twice_do_not_make_two_resources(store: FhirStore, method: str) -> None:
    if method == "PUT":
        entries = [update(observation(value), "identifier=urn:x|1") for value in ("1", "2")]
    else:
        entries = [create(observation(value), "identifier=urn:x|1") for value in ("1", "2")]
    assert refused(store, *entries).status == 400
    assert total(store) == 0


def test_a_status_that_is_no_code_is_refused(store: FhirStore) -> None:
    wrong = observation() | {"status": ["preliminary"]}
    assert refused(store, create(wrong)).status == 422


@pytest.mark.parametrize("tag", ["1", 'W/"x"', f'W/"{"9" * 5000}"', 'W/"١"', 7, ""])
def test_what_is_no_version_is_refused(store: FhirStore, tag: object) -> None:
    entry = update(observation(), path="7")
    entry["request"]["ifMatch"] = tag
    assert refused(store, entry).status == 400
