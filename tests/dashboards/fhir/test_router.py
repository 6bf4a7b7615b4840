"""HTTP of the facade: media types, entity tags, links, and an OperationOutcome for every refusal."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from dashboards.fhir.http import LARGEST_BODY
from dashboards.fhir.router import create_router
from dashboards.fhir.store import FhirStore
from tests.consumers.fhir.validators import structure_errors
from tests.dashboards.fhir.bundles import create, observation, transaction

FHIR = {"Content-Type": "application/fhir+json"}


@pytest.fixture
async def http(store: FhirStore) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(create_router(store), prefix="/fhir")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://fhir.test") as client:
        yield client


def is_outcome(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/fhir+json"
    outcome: dict[str, Any] = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert structure_errors(outcome) == []
    return outcome


async def stored(http: httpx.AsyncClient, *values: str) -> list[str]:
    bundle = transaction(*[create(observation(value)) for value in values])
    answer = (await http.post("/fhir", json=bundle, headers=FHIR)).json()
    return [entry["response"]["location"] for entry in answer["entry"]]


async def test_a_transaction_is_answered_entry_by_entry(http: httpx.AsyncClient) -> None:
    for path in ("/fhir", "/fhir/"):
        response = await http.post(path, json=transaction(create(observation())), headers=FHIR)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/fhir+json"
        answer = response.json()
        assert structure_errors(answer) == []
        (entry,) = answer["entry"]
        assert entry["response"]["status"] == "201 Created"
        assert entry["response"]["etag"] == 'W/"1"'
        assert "resource" not in entry
    full = {**FHIR, "Prefer": "return=representation"}
    answer = (await http.post("/fhir", json=transaction(create(observation())), headers=full)).json()
    assert answer["entry"][0]["resource"]["status"] == "preliminary"


async def test_read_has_entity_tag_and_knows_what_is_unchanged(http: httpx.AsyncClient) -> None:
    (location,) = await stored(http, "1")
    path = f"/fhir/{location.split('/_history')[0]}"
    response = await http.get(path)
    assert response.headers["etag"] == 'W/"1"'
    assert response.headers["last-modified"] == "Sun, 22 Nov 2026 10:00:00 GMT"
    assert (await http.get(path, headers={"If-None-Match": 'W/"1"'})).status_code == 304
    assert (await http.get(f"/fhir/{location}")).json() == response.json()
    is_outcome(await http.get(f"{path}/_history/2"), 404)
    is_outcome(await http.get(f"{path}/_history/x"), 404)


async def test_search_links_lead_through_all_pages(http: httpx.AsyncClient) -> None:
    await stored(http, "1", "2", "3")
    url, seen = "/fhir/Observation?identifier=urn:x%7C&_count=2", []
    while url:
        page = (await http.get(url)).json()
        assert structure_errors(page) == []
        assert page["total"] == 3
        seen += [entry["fullUrl"] for entry in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        assert links["self"].startswith("http://fhir.test/fhir/Observation?identifier=urn%3Ax%7C")
        url = links.get("next", "")
    assert len(set(seen)) == 3
    assert seen[0].startswith("http://fhir.test/fhir/Observation/")


async def test_the_public_url_is_used_when_there_is_one(store: FhirStore) -> None:
    app = FastAPI()
    app.include_router(create_router(store, "https://ris.example.org/fhir/"), prefix="/fhir")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://fhir.test") as client:
        page = (await client.get("/fhir/Device")).json()
        assert page["link"][0]["url"] == "https://ris.example.org/fhir/Device"
        assert "entry" not in page


async def test_unknown_parameters_are_refused_or_left_out(http: httpx.AsyncClient) -> None:
    outcome = is_outcome(await http.get("/fhir/Observation?colour=red"), 400)
    assert "derived-from" in outcome["issue"][0]["diagnostics"]
    lenient = await http.get("/fhir/Observation?colour=red", headers={"Prefer": "handling=lenient"})
    assert lenient.json()["link"][0]["url"] == "http://fhir.test/fhir/Observation"


@pytest.mark.parametrize("kind", ["application/fhir+json", "application/fhir%2Bjson", "json"])
async def test_the_format_may_be_asked_for_with_a_bare_plus_sign(http: httpx.AsyncClient, kind: str) -> None:
    assert (await http.get(f"/fhir/Observation?_format={kind}")).status_code == 200


async def test_capabilities(http: httpx.AsyncClient) -> None:
    capabilities = (await http.get("/fhir/metadata")).json()
    assert capabilities["fhirVersion"] == "4.0.1"
    assert capabilities["implementation"]["url"] == "http://fhir.test/fhir"


async def test_every_refusal_is_an_operation_outcome(http: httpx.AsyncClient) -> None:
    is_outcome(await http.get("/fhir/Observation/nobody"), 404)
    is_outcome(await http.get("/fhir/Observation/a b"), 400)
    is_outcome(await http.get("/fhir/Encounter/1"), 404)
    is_outcome(await http.get("/fhir/Encounter"), 404)
    is_outcome(await http.get("/fhir/a/b/c/d/e"), 404)
    is_outcome(await http.post("/fhir/Observation", json=observation(), headers=FHIR), 404)
    is_outcome(await http.delete("/fhir/Observation/1"), 404)
    is_outcome(await http.get("/fhir/Observation?_format=xml"), 406)
    is_outcome(await http.get("/fhir/Observation", headers={"Accept": "application/fhir+xml"}), 406)
    is_outcome(await http.post("/fhir", content=b"<Bundle/>", headers={"Content-Type": "text/xml"}), 415)
    is_outcome(await http.post("/fhir", content=b"{", headers=FHIR), 400)
    is_outcome(await http.post("/fhir", content=b'{"a": NaN}', headers=FHIR), 400)
    is_outcome(await http.post("/fhir", content=b" " * (LARGEST_BODY + 1), headers=FHIR), 413)


async def test_a_body_that_is_nested_too_deeply_is_refused(http: httpx.AsyncClient) -> None:
    for depth in (500, 900, 5000):
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        entry = b'{"resource":{"resourceType":"Device","x":%b},"request":{"method":"POST","url":"Device"}}' % deep
        body = b'{"resourceType":"Bundle","type":"transaction","entry":[%b]}' % entry
        is_outcome(await http.post("/fhir", content=body, headers=FHIR), 400)


async def test_a_broken_disk_is_a_pause_and_not_a_crash(
    http: httpx.AsyncClient, store: FhirStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "transact", broken)
    response = await http.post("/fhir", json=transaction(), headers=FHIR)
    is_outcome(response, 503)
    assert response.headers["retry-after"] == "5"


async def test_a_search_may_be_a_form(http: httpx.AsyncClient) -> None:
    await stored(http, "Ж|1", "2")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await http.post("/fhir/Observation/_search", data={"identifier": "urn:x|Ж\\|1"}, headers=form)
    assert answer.status_code == 200
    assert answer.json()["total"] == 1
    both = await http.post("/fhir/Observation/_search?_count=0", data={"identifier": "urn:x|2"}, headers=form)
    assert both.json()["total"] == 1
    is_outcome(await http.post("/fhir/Observation/_search", json={}, headers=FHIR), 415)
    is_outcome(await http.post("/fhir/Nothing/_search", data={"a": "b"}, headers=form), 404)


async def test_tasks_requests_and_provenance_are_kept_and_found(http: httpx.AsyncClient) -> None:
    task = {
        "resourceType": "Task",
        "identifier": [{"system": "urn:t", "value": "1"}],
        "status": "failed",
        "intent": "order",
        "for": {"identifier": {"system": "urn:p", "value": "7"}},
    }
    request = {
        "resourceType": "ServiceRequest",
        "identifier": [{"value": "A1"}],
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/1"},
    }
    provenance = {
        "resourceType": "Provenance",
        "meta": {"tag": [{"system": "urn:scanstream:record", "code": "x"}]},
        "target": [{"reference": "urn:uuid:task"}],
        "recorded": "2026-03-01T12:00:00Z",
        "agent": [{"who": {"reference": "Device/1"}}],
    }
    once = "_tag=urn:scanstream:record%7Cx"
    bundle = transaction(create(task, name="urn:uuid:task"), create(request), create(provenance, once))
    for status in ("201", "200"):
        answer = await http.post("/fhir", json=bundle, headers=FHIR)
        assert answer.json()["entry"][2]["response"]["status"].startswith(status)
    for search, total in (
        ("Task?status=failed&subject:identifier=urn:p|7", 2),
        ("ServiceRequest?patient=Patient/1&identifier=A1", 2),
        ("Provenance?_tag=urn:scanstream:record|x&agent=Device/1", 1),
    ):
        assert (await http.get(f"/fhir/{search}")).json()["total"] == total
    for wrong in ({**task, "status": "done"}, {**task, "intent": ""}, {**provenance, "target": []}):
        is_outcome(await http.post("/fhir", json=transaction(create(wrong)), headers=FHIR), 422)
