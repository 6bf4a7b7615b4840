from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from consumers.dicom.render import RenderedObject
from consumers.stow.client import StowClient
from schemas.errors import ConfigurationError, DestinationUnavailable, TransientFailure
from schemas.events import DeliveryStatus
from tests.consumers.stow.pacs import Answer, Misbehave, Request, ScriptedPacs, found, stored
from tests.tools import free_port

SEG = RenderedObject("1.2.840.10008.5.1.4.1.1.66.4", "1.1", "1.2", "1.3", b"seg" * 700_000)
SR = RenderedObject("1.2.840.10008.5.1.4.1.1.88.34", "1.1", "1.4", "1.5", b"sr")


@pytest.fixture
def client(pacs: ScriptedPacs) -> Iterator[StowClient]:
    made = StowClient(pacs.url, None, timeout_s=30.0)
    yield made
    made.close()


def answering(pacs: ScriptedPacs, post: Answer, *present: str) -> None:
    def script(request: Request) -> Answer:
        if request.method == "POST":
            return post
        return found(*(uid for uid in present if f"SOPInstanceUID={uid}" in request.path))

    pacs.script = script


def test_one_request_with_a_known_length_carries_all_objects(pacs: ScriptedPacs, client: StowClient) -> None:
    answering(pacs, Answer(200, stored("1.3", "1.5")))
    outcomes = client.store([SEG, SR])
    (post,) = pacs.requests
    assert post.path == "/dicom-web/studies/1.1"
    assert post.headers["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert int(post.headers["content-length"]) == len(post.body)
    assert "transfer-encoding" not in post.headers
    boundary = post.headers["content-type"].rpartition("boundary=")[2].encode()
    parts = post.body.split(b"--" + boundary)
    assert parts[1] == b"\r\nContent-Type: application/dicom\r\n\r\n" + SEG.data + b"\r\n"
    assert parts[2] == b"\r\nContent-Type: application/dicom\r\n\r\n" + SR.data + b"\r\n"
    assert parts[3] == b"--\r\n"
    assert [outcome.status for outcome in outcomes] == [DeliveryStatus.STORED] * 2
    assert outcomes[0].url == f"{pacs.url}/studies/1.1/series/1.2/instances/1.3"
    assert outcomes[1].object_type == SR.sop_class_uid


def test_a_warning_is_kept(pacs: ScriptedPacs, client: StowClient) -> None:
    answering(pacs, Answer(202, stored("1.3", "1.5", warnings={"1.3": 0xB000})))
    outcome, other = client.store([SEG, SR])
    assert (outcome.status, outcome.status_code) == (DeliveryStatus.STORED, 0xB000)
    assert outcome.reason is not None
    assert "B000H" in outcome.reason
    assert other.reason is None


def test_partly_stored_is_told_per_instance(pacs: ScriptedPacs, client: StowClient) -> None:
    answering(pacs, Answer(202, stored("1.3", failed={"1.5": 0x0122})))
    seg, sr = client.store([SEG, SR])
    assert seg.status is DeliveryStatus.STORED
    assert (sr.status, sr.status_code) == (DeliveryStatus.FAILED, 0x0122)
    assert sr.reason is not None
    assert "enable it there" in sr.reason


@pytest.mark.parametrize("code", [b"1e999", b"-1", b"100000000000000000000", b'"?"', b"[]"])
def test_a_code_that_is_none_does_not_hide_the_refusal(
    pacs: ScriptedPacs, client: StowClient, code: bytes
) -> None:
    body = stored(failed={"1.3": 0x0122, "1.5": 0x0122}).replace(b"%d" % 0x0122, code)
    assert code in body
    answering(pacs, Answer(409, body))
    for outcome in client.store([SEG, SR]):
        assert (outcome.status, outcome.status_code) == (DeliveryStatus.FAILED, 409)


@pytest.mark.parametrize("code", [0x0111, 45070, 0x0110])
def test_already_there_is_stored(pacs: ScriptedPacs, client: StowClient, code: int) -> None:
    answering(pacs, Answer(409, stored(failed={"1.3": code, "1.5": code})), "1.3", "1.5")
    assert {outcome.status for outcome in client.store([SEG, SR])} == {DeliveryStatus.STORED}


def test_a_400_for_one_part_does_not_hide_that_the_other_was_stored(
    pacs: ScriptedPacs, client: StowClient
) -> None:
    answering(pacs, Answer(400, b'{"Message": "Bad file format"}', {"Content-Type": "application/json"}), "1.3")
    seg, sr = client.store([SEG, SR])
    assert seg.status is DeliveryStatus.STORED
    assert (sr.status, sr.status_code) == (DeliveryStatus.FAILED, 400)


@pytest.mark.parametrize("status", [400, 406, 409, 413, 415, 422])
def test_a_refusal_keeps_its_code_and_says_what_to_do(pacs: ScriptedPacs, client: StowClient, status: int) -> None:
    answering(pacs, Answer(status, b"no"))
    for outcome in client.store([SEG, SR]):
        assert (outcome.status, outcome.status_code) == (DeliveryStatus.FAILED, status)
        assert outcome.reason is not None
        assert ": " in outcome.reason


@pytest.mark.parametrize("body", [b"<html><body>Sign in</body></html>", b"", b"{}", b"[1, 2]", b'{"00081199": 7}'])
def test_a_200_that_names_nothing_is_believed_only_when_the_instances_are_there(
    pacs: ScriptedPacs, client: StowClient, body: bytes
) -> None:
    answering(pacs, Answer(200, body), "1.3", "1.5")
    assert {outcome.status for outcome in client.store([SEG, SR])} == {DeliveryStatus.STORED}
    answering(pacs, Answer(200, body))
    with pytest.raises(TransientFailure, match="login page"):
        client.store([SEG, SR])


def test_a_search_that_ignores_its_filter_proves_nothing(pacs: ScriptedPacs, client: StowClient) -> None:
    pacs.script = lambda request: Answer(200, b"") if request.method == "POST" else found("9.9")
    with pytest.raises(TransientFailure):
        client.store([SEG])


@pytest.mark.parametrize("status", [401, 403, 407])
def test_refused_credentials_name_the_settings(pacs: ScriptedPacs, client: StowClient, status: int) -> None:
    answering(pacs, Answer(status))
    with pytest.raises(DestinationUnavailable, match="SCANSTREAM_STOW_USERNAME"):
        client.store([SEG])


@pytest.mark.parametrize("status", [301, 302, 404, 405])
def test_a_wrong_address_names_the_setting(pacs: ScriptedPacs, client: StowClient, status: int) -> None:
    answering(pacs, Answer(status, headers={"Location": "/login"}))
    with pytest.raises(DestinationUnavailable, match="SCANSTREAM_STOW_PACS_URL"):
        client.store([SEG])


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504, 507])
def test_a_busy_pacs_is_waited_for_as_long_as_it_asks(pacs: ScriptedPacs, client: StowClient, status: int) -> None:
    answering(pacs, Answer(status, headers={"Retry-After": "17"}))
    with pytest.raises(DestinationUnavailable) as raised:
        client.store([SEG])
    assert raised.value.retry_after_s == 17.0


@pytest.mark.parametrize("status", [500, 501])
def test_a_server_error_is_tried_again(pacs: ScriptedPacs, client: StowClient, status: int) -> None:
    answering(pacs, Answer(status, b"<html>oops</html>"))
    with pytest.raises(TransientFailure, match=str(status)):
        client.store([SEG])


def test_a_server_error_after_storing_is_stored(pacs: ScriptedPacs, client: StowClient) -> None:
    answering(pacs, Answer(500), "1.3")
    assert client.store([SEG])[0].status is DeliveryStatus.STORED


@pytest.mark.parametrize("code", [0xA700, 0xA7FF, 0x0213, 45071])
def test_lack_of_resources_is_tried_again(pacs: ScriptedPacs, client: StowClient, code: int) -> None:
    answering(pacs, Answer(409, stored(failed={"1.3": code})))
    with pytest.raises(TransientFailure, match=f"{code:04X}H"):
        client.store([SEG])


def test_a_connection_that_breaks_is_tried_once_more_at_once(pacs: ScriptedPacs, client: StowClient) -> None:
    def close(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    def script(request: Request) -> Answer:
        if len(pacs.requests) == 1:
            raise Misbehave(close)
        return Answer(200, stored("1.3"))

    pacs.script = script
    assert client.store([SEG])[0].status is DeliveryStatus.STORED
    assert len(pacs.posts()) == 2
    assert len({len(request.body) for request in pacs.posts()}) == 1, "the second request carries the whole body"


@pytest.mark.parametrize(
    "fragment",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf", b"HTTP/1.1 2", b"\x00\x01garbage\r\n\r\n"],
)
def test_an_answer_that_breaks_off_is_a_transient_failure(
    pacs: ScriptedPacs, client: StowClient, fragment: bytes
) -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(fragment)
        connection.shutdown(socket.SHUT_RDWR)

    def script(request: Request) -> Answer:
        raise Misbehave(half)

    pacs.script = script
    with pytest.raises(TransientFailure, match="broke the connection"):
        client.store([SEG])


def test_a_pacs_that_hangs_is_away(pacs: ScriptedPacs) -> None:
    released = threading.Event()

    def script(request: Request) -> Answer:
        released.wait(30)
        return Answer(500)

    pacs.script = script
    client = StowClient(pacs.url, None, timeout_s=0.3)
    try:
        with pytest.raises(DestinationUnavailable, match="ReadTimeout"):
            client.store([SR])
    finally:
        released.set()
        client.close()


def test_a_pacs_that_is_not_there_is_away() -> None:
    client = StowClient(f"http://127.0.0.1:{free_port()}/dicom-web", None, timeout_s=5.0)
    with pytest.raises(DestinationUnavailable, match="SCANSTREAM_STOW_PACS_URL"):
        client.store([SEG])
    with pytest.raises(DestinationUnavailable):
        client.probe()
    client.close()


def test_credentials_are_sent(pacs: ScriptedPacs) -> None:
    answering(pacs, Answer(200, stored("1.3")))
    client = StowClient(pacs.url, ("reader", "s3cret"), timeout_s=5.0)
    client.store([SEG])
    client.close()
    assert pacs.requests[0].headers["authorization"] == "Basic cmVhZGVyOnMzY3JldA=="


@pytest.mark.parametrize(("status", "up"), [(200, True), (204, True), (400, True), (404, False), (500, False)])
def test_a_probe_asks_for_nobodys_data(pacs: ScriptedPacs, client: StowClient, status: int, up: bool) -> None:
    pacs.script = lambda _: Answer(status)
    if up:
        client.probe()
    else:
        with pytest.raises(DestinationUnavailable):
            client.probe()
    assert pacs.requests[0].path == "/dicom-web/studies?StudyInstanceUID=2.25.0&limit=1"


@pytest.mark.parametrize(
    "root", ["", "pacs/dicom-web", "ftp://pacs", "http://", "http://pacs:port", "http://[::1"]
)
def test_an_address_that_is_no_url_is_a_wrong_setting(root: str) -> None:
    with pytest.raises(ConfigurationError, match="SCANSTREAM_STOW_PACS_URL"):
        StowClient(root, None, 1.0)
