"""Every way out against a real receiver: what is sent, and what each answer means."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import hmac
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from consumers.escalation import alarm
from consumers.escalation.channels.mail import Mail
from consumers.escalation.channels.message import Channel, Message
from consumers.escalation.channels.sms import Sms
from consumers.escalation.channels.webhook import Webhook
from consumers.escalation.routes import MailChannel, SmsChannel
from consumers.escalation.sender import Composer
from schemas.errors import DestinationUnavailable, PermanentRejection, TransientFailure
from tests.consumers.escalation.findings import NOON, critical, three_contacts
from tests.consumers.escalation.receiver import Receiver, receiver
from tests.producers.certificates import authority, signed
from tests.tools import free_port

pytestmark = pytest.mark.integration

SECRET = "of sixteen characters and more"
ROOT = "https://alarms.hospital.example"


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def message(address: str = "", *, rehearsal: bool = False, **of_finding: Any) -> Message:
    result = critical("channel", at=NOON, **of_finding)
    chain = three_contacts().chain("default")
    step = alarm.opened(result.findings[0], result, "default", chain, NOON, rehearsal=rehearsal)
    made = Composer(three_contacts(time_zone="Europe/Kyiv"), ROOT, SECRET).message(
        step, step.pending[0], NOON + timedelta(seconds=1)
    )
    return replace(made, address=address)


def webhook(server: Receiver, timeout_s: float = 5.0, **changed: Any) -> Webhook:
    settings: dict[str, Any] = {"url": f"{server.url}hook", "key": b"key", "token": None, "now": lambda: NOON}
    return Webhook(timeout_s=timeout_s, **(settings | changed))


def test_a_webhook_gets_codes_texts_and_a_signature_and_nothing_of_the_patient(server: Receiver) -> None:
    sent = message()
    webhook(server, token="abc").send(sent)
    (got,) = server.got
    body = got.json
    assert body["finding"] == {"value": "50960005", "scheme": "SCT", "meaning": "Hemorrhage"}
    assert (body["laterality"], body["priority"], body["level"]) == ("left", "p3-normal", 1)
    assert body["subject"] == "Критична знахідка: крововилив, головний мозок, ліворуч, імовірність 93%"
    assert "Результат від 2026-11-22 14:00 EET" in body["text"]
    assert body["acknowledge_url"].startswith(f"{ROOT}/escalations/{sent.step.escalation_id}/acknowledge?")
    assert not [key for key in body if "patient" in key]
    assert got.headers["authorization"] == "Bearer abc"
    assert got.headers["webhook-id"] == sent.notice_id
    assert got.headers["idempotency-key"] == f'"{sent.notice_id}"'
    signed = f"{sent.notice_id}.{int(NOON.timestamp())}.".encode() + got.body
    expected = base64.b64encode(hmac.new(b"key", signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_answer_that_may_change_is_tried_again(server: Receiver, status: int) -> None:
    server.answers["hook"] = status
    server.headers["hook"] = {"Retry-After": "77"}
    with pytest.raises(DestinationUnavailable, match=str(status)) as raised:
        webhook(server).send(message())
    assert raised.value.retry_after_s == 77


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422])
def test_a_refusal_is_for_good(server: Receiver, status: int) -> None:
    server.answers["hook"] = status
    with pytest.raises(PermanentRejection) as raised:
        webhook(server).send(message())
    assert raised.value.code == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: Receiver, status: int) -> None:
    server.answers["hook"] = status
    server.headers["hook"] = {"Location": f"{server.url}elsewhere"}
    with pytest.raises(PermanentRejection, match="pointed elsewhere"):
        webhook(server, token="abc").send(message())
    assert [one.path for one in server.got] == ["hook"]


def test_a_server_that_hangs_or_is_away_is_told_from_one_that_refuses(server: Receiver) -> None:
    server.answers["hook"] = None
    begun = time.monotonic()
    with pytest.raises(DestinationUnavailable, match="did not answer"):
        webhook(server, timeout_s=0.3).send(message())
    assert time.monotonic() - begun < 5
    with pytest.raises(DestinationUnavailable, match=r"did not answer \(ConnectError\)"):
        webhook(server, url=f"http://127.0.0.1:{free_port()}/x?key=hidden").send(message())


def test_an_error_does_not_repeat_what_a_url_may_hide(server: Receiver) -> None:
    server.answers["hidden"] = 500
    with pytest.raises(DestinationUnavailable) as raised:
        webhook(server, url=f"{server.url}hidden?key=hidden").send(message())
    assert "hidden" not in str(raised.value)


def test_a_login_page_with_200_is_no_acceptance(server: Receiver) -> None:
    server.answers["hook"] = 200
    server.bodies["hook"] = b"\xef\xbb\xbf\n<!DOCTYPE html><title>Log in</title>"
    with pytest.raises(DestinationUnavailable, match="web page"):
        webhook(server).send(message())


def sms(server: Receiver, **changed: Any) -> Sms:
    body = {"recipients": ["{to}"], "sms": {"text": "{text}", "ttl": 60}, "ref": "{id}"}
    settings = {"kind": "sms", "url": f"{server.url}gate", "body": body, "timeout_s": 5, **changed}
    return Sms(SmsChannel.model_validate(settings), "password", "token" if "username" not in changed else None)


def test_a_text_message_is_posted_as_the_gateway_wants_it(server: Receiver) -> None:
    sent = message("+380441234567")
    sms(server).send(sent)
    (got,) = server.got
    text = got.json["sms"].pop("text")
    assert got.json["recipients"] == ["+380441234567"]
    assert got.json["sms"]["ttl"] == 60
    assert got.json["ref"] == sent.notice_id
    assert got.headers["authorization"] == "Bearer token"
    assert text.startswith("крововилив, головний мозок, ліворуч, імовірність 93%. Напр. A-2026-0117. ШІ")
    assert text.endswith(sent.link)


def test_a_form_and_basic_authentication_work_too(server: Receiver) -> None:
    sms(server, encoding="form", body={"To": "{to}", "Body": "{text}"}, username="account").send(message("+38044"))
    (got,) = server.got
    assert got.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(got.body.decode())["To"] == ["+38044"]
    assert got.headers["authorization"] == "Basic " + base64.b64encode(b"account:password").decode()


def test_a_gateway_that_says_200_to_everything_is_judged_by_its_body(server: Receiver) -> None:
    server.answers["gate"] = 200
    server.bodies["gate"] = b'{"status": "error", "reason": "no credit"}'
    gate = sms(server, accept_pattern='"status": *"ok"')
    with pytest.raises(TransientFailure, match="accept_pattern"):
        gate.send(message("+38044"))
    server.bodies["gate"] = b'{"status": "ok"}'
    gate.send(message("+38044"))


def test_a_long_text_gives_way_and_the_link_stays_whole(server: Receiver) -> None:
    long = replace(critical("x").findings[0].code, value="99", scheme="99LOCAL", meaning="Ґанок " * 200)
    sent = message("+38044", code=long, rehearsal=True)
    sms(server, max_chars=402).send(sent)
    text = server.got[0].json["sms"]["text"]
    assert len(text) <= 402
    assert text.startswith("НАВЧАННЯ")
    assert text.endswith(sent.link)


class Box:
    """What an SMTP server took."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.refuse = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        self.taken.append(envelope)
        return "250 OK"


@contextmanager
def smtp(box: Box, **options: Any) -> Iterator[int]:
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def mail(port: int, **changed: Any) -> Mail:
    settings = {
        "kind": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "sender": "alarms@hospital.example",
        "security": "none",
        "timeout_s": 5,
    }
    return Mail(MailChannel.model_validate(settings | changed), "secret", lambda: NOON)


def test_a_mail_arrives_in_the_contacts_language_with_an_identity_that_repeats() -> None:
    box, sent = Box(), message("duty@hospital.example", rehearsal=True)
    with smtp(box) as port:
        mail(port).send(sent)
        mail(port).send(sent)
    first, second = (
        email.message_from_bytes(bytes(one.original_content or b""), policy=email.policy.default)
        for one in box.taken
    )
    assert first["Message-ID"] == second["Message-ID"] == f"<{sent.notice_id}@hospital.example>"
    assert first["Subject"] == sent.subject
    assert first["Subject"].startswith("НАВЧАННЯ, дій не потрібно: Критична знахідка: крововилив")
    assert (first["To"], first["Auto-Submitted"]) == ("duty@hospital.example", "auto-generated")
    body = first.get_content()  # type: ignore[attr-defined] # of the default policy
    assert "Номер направлення: A-2026-0117" in body
    assert sent.link in body


def test_control_characters_and_line_ends_break_no_header() -> None:
    box = Box()
    evil = replace(
        critical("x").findings[0].code, value="9", meaning="Кров\r\nBcc: all@hospital.example\x00\u2028Ґ 🚑"
    )
    with smtp(box) as port:
        mail(port).send(message("duty@hospital.example", code=evil))
    taken = email.message_from_bytes(bytes(box.taken[0].original_content or b""), policy=email.policy.default)
    assert taken["Bcc"] is None
    assert "Кров Bcc: all@hospital.example Ґ 🚑" in taken["Subject"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("450 mailbox busy", TransientFailure),
        ("452 full", TransientFailure),
        ("550 no such user duty@hospital.example", PermanentRejection),
        ("553 bad name", PermanentRejection),
    ],
)
def test_a_reply_of_the_mail_server_says_whether_to_try_again(reply: str, kind: type[Exception]) -> None:
    box = Box()
    box.refuse = reply
    with smtp(box) as port, pytest.raises(kind, match=reply[:3]) as raised:
        mail(port).send(message("duty@hospital.example"))
    assert "duty@" not in str(raised.value)


def test_a_mail_server_that_is_away_may_come_back() -> None:
    with pytest.raises(DestinationUnavailable, match="ConnectionRefusedError"):
        mail(free_port()).send(message("duty@hospital.example"))


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_is_encrypted_and_the_server_is_who_it_says(security: str, tmp_path: Path) -> None:
    ours = authority(tmp_path)
    own = signed(tmp_path, "mail", ours, address="127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)
    logins: list[bytes] = []

    def authenticate(*given: Any) -> AuthResult:
        login = given[-1]
        assert isinstance(login, LoginPassword)
        logins.append(login.password)
        return AuthResult(success=login.password == b"secret")

    box = Box()
    options: dict[str, Any] = {"authenticator": authenticate}
    if security == "tls":
        options |= {"ssl_context": context, "auth_require_tls": False}
    else:
        options |= {"tls_context": context, "require_starttls": True}
    with smtp(box, **options) as port:
        mail(port, security=security, ca_file=str(ours.certificate), username="alarms", password_env="X").send(
            message("duty@hospital.example")
        )
        with pytest.raises(PermanentRejection, match="not trusted"):
            mail(port, security=security).send(message("duty@hospital.example"))
    assert logins == [b"secret"]
    assert len(box.taken) == 1


def test_a_mail_server_without_starttls_is_not_spoken_to_in_the_clear() -> None:
    box = Box()
    with smtp(box) as port, pytest.raises(PermanentRejection, match="does not offer"):
        mail(port, security="starttls").send(message("duty@hospital.example"))
    assert not box.taken


def test_every_channel_is_a_channel(server: Receiver) -> None:
    channels: list[Channel] = [webhook(server), sms(server), mail(1)]
    assert channels
