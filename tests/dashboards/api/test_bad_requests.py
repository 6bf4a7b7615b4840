"""Requests that cannot be served: a problem that names the field and says what to do."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from tests.dashboards.api.conftest import Service, served
from tests.dashboards.fleet import heartbeat, study
from tests.dashboards.story import MODEL, Story

UID = "1.2.3"


@pytest.fixture
def story(service: Service) -> Story:
    story = Story(UID)
    service.read(study(story), heartbeat(service.now))
    return story


@pytest.mark.parametrize(
    ("change", "status", "field", "remedy"),
    [
        ({"model": "nope"}, 422, "model", f"those that they have are {MODEL}"),
        ({"model_version": "9"}, 422, "model_version", "there is 1"),
        (
            {"callback_url": "https://inside.example.org/x"},
            422,
            "callback_url",
            "ask the requester for another URL",
        ),
        ({"callback_url": "https://10.0.0.1/x"}, 422, "callback_url", "SCANSTREAM_CALLBACK_ALLOWED_HOSTS"),
        ({"callback_url": "https://away.example.org/x"}, 503, "callback_url", "callback_url: "),
        ({"study_instance_uid": "9.9"}, 404, "study_instance_uid", "send its images to the gateway"),
        ({"study_instance_uid": "x"}, 422, "study_instance_uid", "/openapi.json"),
        ({"series_instance_uids": ["9.9"]}, 404, "series_instance_uids", f"it has {UID}.1"),
        ({"parameters": {"output_formats": ["pdf"]}}, 422, "parameters.output_formats.0", "'sr'"),
        ({"colour": "red"}, 422, "colour", "/openapi.json"),
    ],
)
async def test_the_field_at_fault_and_the_remedy_are_named(
    service: Service,
    client: httpx.AsyncClient,
    story: Story,
    change: dict[str, Any],
    status: int,
    field: str,
    remedy: str,
) -> None:
    answer = await client.post("/v1/inference", json={"study_instance_uid": UID, "model": MODEL} | change)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )
    problem = answer.json()
    assert problem["fields"] == [field]
    assert remedy in problem["detail"]
    assert service.published == []


async def test_a_key_that_was_used_for_something_else(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    asked, key = {"study_instance_uid": UID, "model": MODEL}, {"idempotency-key": "order-17"}
    assert (await client.post("/v1/inference", json=asked, headers=key)).status_code == 202
    answer = await client.post("/v1/inference", json=asked | {"priority": "p1-emergency"}, headers=key)
    assert (answer.status_code, answer.json()["fields"]) == (422, ["idempotency-key"])
    assert "take a new one, or send what was sent then" in answer.json()["detail"]
    assert len(service.published) == 2, "one task and its status"


@pytest.mark.parametrize(
    ("content", "kind", "status", "remedy"),
    [
        (b"{", "application/json", 400, "no JSON, as of character 1"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", 400, "nested too deeply"),
        (b'{"model": "m"}', "application/x-www-form-urlencoded", 415, "must be application/json"),
    ],
    ids=["broken", "deep", "form"],
)
async def test_bodies_that_are_none(
    client: httpx.AsyncClient, content: bytes, kind: str, status: int, remedy: str
) -> None:
    answer = await client.post("/v1/inference", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert remedy in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/inference", "/workitems?1.2.3", "/v1/tasks/x/cancel"])
def test_a_body_of_ten_megabytes_is_refused(service: Service, path: str) -> None:
    with served(service) as address, httpx.Client(base_url=f"http://{address}", timeout=60) as http:
        answer = http.post(path, content=b" " * 10_000_000, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert "leave out what is not needed" in answer.json()["detail"]
        assert http.get("/health/live").is_success


def test_a_body_without_a_length_is_refused_before_it_ends(service: Service) -> None:
    with served(service) as address, socket.create_connection(address.split(":")) as client:
        client.settimeout(60)
        client.sendall(b"POST /v1/inference HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n")
        client.sendall(b"content-type: application/json\r\n\r\n")
        for _ in range(17):
            client.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        assert client.recv(12) == b"HTTP/1.1 413"
