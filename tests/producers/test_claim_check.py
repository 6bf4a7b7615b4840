"""Claim checks redeemed at a real gateway service with the real store."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import httpx
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from producers.artifacts import MASK_MEDIA_TYPE, pack_mask, unpack_mask
from producers.claim_check import ClaimCheck, gateway_root, header_of, study_of
from schemas.errors import DestinationUnavailable, InvalidMessage, TransientFailure
from tests.producers.dicomweb.conftest import Gateway, gateway
from tests.producers.dicomweb.objects import STOW_TYPE, mr_image, part10, stow_body
from tests.tools import free_port

__all__ = ["gateway"]


@pytest.fixture
def claims() -> Iterator[ClaimCheck]:
    with ClaimCheck(timeout_s=20) as client:
        yield client


def store(gateway: Gateway, *images: Dataset) -> str:
    """WADO-RS URL of the study of these images, which are in the store."""
    body = stow_body([part10(image) for image in images])
    response = httpx.post(f"{gateway.dicom_web}/studies", content=body, headers={"Content-Type": STOW_TYPE})
    assert response.status_code == 200
    return f"{gateway.dicom_web}/studies/{images[0].StudyInstanceUID}"


def three_images() -> list[Dataset]:
    study, series = generate_uid(), generate_uid()
    return [mr_image(study, series, name="Шевченко^Тарас") for _ in range(3)]


@pytest.mark.parametrize("tail", ["1.2.3", "1.2.3/series/4.5", "1.2.3/series/4.5/instances/6.7"])
@pytest.mark.parametrize("root", ["http://127.0.0.1:8042", "https://pacs.example/gateways/one"])
def test_root_and_study_of_a_retrieve_url(root: str, tail: str) -> None:
    assert gateway_root(f"{root}/dicom-web/studies/{tail}") == root
    assert study_of(f"{root}/dicom-web/studies/{tail}") == "1.2.3"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://host/studies/1.2",
        "file:///dicom-web/studies/1",
        "http:///dicom-web/studies/1",
        "/dicom-web/studies/1",
    ],
)
def test_what_is_no_retrieve_url(url: str) -> None:
    with pytest.raises(InvalidMessage, match="no WADO-RS URL"):
        gateway_root(url)


def test_exactly_the_named_instances_in_the_named_order(gateway: Gateway, claims: ClaimCheck) -> None:
    images = three_images()
    url = store(gateway, *images)
    wanted = [images[2].SOPInstanceUID, images[0].SOPInstanceUID]
    fetched = claims.fetch_series(url, images[0].SeriesInstanceUID, wanted)
    assert [item.SOPInstanceUID for item in fetched] == wanted
    assert fetched[0].PixelData == images[2].PixelData
    assert str(fetched[0].PatientName) == "Шевченко^Тарас"


def test_a_header_of_a_study_of_which_no_instance_is_known(gateway: Gateway, claims: ClaimCheck) -> None:
    images = three_images()
    header = claims.fetch_study_header(store(gateway, *images))
    assert header.SOPInstanceUID in {image.SOPInstanceUID for image in images}
    assert str(header.PatientName) == "Шевченко^Тарас"
    with pytest.raises(TransientFailure, match="no instance of the study"):
        claims.fetch_study_header(f"{gateway.dicom_web}/studies/{generate_uid()}")


def test_headers_have_everything_but_pixels(gateway: Gateway, claims: ClaimCheck) -> None:
    images = three_images()
    images[0].PixelSpacing = [0.859375, 0.333]
    images[0].ImageComments = "x" * 300
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "12738006", "SCT", "Головний мозок"
    images[0].AnatomicRegionSequence = [item]
    url = store(gateway, *images)
    uids = [image.SOPInstanceUID for image in images]
    headers = claims.fetch_headers(f"{url}/series/1/instances/2", images[0].SeriesInstanceUID, uids)
    assert [header.SOPInstanceUID for header in headers] == uids
    assert "PixelData" not in headers[0]
    assert headers[0].ImagePositionPatient == [-110.5, 0.1, 12]
    assert headers[0].PixelSpacing[1] == 0.333
    assert headers[0].AnatomicRegionSequence[0].CodeMeaning == "Головний мозок"
    assert headers[0].SpecificCharacterSet == "ISO_IR 192"
    assert (headers[0].Rows, headers[0].Columns, headers[0].SamplesPerPixel) == (8, 6, 1)


def test_headers_can_be_written_again(gateway: Gateway, claims: ClaimCheck) -> None:
    (image, *_) = three_images()
    image.add_new(0x00200032, "DS", ["-.12345678901234", "1e-05", "0.00001234567890"])
    url = store(gateway, image)
    (header,) = claims.fetch_headers(url, image.SeriesInstanceUID, [image.SOPInstanceUID])
    buffer = BytesIO()
    header.save_as(buffer, implicit_vr=False, little_endian=True)
    assert header.ImagePositionPatient == pytest.approx([-0.12345678901234, 1e-05, 1.234567890e-05])


def test_missing_instance_series_and_study_may_come_yet(gateway: Gateway, claims: ClaimCheck) -> None:
    (image, *_) = three_images()
    url = store(gateway, image)
    with pytest.raises(TransientFailure, match=r"1 of 2 instances, 1\.2\.3 is missing"):
        claims.fetch_series(url, image.SeriesInstanceUID, [image.SOPInstanceUID, "1.2.3"])
    with pytest.raises(TransientFailure, match="404"):
        claims.fetch_headers(url, "1.2.3", ["1.2.3"])
    with pytest.raises(TransientFailure, match="404"):
        claims.fetch_series(f"{gateway.dicom_web}/studies/1.2.3", "1.2.3", ["1.2.3"])


def test_uid_with_leading_zeros_is_fetched(gateway: Gateway, claims: ClaimCheck) -> None:
    image = mr_image("1.2.03")
    url = store(gateway, image)
    assert len(claims.fetch_series(url, image.SeriesInstanceUID, [image.SOPInstanceUID])) == 1


def test_gateway_away() -> None:
    url = f"http://127.0.0.1:{free_port()}/dicom-web/studies/1.2.3"
    with ClaimCheck(timeout_s=5) as claims:
        with pytest.raises(DestinationUnavailable, match="check that its process runs"):
            claims.fetch_series(url, "1.2", ["1.2"])
        with pytest.raises(DestinationUnavailable, match="check that its process runs"):
            claims.put_artifact(url, "mask", MASK_MEDIA_TYPE, b"x", (1, 1, 8))


@pytest.fixture
def silent_host() -> Iterator[str]:
    """URL of a study at a host that answers no connection request: its queue of them is full."""
    with socket.socket() as listener, ExitStack() as opened:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = opened.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/dicom-web/studies/1.2.3"


def test_host_that_is_gone_costs_seconds_not_the_whole_timeout(silent_host: str, claims: ClaimCheck) -> None:
    started = time.monotonic()
    with pytest.raises(DestinationUnavailable):
        claims.fetch_series(silent_host, "1.2", ["1.2"])
    with pytest.raises(DestinationUnavailable):
        claims.put_artifact(silent_host, "mask", MASK_MEDIA_TYPE, b"x", (1, 1, 8))
    assert time.monotonic() - started < 15


class _Broken(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        pass


def test_object_that_the_gateway_fails_to_serve_is_not_waited_for_without_end(claims: ClaimCheck) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Broken)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(TransientFailure, match="HTTP 500"):
            claims.fetch_series(f"http://127.0.0.1:{server.server_port}/dicom-web/studies/1.2", "1.2", ["1.2"])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class _Overloaded(BaseHTTPRequestHandler):
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        self.send_response(503)
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_overloaded_gateway_is_asked_once_and_its_wish_is_kept(claims: ClaimCheck) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Overloaded)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(DestinationUnavailable) as caught:
            claims.fetch_headers(f"http://127.0.0.1:{server.server_port}/dicom-web/studies/1.2", "1.2", ["1.2"])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    assert caught.value.retry_after_s == 7
    assert _Overloaded.requests == 1


def test_mask_there_and_back(gateway: Gateway, claims: ClaimCheck) -> None:
    mask = np.random.default_rng(3).random((3, 8, 6)) < 0.5
    url = f"{gateway.dicom_web}/studies/1.2.3"
    artifact = claims.put_artifact(url, "mask", MASK_MEDIA_TYPE, pack_mask(mask), mask.shape)
    assert artifact == claims.put_artifact(url, "mask", MASK_MEDIA_TYPE, pack_mask(mask), mask.shape)
    assert artifact.retrieve_url == f"{gateway.root_url}/artifacts/{artifact.sha256}"
    assert artifact.size_bytes == len(pack_mask(mask))
    assert np.array_equal(unpack_mask(claims.get_artifact(artifact), artifact.shape), mask)


def test_artifact_that_is_missing_or_another(gateway: Gateway, claims: ClaimCheck) -> None:
    artifact = claims.put_artifact(f"{gateway.dicom_web}/studies/1", "mask", MASK_MEDIA_TYPE, b"one", (1,))
    with pytest.raises(TransientFailure, match="other bytes"):
        claims.get_artifact(replace(artifact, sha256=hashlib.sha256(b"two").hexdigest()))
    gone = f"{gateway.root_url}/artifacts/{hashlib.sha256(b'two').hexdigest()}"
    with pytest.raises(TransientFailure, match="404"):
        claims.get_artifact(replace(artifact, retrieve_url=gone))


def test_many_threads_share_one_client(gateway: Gateway, claims: ClaimCheck) -> None:
    images = three_images()
    url = store(gateway, *images)
    uids = [image.SOPInstanceUID for image in images]

    def fetch(_: int) -> int:
        return len(claims.fetch_series(url, images[0].SeriesInstanceUID, uids))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fetch, range(16))) == [3] * 16


def test_header_leaves_out_bulk_data_and_what_is_no_value() -> None:
    header = header_of(
        {
            "00100020": {"vr": "LO", "Value": ["P-1"]},
            "00200013": {"vr": "IS", "Value": ["no number"]},
            "7FE00010": {"vr": "OW", "BulkDataURI": "http://host/bulk"},
            "00081140": {"vr": "SQ", "Value": [{"00420011": {"vr": "OB", "BulkDataURI": "http://host/bulk"}}]},
        }
    )
    assert [element.keyword for element in header] == ["ReferencedImageSequence", "PatientID"]
    assert len(header.ReferencedImageSequence[0]) == 0
