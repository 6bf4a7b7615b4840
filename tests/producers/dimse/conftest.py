"""A running DICOM listener."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.dimse.silence import silence
from tests.producers.listener import Listener
from tests.producers.listener import listener as running


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Libraries are silent, as in the gateway."""
    silence()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """Listener with default limits."""
    with running(tmp_path) as found:
        yield found
