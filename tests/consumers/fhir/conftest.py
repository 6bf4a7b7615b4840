"""Two FHIR servers of different makers, and the writer's destination on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset

from consumers.fhir.client import FhirClient
from consumers.fhir.destination import FhirDestination
from schemas.terminology import Language
from tests.consumers import results
from tests.consumers.fhir import servers
from tests.consumers.fhir.bundles import SYSTEMS

TYPES = ("ImagingStudy", "Device", "Observation", "DiagnosticReport", "Provenance", "Task")

NewDestination = Callable[[], FhirDestination]


class DemoHeaders:
    """The demonstration series as a source of headers."""

    def fetch_headers(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        found = {str(header.SOPInstanceUID): header for header in results.headers()}
        return [found[uid] for uid in sop_instance_uids]


@pytest.fixture(scope="session")
def sekmet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """One sekmet-fhir for all tests, because it starts in seconds; and its database."""
    folder = tmp_path_factory.mktemp("sekmet")
    with servers.sekmet(folder) as url:
        yield url, folder / "sekmet.db"


@pytest.fixture(params=["facade", pytest.param("sekmet", marks=pytest.mark.integration)])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Service base URL of a server that has nothing yet."""
    if request.param == "facade":
        with servers.facade(tmp_path) as url:
            yield url
    else:
        url, database = request.getfixturevalue("sekmet")
        with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            for table in ("resources", "versions", "idx", "traffic"):
                connection.execute(f"DELETE FROM {table}")
        yield url


@pytest.fixture
def new_destination(base: str) -> Iterator[NewDestination]:
    """Makes writers of one server, each with connections of its own."""
    with ExitStack() as stack:

        def new() -> FhirDestination:
            destination = FhirDestination(FhirClient(base, None, 30.0), DemoHeaders(), SYSTEMS, Language.ENGLISH)
            stack.callback(destination.close)
            return destination

        yield new


@pytest.fixture
def destination(new_destination: NewDestination) -> FhirDestination:
    return new_destination()


def totals(base: str) -> dict[str, int]:
    """How many resources of each type the server has."""
    return {kind: httpx.get(f"{base}/{kind}").json()["total"] for kind in TYPES}


def all_of(base: str, kind: str) -> list[dict[str, Any]]:
    """Resources of one type on the server."""
    found = httpx.get(f"{base}/{kind}", params={"_count": "500"}).json()
    return [entry["resource"] for entry in found.get("entry", [])]
