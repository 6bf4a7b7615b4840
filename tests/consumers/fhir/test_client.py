"""Every answer of a FHIR server becomes the error that says what the writer must do, and tells nobody's name."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import pytest

from consumers.fhir.client import FhirClient
from schemas.errors import (
    ConfigurationError,
    DestinationUnavailable,
    PermanentRejection,
    ScanstreamError,
    TransientFailure,
)
from schemas.events import DeliveryStatus
from tests.consumers import results
from tests.consumers.fhir.bundles import delivered
from tests.consumers.fhir.servers import Script, scripted
from tests.tools import free_port

BUNDLE: dict[str, Any] = delivered(results.result_with_findings())
PATIENT_ID = str(results.headers()[0].PatientID)


@pytest.fixture
def server() -> Iterator[tuple[FhirClient, Script]]:
    with scripted() as (url, script):
        client = FhirClient(url, "s3cret", 5.0)
        yield client, script
        client.close()


def response(*statuses: str) -> dict[str, Any]:
    entries = [{"response": {"status": status, "location": f"Observation/{n}/_history/1"}} for n, status in
               enumerate(statuses)]  # fmt: skip
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}


def outcome(diagnostics: str) -> dict[str, Any]:
    where = ["Bundle.entry[0]"]
    issue = {"severity": "error", "code": "processing", "diagnostics": diagnostics, "expression": where}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def test_each_entry_has_its_own_outcome(server: tuple[FhirClient, Script]) -> None:
    client, script = server
    script.answer(200, response("200 OK", "201 Created", "201", "200 OK", "201", "201"))
    objects = client.transact(BUNDLE)
    kinds = ["ImagingStudy", "Device", "Observation", "DiagnosticReport", "Provenance", "Task"]
    assert [o.object_type for o in objects] == kinds
    assert [o.status_code for o in objects] == [200, 201, 201, 200, 201, 201]
    assert objects[4].identifier == BUNDLE["entry"][4]["resource"]["meta"]["tag"][0]["code"]
    assert {o.status for o in objects} == {DeliveryStatus.STORED}
    assert objects[1].url == f"{client.base_url}/Observation/1"
    assert objects[0].identifier == f"urn:oid:{results.result_with_findings().study_instance_uid}"
    method, path, headers, body = script.asked[0]
    assert (method, path) == ("POST", "/fhir")
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Content-Type"] == "application/fhir+json"
    assert body.startswith(b'{"resourceType":"Bundle"')


def test_an_entry_that_was_refused_alone_is_failed(server: tuple[FhirClient, Script]) -> None:
    client, script = server
    answer = response("200 OK", "201 Created", "422 Unprocessable", "200 OK", "201", "201")
    answer["entry"][2]["response"]["outcome"] = outcome(f"no such patient {PATIENT_ID}")
    script.answer(200, answer)
    failed = client.transact(BUNDLE)[2]
    assert failed.status is DeliveryStatus.FAILED
    assert failed.status_code == 422
    assert PATIENT_ID not in str(failed.reason)


@pytest.mark.parametrize("status", [400, 409, 412, 413, 422])
def test_refusals_for_good(server: tuple[FhirClient, Script], status: int) -> None:
    client, script = server
    script.answer(status, outcome(f"Patient?identifier=x|{PATIENT_ID} is wrong, {PATIENT_ID} " + "long " * 100))
    with pytest.raises(PermanentRejection) as caught:
        client.transact(BUNDLE)
    assert caught.value.code == status
    text = str(caught.value)
    assert PATIENT_ID not in text
    assert "Bundle.entry[0]" in text
    assert len(text) < 400
    assert len(script.asked) == 1


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 408, 429, 500, 502, 503, 504])
def test_a_server_that_is_away_or_refuses_everybody_is_waited_for(
    server: tuple[FhirClient, Script], status: int
) -> None:
    client, script = server
    script.answer(status, b"<html>no</html>", Content_Type="text/html")
    with pytest.raises(DestinationUnavailable, match=str(status)):
        client.transact(BUNDLE)
    with pytest.raises(DestinationUnavailable, match=str(status)):
        client.probe()


@pytest.mark.parametrize("status", [500, 501, 507])
def test_a_server_that_fails_on_one_bundle_does_not_stop_the_others(
    server: tuple[FhirClient, Script], status: int
) -> None:
    client, script = server
    script.answer(status, outcome(f"null pointer at {PATIENT_ID}"))
    script.probes_succeed = True
    with pytest.raises(TransientFailure, match=str(status)) as caught:
        client.transact(BUNDLE)
    assert PATIENT_ID not in str(caught.value)
    assert [asked[0] for asked in script.asked] == ["POST", "GET"]


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_says_how_long(server: tuple[FhirClient, Script], status: int) -> None:
    client, script = server
    script.answer(status, outcome("busy"), Retry_After="17")
    with pytest.raises(DestinationUnavailable) as caught:
        client.transact(BUNDLE)
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize(
    "body",
    [
        b"<html>sign in</html>",
        b"",
        b"[]",
        b"{}",
        b'{"type": "transaction-response", "entry": []}',
        b'{"type": "transaction-response", "entry": [1, 2, 3, 4, 5, 6]}',
        b'{"type": "batch-response", "entry": [{}, {}, {}, {}, {}, {}]}',
    ],
)
def test_an_answer_that_is_not_fhir_may_pass(server: tuple[FhirClient, Script], body: bytes) -> None:
    client, script = server
    script.answer(200, body)
    with pytest.raises(TransientFailure):
        client.transact(BUNDLE)
    with pytest.raises(TransientFailure):
        client.search("Patient", "identifier", ["x|1"])


def test_a_search_is_a_form_and_says_no_identifier_in_its_address(server: tuple[FhirClient, Script]) -> None:
    client, script = server
    patient = {"resourceType": "Patient", "id": "7"}
    others = [{"resource": {"resourceType": "OperationOutcome"}}, {"resource": 3}, 5]
    script.answer(200, {"type": "searchset", "entry": [{"resource": patient}, *others]})
    assert client.search("Patient", "identifier", [f"urn:x|{PATIENT_ID}", "urn:x|Ж&="]) == [patient]
    method, path, headers, body = script.asked[0]
    assert (method, path) == ("POST", "/fhir/Patient/_search")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(body.decode())["identifier"] == [f"urn:x|{PATIENT_ID},urn:x|Ж&="]
    script.answer(200, {"type": "searchset"})
    assert client.search("Patient", "identifier", ["x"]) == []
    script.answer(400, outcome("Ж,7 of urn:x: no such thing"))
    with pytest.raises(PermanentRejection, match=r"… of …: no such thing"):
        client.search("Patient", "identifier", [r"urn:x|Ж\,7", "|2"])


def test_matches_that_fill_more_than_a_page_are_asked_for_in_parts(server: tuple[FhirClient, Script]) -> None:
    client, script = server
    found = {"resource": {"resourceType": "Task", "id": "7"}}
    further = [{"relation": "next", "url": "http://elsewhere.example/page2"}]
    script.answer(200, {"type": "searchset", "link": further, "entry": [found]})
    assert client.search("Task", "identifier", ["a", "b", "c"]) == [found["resource"]]
    asked = [parse_qs(body.decode())["identifier"][0] for *_, body in script.asked]
    assert asked == ["a,b,c", "a", "b,c", "b", "c"]


@pytest.mark.parametrize("status", [400, 403, 404, 501])
def test_what_is_optional_may_not_be_offered(server: tuple[FhirClient, Script], status: int) -> None:
    client, script = server
    script.answer(status, outcome(f"no {PATIENT_ID} for you"))
    assert client.search("Patient", "identifier", [f"x|{PATIENT_ID}"], optional=True) == []
    with pytest.raises(ScanstreamError) as caught:
        client.search("Task", "identifier", [f"x|{PATIENT_ID}"])
    assert PATIENT_ID not in str(caught.value)


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    def answer(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"type":')

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        client = FhirClient(f"http://127.0.0.1:{listener.getsockname()[1]}/fhir", None, 5.0)
        for attempt in (lambda: client.search("Task", "_id", ["1"]), client.probe):
            with pytest.raises(DestinationUnavailable, match="does not answer"):
                attempt()
        thread.join(10)
        client.close()


def test_an_answer_that_trickles_is_not_waited_for_without_limit() -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
            while True:
                connection.sendall(b" ")

    moments = iter(range(0, 1_000_000, 10))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/fhir"
        client = FhirClient(url, None, 5.0, clock=lambda: float(next(moments)))
        with pytest.raises(DestinationUnavailable, match="does not end"):
            client.probe()
        client.close()
        thread.join(10)


def test_nobody_listens() -> None:
    client = FhirClient(f"http://127.0.0.1:{free_port()}/fhir", None, 5.0)
    with pytest.raises(DestinationUnavailable, match="SCANSTREAM_FHIR_BASE_URL"):
        client.transact(BUNDLE)
    client.close()


def test_a_silent_server_is_not_waited_for_without_limit() -> None:
    with scripted() as (url, script):
        script.silent = threading.Event()
        client = FhirClient(url, None, 0.3)
        with pytest.raises(DestinationUnavailable, match="ReadTimeout"):
            client.transact(BUNDLE)
        script.silent.set()
        client.close()


def test_a_capability_statement_is_enough_for_a_probe(server: tuple[FhirClient, Script]) -> None:
    client, script = server
    script.answer(200, {"resourceType": "CapabilityStatement"})
    client.probe()
    assert script.asked[0][:2] == ("GET", "/fhir/metadata")
    script.answer(200, b"<html>sign in</html>")
    with pytest.raises(DestinationUnavailable):
        client.probe()


def test_a_wrong_base_url_is_said_at_the_start() -> None:
    for wrong in ("", "ftp://x", "fhir.example.org", "http://", "http://x:port", "http://x:70000"):
        with pytest.raises(ConfigurationError, match="SCANSTREAM_FHIR_BASE_URL"):
            FhirClient(wrong, None, 5.0)
