"""What the tests of this folder share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.producers.poller.site import Gateway, gateway


@pytest.fixture(scope="session")
def receiving(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for all tests of this folder: use fresh UIDs."""
    with gateway(tmp_path_factory.mktemp(f"site-{uuid.uuid4().hex[:8]}") / "gateway", kafka) as running:
        yield running


@pytest.fixture
def number() -> str:
    """Root of fresh UIDs, for tests.studies."""
    return str(uuid.uuid4().int >> 64)
