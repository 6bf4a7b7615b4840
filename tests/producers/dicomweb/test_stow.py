"""STOW-RS against the real store over real HTTP: an outcome for every instance, whatever comes."""

from __future__ import annotations

import socket
from xml.etree import ElementTree

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import generate_uid

from producers.dicomweb import stow_routes
from producers.store import PutKind, PutOutcome, Received, Status
from schemas.events import Origin
from tests.producers.dicomweb.conftest import Gateway
from tests.producers.dicomweb.objects import MALFORMED, STOW_TYPE, data_set_bytes, mr_image, part10, stow_body


def send(http: httpx.Client, files: list[bytes], path: str = "/studies", **headers: str) -> httpx.Response:
    return http.post(path, content=stow_body(files), headers={"Content-Type": STOW_TYPE, **headers})


def failures(response: httpx.Response) -> list[int]:
    sequences = [response.json().get(tag, {}).get("Value", []) for tag in ("00081198", "0008119A")]
    return [item["00081197"]["Value"][0] for items in sequences for item in items]


def test_dicomweb_client_stores_a_study(gateway: Gateway) -> None:
    study = generate_uid()
    images = [mr_image(study), mr_image(study)]
    answer = DICOMwebClient(gateway.dicom_web).store_instances(images)
    assert answer.RetrieveURL == f"{gateway.dicom_web}/studies/{study}"
    assert {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence} == {
        image.SOPInstanceUID for image in images
    }
    assert "FailedSOPSequence" not in answer
    assert [instance.origin for instance in gateway.received] == [Origin.STOW_RS, Origin.STOW_RS]


def test_a_stored_instance_has_its_own_retrieve_url_that_works(http: httpx.Client) -> None:
    response = send(http, [part10(mr_image())])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/dicom+json"
    (item,) = response.json()["00081199"]["Value"]
    assert http.get(item["00081190"]["Value"][0]).status_code == 200


def test_good_and_bad_part_give_202_and_the_good_one_is_stored(http: httpx.Client) -> None:
    image = mr_image()
    response = send(http, [part10(image), b"this is no DICOM file"])
    assert response.status_code == 202
    assert len(response.json()["00081199"]["Value"]) == 1
    assert response.json()["0008119A"]["Value"] == [
        {"00081197": {"vr": "US", "Value": [Status.CANNOT_UNDERSTAND]}}
    ]
    assert http.get(f"/studies/{image.StudyInstanceUID}").status_code == 200


def test_nothing_stored_is_409(http: httpx.Client) -> None:
    response = send(http, [b"this is no DICOM file", b""])
    assert response.status_code == 409
    assert len(response.json()["0008119A"]["Value"]) == 2


def test_the_same_instance_again_is_a_success(http: httpx.Client) -> None:
    file = part10(mr_image())
    assert send(http, [file]).status_code == 200
    again = send(http, [file, file])
    assert again.status_code == 200
    assert len(again.json()["00081199"]["Value"]) == 2


def test_other_bytes_under_the_same_uid_are_a_conflict(http: httpx.Client) -> None:
    image = mr_image()
    assert send(http, [part10(image)]).status_code == 200
    image.PatientID = "P-2"
    response = send(http, [part10(image)])
    assert response.status_code == 409
    assert failures(response) == [Status.DUPLICATE_SOP_INSTANCE]


def test_instance_of_another_study_than_the_addressed_one(http: httpx.Client) -> None:
    here, elsewhere = mr_image("1.2.3"), mr_image("1.2.4")
    response = send(http, [part10(here), part10(elsewhere)], "/studies/1.2.3")
    assert response.status_code == 202
    assert failures(response) == [Status.DATA_SET_DOES_NOT_MATCH]
    assert http.get("/studies/1.2.4").status_code == 404


def test_instance_without_uids(http: httpx.Client) -> None:
    image = mr_image()
    file = part10(image).replace(b"\x20\x00\x0d\x00UI", b"\x20\x00\x0c\x00UI")
    assert send(http, [file]).status_code == 409


def test_the_malformed_file_is_kept_byte_for_byte(http: httpx.Client) -> None:
    file = MALFORMED.read_bytes()
    response = send(http, [file])
    assert response.status_code == 200
    (item,) = response.json()["00081199"]["Value"]
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    back = http.get(item["00081190"]["Value"][0], headers=accept).content
    assert data_set_bytes(back) == data_set_bytes(file)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/dicom", 415),
        ('multipart/related; type="application/dicom+json"; boundary=b', 415),
        ("multipart/form-data; boundary=b", 415),
        ("nonsense", 415),
        ('multipart/related; type="application/dicom"', 400),
        (f'multipart/related; type="application/dicom"; boundary={"x" * 257}', 400),
    ],
)
def test_wrong_content_type(http: httpx.Client, content_type: str, status: int) -> None:
    response = http.post("/studies", content=stow_body([b"x"]), headers={"Content-Type": content_type})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "closing delimiter"),
        (b"--b0undary--", "no instance"),
        (b"--b0undary\r\nContent-Type: application/dicom\r\n\r\ncut off", "closing delimiter"),
        (b"--b0undary\r\nX: " + b"y" * 20_000 + b"\r\n\r\nx\r\n--b0undary--", "16384 bytes"),
        (b"--b0undary\r\nno colon\r\n\r\nx\r\n--b0undary--", "colon"),
    ],
)
def test_malformed_multipart_is_400_with_a_sentence(http: httpx.Client, body: bytes, sentence: str) -> None:
    response = http.post("/studies", content=body, headers={"Content-Type": STOW_TYPE})
    assert response.status_code == 400
    assert sentence in response.json()["detail"]


def test_what_was_complete_before_a_cut_is_stored(http: httpx.Client) -> None:
    image = mr_image()
    body = stow_body([part10(image), part10(mr_image())])
    response = http.post("/studies", content=body[:-500], headers={"Content-Type": STOW_TYPE})
    assert response.status_code == 400
    assert http.get(f"/studies/{image.StudyInstanceUID}").status_code == 200


def test_the_answer_may_be_xml(http: httpx.Client) -> None:
    image = mr_image()
    response = send(http, [part10(image)], Accept="application/dicom+xml")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/dicom+xml")
    root = ElementTree.fromstring(response.text)
    assert str(image.SOPInstanceUID) in [element.text for element in root.findall(".//{*}Value")]


def test_an_answer_in_another_form_is_406(http: httpx.Client) -> None:
    response = send(http, [part10(mr_image())], Accept="text/html")
    assert response.status_code == 406
    assert "application/dicom+json" in response.json()["detail"]


def test_more_parts_than_outcomes_are_kept_is_413(http: httpx.Client) -> None:
    image = mr_image()
    body = stow_body([part10(image), *[b""] * stow_routes.MAX_PARTS])
    response = http.post("/studies", content=body, headers={"Content-Type": STOW_TYPE})
    assert response.status_code == 413
    assert "further requests" in response.json()["detail"]
    assert http.get(f"/studies/{image.StudyInstanceUID}").status_code == 200


def test_too_large_part_is_413_and_the_connection_goes_on(http: httpx.Client) -> None:
    assert send(http, [bytes(20_000_001)]).status_code == 413
    assert send(http, [part10(mr_image())]).status_code == 200


def test_large_instance_goes_through_the_spool_unchanged(http: httpx.Client) -> None:
    image = mr_image()
    image.Rows = image.Columns = 2300
    image.PixelData = bytes(range(250)) * (2300 * 2300 * 2 // 250)
    file = part10(image)
    assert len(file) > 8 * 1024 * 1024
    response = send(http, [file])
    assert response.status_code == 200
    url = response.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
    back = http.get(url, headers={"Accept": "application/dicom"}).content
    assert data_set_bytes(back) == data_set_bytes(file)


def test_part_of_another_type_is_another_failure(http: httpx.Client) -> None:
    body = stow_body([part10(mr_image())], "application/dicom+json")
    assert http.post("/studies", content=body, headers={"Content-Type": STOW_TYPE}).status_code == 409


def test_full_disk_is_503_with_retry_after(
    gateway: Gateway, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(received: object) -> PutOutcome:
        return PutOutcome(PutKind.REFUSED, Status.OUT_OF_RESOURCES, "the disk is full")

    monkeypatch.setattr(gateway.store, "put", full)
    response = send(http, [part10(mr_image())])
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


def test_full_disk_is_said_before_the_body_is_sent(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.store, "is_full", lambda: True)
    host, port = gateway.root_url.removeprefix("http://").split(":")
    head = (
        "POST /dicom-web/studies HTTP/1.1\r\nHost: gateway\r\nExpect: 100-continue\r\n"
        f"Content-Length: 1000000000\r\nContent-Type: {STOW_TYPE}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 30" in answer.lower()
    assert list((gateway.store.root / "incoming").iterdir()) == []


def test_disk_that_fills_up_during_a_request_refuses_the_rest(
    gateway: Gateway, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, stored = gateway.store.put, []

    async def until_full(received: Received) -> PutOutcome:
        if stored:
            return PutOutcome(PutKind.REFUSED, Status.OUT_OF_RESOURCES, "the disk is full")
        stored.append(received)
        return await put(received)

    monkeypatch.setattr(gateway.store, "put", until_full)
    response = send(http, [part10(mr_image()), part10(mr_image())])
    assert response.status_code == 202
    assert failures(response) == [Status.OUT_OF_RESOURCES]


def test_invalid_study_uid_in_the_path(http: httpx.Client) -> None:
    response = send(http, [part10(mr_image())], "/studies/not-a-uid")
    assert response.status_code == 400
    assert "not a UID" in response.json()["detail"]


def test_patient_identity_is_in_no_answer_and_no_log(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    image = mr_image("1.2.3", name="Секретна^Особа")
    texts = [send(http, [part10(image), b"bad"]).text, send(http, [part10(image)], "/studies/1.2.4").text]
    image.StudyDescription = "Changed"
    texts.append(send(http, [part10(image)]).text)
    logged = [str(vars(record)) for record in caplog.records]
    assert logged
    assert not any("Секретна" in text or "P-1" in text for text in [*texts, *logged])
