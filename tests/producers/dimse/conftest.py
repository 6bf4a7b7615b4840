"""A running DICOM listener."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.producers.listener import Listener
from tests.producers.listener import listener as running


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """Listener with default limits."""
    with running(tmp_path) as found:
        yield found
