"""A transaction that met another writer's is made anew, a bounded number of times; other refusals are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from consumers.fhir.client import FhirClient
from consumers.fhir.destination import TRIES, FhirDestination
from schemas.errors import PermanentRejection, TransientFailure
from schemas.events import Decision, DeliveryStatus, ObjectOutcome
from schemas.terminology import Language
from tests.consumers import results
from tests.consumers.fhir import servers
from tests.consumers.fhir.bundles import SYSTEMS, judged
from tests.consumers.fhir.conftest import DemoHeaders, totals


class Meeting(FhirClient):
    """Client of a real server whose first transactions are refused."""

    refusals: list[int]
    sent: int

    def transact(self, bundle: dict[str, Any]) -> tuple[ObjectOutcome, ...]:
        self.sent += 1
        if self.refusals:
            code = self.refusals.pop(0)
            raise PermanentRejection(f"the FHIR server answered {code}", code)
        return super().transact(bundle)


New = Callable[[list[int]], tuple[FhirDestination, Meeting]]


@pytest.fixture
def new(tmp_path: Path) -> Iterator[New]:
    with servers.facade(tmp_path) as url:
        clients: list[Meeting] = []

        def make(refusals: list[int]) -> tuple[FhirDestination, Meeting]:
            client = Meeting(url, None, 30.0)
            client.refusals, client.sent = refusals, 0
            clients.append(client)
            return FhirDestination(client, DemoHeaders(), SYSTEMS, Language.ENGLISH), client

        yield make
        for client in clients:
            client.close()


def test_who_met_another_writer_looks_again(new: New) -> None:
    result = results.result_with_findings()
    destination, client = new([409, 412])
    assert {one.status for one in destination.deliver(result)} == {DeliveryStatus.STORED}
    assert client.sent == 3
    reviewer, client = new([412])
    assert {one.status for one in reviewer.review(judged(result, Decision.CONFIRMED))} == {DeliveryStatus.STORED}
    assert client.sent == 2
    assert totals(client.base_url)["Provenance"] == 2


@pytest.mark.parametrize(("code", "tries"), [(409, TRIES), (412, TRIES), (413, 1), (422, 1)])
def test_what_is_refused_for_good_ends(new: New, code: int, tries: int) -> None:
    destination, client = new([code] * 20)
    with pytest.raises(PermanentRejection) as caught:
        destination.deliver(results.result_with_findings())
    assert (caught.value.code, client.sent) == (code, tries)
    assert totals(client.base_url)["DiagnosticReport"] == 0


def test_duplicates_on_the_server_are_said(new: New) -> None:
    result = results.result_with_findings()
    destination, client = new([])
    destination.deliver(result)
    (report,) = client.search("DiagnosticReport", "status", ["preliminary"])
    copy = {**report, "id": "copy"}
    request = {"method": "PUT", "url": "DiagnosticReport/copy"}
    entry = {"fullUrl": f"{client.base_url}/DiagnosticReport/copy", "resource": copy, "request": request}
    client.transact({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    with pytest.raises(PermanentRejection, match="merge them") as caught:
        destination.deliver(result)
    assert caught.value.code == 412


class Blind(FhirClient):
    """Client of a server whose searches give nothing, as where the account may write but not read."""

    def search(
        self, resource_type: str, parameter: str, values: Sequence[str], *, optional: bool = False
    ) -> list[dict[str, Any]]:
        return []


def test_what_another_made_is_not_said_to_be_written(new: New) -> None:
    result = results.result_with_findings()
    destination, client = new([])
    destination.deliver(result)
    blind = Blind(client.base_url, None, 30.0)
    with pytest.raises(TransientFailure, match="searches do not give"):
        FhirDestination(blind, DemoHeaders(), SYSTEMS, Language.ENGLISH).review(judged(result, Decision.CONFIRMED))
    blind.close()


def test_a_report_that_another_client_changed_takes_verdicts(new: New) -> None:
    result = results.result_with_findings()
    destination, client = new([])
    destination.deliver(result)
    (report,) = client.search("DiagnosticReport", "status", ["preliminary"])
    place = f"DiagnosticReport/{report['id']}"
    changed = {name: value for name, value in report.items() if name != "issued"} | {"status": "final"}
    entry = {
        "fullUrl": f"{client.base_url}/{place}",
        "resource": changed,
        "request": {"method": "PUT", "url": place},
    }
    client.transact({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    written = destination.review(judged(result, Decision.CONFIRMED))
    assert {one.status for one in written} == {DeliveryStatus.STORED}
