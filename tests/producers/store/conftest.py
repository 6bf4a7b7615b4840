"""A store in a temporary directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from producers.store import InstanceStore
from producers.telemetry import Telemetry
from tests.producers.listener import ARRIVALS

Opener = Callable[[], InstanceStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Opener]:
    """Opens the store of this test, again and again; closes the last one."""
    opened: list[InstanceStore] = []

    def open_again() -> InstanceStore:
        if opened:
            opened.pop().close()
        opened.append(InstanceStore.open(tmp_path / "store", ARRIVALS.stored, Telemetry()))
        return opened[0]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Opener) -> InstanceStore:
    """An empty store."""
    return open_store()
