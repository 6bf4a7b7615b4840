"""A store of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dashboards.fhir.store import FhirStore


class Clock:
    """A clock that moves only when it is told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 10, 0, 0, 123000, UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[FhirStore]:
    opened = FhirStore(tmp_path / "api" / "fhir.sqlite", now=clock)
    yield opened
    opened.close()
