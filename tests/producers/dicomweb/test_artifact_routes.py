"""Artifacts over HTTP: the name is the digest, created is durable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import pytest

from tests.producers.dicomweb.conftest import Gateway

DATA = b"a mask" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def root(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.root_url, timeout=30) as client:
        yield client


def test_put_get_head_and_put_again(root: httpx.Client, gateway: Gateway) -> None:
    url = f"/artifacts/{DIGEST}"
    assert root.get(url).status_code == 404
    assert root.put(url, content=DATA).status_code == 201
    assert root.put(url, content=DATA).status_code == 200
    response = root.get(url)
    assert (response.status_code, response.content) == (200, DATA)
    assert response.headers["etag"] == f'"{DIGEST}"'
    head = root.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(DATA)))
    path = gateway.store.artifact_path(DIGEST)
    assert path is not None
    assert path.read_bytes() == DATA


def test_other_bytes_are_400_and_not_kept(root: httpx.Client, gateway: Gateway) -> None:
    response = root.put(f"/artifacts/{DIGEST}", content=DATA + b"x")
    assert response.status_code == 400
    assert "send it again" in response.json()["detail"]
    assert gateway.store.artifact_path(DIGEST) is None


@pytest.mark.parametrize("name", ["x", DIGEST.upper(), DIGEST[:-1], "..%2F..%2Findex.sqlite"])
def test_what_is_no_digest(root: httpx.Client, name: str) -> None:
    for response in (root.put(f"/artifacts/{name}", content=b""), root.get(f"/artifacts/{name}")):
        assert response.status_code in (400, 404)
        assert response.headers["content-type"] == "application/problem+json"


def test_too_large_is_413(root: httpx.Client) -> None:
    assert root.put(f"/artifacts/{DIGEST}", content=bytes(1_000_001)).status_code == 413


@pytest.mark.parametrize("name", ["live", "ready"])
def test_health(root: httpx.Client, name: str) -> None:
    response = root.get(f"/health/{name}")
    assert (response.status_code, response.json()) == (200, {"status": name})
