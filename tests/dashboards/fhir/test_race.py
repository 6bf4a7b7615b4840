"""Writers that race for the same identifier, from threads and from two stores on one file: one resource each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dashboards.fhir import query
from dashboards.fhir.store import FhirStore
from tests.dashboards.fhir.bundles import create, observation, transaction, update

WRITERS, ROUNDS = 6, 25


def test_racing_writers_double_nothing(tmp_path: Path) -> None:
    stores = [FhirStore(tmp_path / "fhir.sqlite") for _ in range(2)]
    barrier = threading.Barrier(WRITERS)

    def write(writer: int) -> list[list[int]]:
        statuses = []
        for number in range(ROUNDS):
            barrier.wait(60)
            device = {"resourceType": "Device", "identifier": [{"system": "urn:d", "value": str(number)}]}
            bundle = transaction(
                create(device, f"identifier=urn:d|{number}", name="urn:uuid:device"),
                update(
                    observation(str(number), device={"reference": "urn:uuid:device"}), f"identifier=urn:x|{number}"
                ),
            )
            statuses.append([stored.status for stored in stores[writer % 2].transact(bundle)])
        return statuses

    with ThreadPoolExecutor(WRITERS) as pool:
        statuses = list(pool.map(write, range(WRITERS)))
    for number in range(ROUNDS):
        assert sorted(one[number][0] for one in statuses) == [200] * (WRITERS - 1) + [201]
    for kind in ("Device", "Observation"):
        assert stores[0].search(query.parse(kind, [])).total == ROUNDS
    for store in stores:
        store.close()
