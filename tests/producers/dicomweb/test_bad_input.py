"""Whatever a stranger sends gets a status of the standard with a sentence, and never a 500."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.producers.dicomweb.conftest import Gateway, running_gateway
from tests.producers.dicomweb.objects import STOW_TYPE, mr_image, part10, stow_body

SQL = "1'%20OR%20'1'='1"
REFUSALS = {400, 403, 404, 405, 406, 414, 415, 416}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests of this file."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def http(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.dicom_web, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def instance(http: httpx.Client) -> str:
    image = mr_image("1.2.3", "1.2.3.4")
    http.post("/studies", content=stow_body([part10(image)]), headers={"Content-Type": STOW_TYPE})
    return f"/studies/1.2.3/series/1.2.3.4/instances/{image.SOPInstanceUID}"


@pytest.mark.parametrize(
    "path",
    [
        f"/studies/{SQL}",
        f"/studies/1.2.3/series/{SQL}/metadata",
        "/studies/1.2.3%00",
        "/studies/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/studies/../../../etc/passwd",
        "/studies/" + "1" * 65,
        "/studies/" + "1." * 5000 + "1",
        "/studies/１.２",
        "/studies/1.2.3/bulkdata/7FE00010",
        "{instance}/frames/" + "1," * 5000 + "x",
        "{instance}/frames/99999999999999999999999",
        "{instance}/frames/" + "9" * 5000,
        "{instance}/frames/1%00",
        "{instance}/frames/-1/rendered",
        "{instance}/bulkdata/../../../../etc/passwd",
        "{instance}/bulkdata/7FE00010/99999999999999999999/7FE00010",
        "{instance}/bulkdata/" + "00081140/1/" * 500 + "00081140",
        "{instance}/bulkdata/FFFFFFFF",
        "{instance}/rendered?viewport=1e308,1e308",
        "{instance}/rendered?viewport=99999999999999999999,1",
        "{instance}/rendered?viewport=" + "1," * 5000,
        "{instance}/rendered?window=0,1e-320,sigmoid%00",
        "{instance}/thumbnail?viewport=-1,-1",
        "/studies?StudyDate=%27;DROP%20TABLE%20studies",
        "/studies?PatientID=%00",
        "/studies?%00=1",
        "/studies?" + "a" * 9000 + "=1",
        "/studies?limit=" + "9" * 5000,
        "/studies?offset=-1",
        "/studies?StudyInstanceUID=" + ",".join(["1.2"] * 10_001),
        "/instances?Rows=1e3",
        "/instances?InstanceNumber=%D9%A1",
        "/studies?accept=nonsense/none",
    ],
)
def test_a_path_or_query_that_is_none(http: httpx.Client, instance: str, path: str) -> None:
    response = http.get(path.replace("{instance}", instance))
    assert response.status_code in REFUSALS, response.text[:200]
    assert http.get(instance).status_code == 200


@pytest.mark.parametrize(
    "value", [SQL, "';DROP TABLE studies;--", "%", "_", "[", "[a-z]*", "\\", "*" * 1000, "?" * 1000, "�", '"']
)
def test_a_value_that_matches_nothing_is_no_error(http: httpx.Client, instance: str, value: str) -> None:
    for key in ("PatientID", "AccessionNumber", "StudyDescription"):
        response = http.get("/studies", params={key: value})
        assert response.status_code in (200, 204)
        assert (response.status_code == 200) == (value == "*" * 1000)
    for fuzzy in ("true", "false"):
        named = http.get("/studies", params={"PatientName": value, "fuzzymatching": fuzzy})
        assert named.status_code in (200, 204)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "DELETE", "POST", "OPTIONS"])
def test_methods_that_are_not_served(http: httpx.Client, instance: str, method: str) -> None:
    assert http.request(method, f"{instance}/metadata").status_code in REFUSALS


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /dicom-web/studies HTTP/1.1\r\nHost: x\r\nRange: bytes=\xff\r\n\r\n",
        "GET /dicom-web/studies HTTP/1.1\r\nHost: x\r\nAccept: \xff\xfe\r\n\r\n",
        "GET /dicom-web/studies?%ZZ=%E0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /dicom-web/studies/%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "GET dicom-web HTTP/9.9\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
def test_bytes_that_are_no_request(gateway: Gateway, request_text: str) -> None:
    host, port = gateway.root_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request_text.encode("latin-1"))
        answer = connection.recv(65536)
    status = int(answer.split(b" ", 2)[1])
    assert status in REFUSALS | {200, 204}
    assert httpx.get(f"{gateway.root_url}/health/live").status_code == 200
