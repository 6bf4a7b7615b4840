"""A server may leave a search parameter out that it does not know: what it gives then is not taken for a match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from consumers.fhir.client import FhirClient
from consumers.fhir.destination import FhirDestination
from consumers.fhir.known import Kept
from consumers.fhir.links import Links
from consumers.fhir.lookup import Lookup
from schemas.events import Decision, DeliveryStatus
from schemas.terminology import Language
from tests.consumers import results
from tests.consumers.fhir import servers
from tests.consumers.fhir.bundles import SYSTEMS, judged
from tests.consumers.fhir.conftest import DemoHeaders, all_of


class Lenient(FhirClient):
    """Client of a server that answers each search with all that it has of the type."""

    def search(
        self, resource_type: str, parameter: str, values: Sequence[str], *, optional: bool = False
    ) -> list[dict[str, Any]]:
        found = httpx.get(f"{self.base_url}/{resource_type}", params={"_count": "500"}).json()
        return [entry["resource"] for entry in found.get("entry", [])]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Lenient]:
    with servers.facade(tmp_path) as url:
        client = Lenient(url, None, 30.0)
        yield client
        client.close()


def test_another_study_is_left_alone_and_each_verdict_arrives(client: Lenient) -> None:
    destination = FhirDestination(client, DemoHeaders(), SYSTEMS, Language.ENGLISH)
    first = results.result_with_findings()
    finding = replace(first.findings[0], finding_id="f-2", tracking_uid="2.25.77", task_id="task-2")
    second = replace(
        first, event_id="event-2", task_id="task-2", study_instance_uid="2.25.99", revision=2, findings=(finding,)
    )
    destination.deliver(first)
    second_known = Lookup(client).known(second)
    assert (second_known.report, second_known.task, second_known.earlier, second_known.later) == (
        None,
        None,
        (),
        False,
    )
    destination.review(judged(first, Decision.CONFIRMED))
    again = judged(first, Decision.REJECTED)
    destination.review(replace(again, event_id="another", occurred_at=again.occurred_at.replace(year=2030)))
    assert len(all_of(client.base_url, "Provenance")) == 3
    assert {one["status"] for one in all_of(client.base_url, "Observation")} == {"entered-in-error"}


def test_observations_of_others_are_not_cancelled(client: Lenient) -> None:
    destination = FhirDestination(client, DemoHeaders(), SYSTEMS, Language.ENGLISH)
    first = results.result_with_findings()
    destination.deliver(first)
    (report,) = all_of(client.base_url, "DiagnosticReport")
    held = Lookup(client)._held([Kept({**report, "result": [{"reference": "Observation/other"}]})])
    assert list(held) == []


def test_the_only_patient_of_a_server_is_not_everybody(client: Lenient) -> None:
    patient = {"resourceType": "Patient", "identifier": [{"system": "urn:other", "value": "1"}]}
    entry = {"resource": patient, "request": {"method": "POST", "url": "Patient"}, "fullUrl": "urn:uuid:1"}
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert httpx.post(client.base_url, json=sent).status_code == 200
    subject = {"type": "Patient", "identifier": {"system": "urn:mine", "value": "4711"}}
    assert Lookup(client).resolved(Links(subject)).subject == subject


def test_a_cancelled_report_is_not_said_to_be_judged(client: Lenient) -> None:
    destination = FhirDestination(client, DemoHeaders(), SYSTEMS, Language.ENGLISH)
    first = results.result_with_findings()
    destination.deliver(first)
    finding = replace(first.findings[0], finding_id="f-2", task_id="task-2")
    destination.deliver(replace(first, event_id="event-2", task_id="task-2", revision=2, findings=(finding,)))
    (left,) = destination.deliver(first)
    assert (left.status, left.reason) == (DeliveryStatus.SKIPPED, "the report of a later revision is there")
