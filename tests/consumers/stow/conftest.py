from __future__ import annotations

from collections.abc import Iterator

import pytest

from consumers.stow.client import StowClient
from tests.consumers.stow.connected import connected
from tests.consumers.stow.pacs import ScriptedPacs, pacs

__all__ = ["client", "pacs"]


@pytest.fixture
def client(pacs: ScriptedPacs) -> Iterator[StowClient]:
    """Client of the scripted PACS that puts all objects into one request."""
    with connected(pacs) as made:
        yield made
