from __future__ import annotations

import pytest
from pydicom import Dataset

from consumers.stow.client import StowClient
from schemas.errors import DestinationUnavailable, TransientFailure
from schemas.events import DeliveryStatus
from tests.consumers.stow.connected import answering
from tests.consumers.stow.objects import SEG, SR, changed
from tests.consumers.stow.pacs import Answer, Request, ScriptedPacs, found, given, stored


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
    assert "enable this SOP class there" in sr.reason


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
    answering(pacs, Answer(409, stored(failed={"1.3": code, "1.5": code})), SEG, SR)
    assert {outcome.status for outcome in client.store([SEG, SR])} == {DeliveryStatus.STORED}


def test_a_400_for_one_part_does_not_hide_that_the_other_was_stored(
    pacs: ScriptedPacs, client: StowClient
) -> None:
    answering(pacs, Answer(400, b'{"Message": "Bad file format"}', {"Content-Type": "application/json"}), SEG)
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
    answering(pacs, Answer(200, body), SEG, SR)
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
    answering(pacs, Answer(500), SEG)
    assert client.store([SEG])[0].status is DeliveryStatus.STORED


@pytest.mark.parametrize("code", [0xA700, 0xA7FF, 0x0213, 45071])
def test_lack_of_resources_is_tried_again(pacs: ScriptedPacs, client: StowClient, code: int) -> None:
    answering(pacs, Answer(409, stored(failed={"1.3": code})))
    with pytest.raises(TransientFailure, match=f"{code:04X}H"):
        client.store([SEG])


@pytest.mark.parametrize("code", [0x0111, 45070])
def test_a_duplicate_that_cannot_be_looked_at_is_ours(pacs: ScriptedPacs, client: StowClient, code: int) -> None:
    refused = Answer(409, stored(failed={"1.5": code}))
    pacs.script = lambda request: refused if request.method == "POST" else Answer(501)
    assert client.store([SR])[0].status is DeliveryStatus.STORED


def test_another_object_under_the_same_uid_is_a_conflict(pacs: ScriptedPacs, client: StowClient) -> None:
    def other(dataset: Dataset) -> None:
        dataset.ContentSequence[0].TextValue = "нічого"

    answering(pacs, Answer(409, stored(failed={"1.5": 0x0111})), changed(SR, other))
    (outcome,) = client.store([SR])
    assert (outcome.status, outcome.status_code) == (DeliveryStatus.FAILED, 0x0111)
    assert outcome.reason is not None
    assert "ContentSequence[1].TextValue" in outcome.reason
    assert "нічого" not in outcome.reason


def test_a_200_that_names_an_instance_as_failed_is_not_believed_unseen(
    pacs: ScriptedPacs, client: StowClient
) -> None:
    answering(pacs, Answer(200, stored("1.3", failed={"1.3": 45070})), changed(SEG, lambda seg: seg.pop("Rows")))
    (outcome,) = client.store([SEG])
    assert outcome.status is DeliveryStatus.FAILED
    assert outcome.reason is not None
    assert "differs at Rows" in outcome.reason


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(403), "SCANSTREAM_STOW_USERNAME"),
        (Answer(503), "check its load"),
        (Answer(406), "right to retrieve"),
        (Answer(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}), "the answer is text/html"),
        (Answer(200, b"--x\r\n", {"Content-Type": "multipart/related; boundary=x"}), "no multipart body"),
        (Answer(200, b"nothing", {"Content-Type": "application/dicom"}), "cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_not_stored(
    pacs: ScriptedPacs, client: StowClient, answer: Answer, says: str
) -> None:
    def script(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(409, stored(failed={"1.5": 0x0111}))
        return answer if request.path.endswith("/instances/1.5") else found("1.5")

    pacs.script = script
    with pytest.raises((DestinationUnavailable, TransientFailure), match=says):
        client.store([SR])


def test_an_instance_without_multipart_is_taken_too(pacs: ScriptedPacs, client: StowClient) -> None:
    def script(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(409)
        bare = Answer(200, SR.data, {"Content-Type": "application/dicom"})
        return bare if request.path.endswith("/instances/1.5") else found("1.5")

    pacs.script = script
    assert client.store([SR])[0].status is DeliveryStatus.STORED


def test_something_endless_under_our_uid_is_read_only_so_far(pacs: ScriptedPacs, client: StowClient) -> None:
    def script(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(409)
        return given(bytes(3 << 20)) if request.path.endswith("/instances/1.5") else found("1.5")

    pacs.script = script
    (outcome,) = client.store([SR])
    assert outcome.status is DeliveryStatus.FAILED
    assert outcome.reason is not None
    assert "its size" in outcome.reason


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Answer(404), None),
        (Answer(400), None),
        (Answer(501), None),
        (Answer(500), TransientFailure),
        (Answer(200, b"<html>"), TransientFailure),
        (Answer(503), DestinationUnavailable),
        (Answer(401), DestinationUnavailable),
    ],
)
def test_a_search_that_fails_does_not_pass_for_one_that_finds_nothing(
    pacs: ScriptedPacs, client: StowClient, search: Answer, expected: type[Exception] | None
) -> None:
    pacs.script = lambda request: Answer(409) if request.method == "POST" else search
    if expected is None:
        assert client.store([SR])[0].status is DeliveryStatus.FAILED
    else:
        with pytest.raises(expected):
            client.store([SR])
