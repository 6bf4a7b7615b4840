"""Alarms over MLLP: valid HL7, received by a peer, and what each acknowledgement means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.escalation.channels.hl7 import Hl7, control_id, oru
from consumers.escalation.routes import Hl7Channel
from producers.hl7.mllp import frame
from producers.hl7.read import Message
from schemas.errors import DestinationUnavailable, PermanentRejection, TransientFailure
from tests.consumers.escalation.findings import NOON, critical
from tests.consumers.escalation.test_channels import message
from tests.consumers.oru.listener import Answers, Scripted, ack, scripted
from tests.consumers.oru.python_hl7 import python_hl7
from tests.consumers.oru.test_conformance import complaints
from tests.tools import free_port

pytestmark = pytest.mark.integration


def channel(port: int, timeout_s: float = 5) -> Hl7:
    settings = {"kind": "hl7", "host": "127.0.0.1", "port": port, "timeout_s": timeout_s}
    return Hl7(Hl7Channel.model_validate(settings), lambda: NOON)


@pytest.fixture
def listener() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


def test_an_alarm_is_valid_hl7_and_says_in_codes_what_it_is_about(tmp_path: Path) -> None:
    payload = oru(message(), "ALARM", "", NOON)
    assert complaints(payload.decode(), tmp_path / "report") == []
    told = Message.of(payload)
    assert told.header.value(9, 3) == "ORU_R01"
    assert told.header.value(11) == "P"
    assert len(told.header.value(10)) == 20
    assert not told.all("PID")
    values = {row.value(3): row.value(5) for row in told.all("OBX")}
    assert (values["121071"], values["363698007"], values["272741003"]) == ("50960005", "12738006", "7771000")
    assert float(values["111012"]) == 93
    assert {row.value(11) for row in told.all("OBX")} == {"P"}


def test_a_rehearsal_is_a_training_message() -> None:
    assert Message.of(oru(message(rehearsal=True), "ALARM", "", NOON)).header.value(11) == "T"


def test_delimiters_and_cyrillic_arrive_as_they_are_and_break_nothing(tmp_path: Path) -> None:
    nasty = replace(
        critical("x").findings[0].code, value="9", scheme="99L", meaning="Ґ|^~\\&\rOBX|9|x\x0b\x1c\r 🚑"
    )
    payload = oru(message(code=nasty), "ALARM", "", NOON)
    assert complaints(payload.decode(), tmp_path / "report") == []
    assert [segment.name for segment in Message.of(payload).segments].count("OBX") == 6
    assert frame(payload)


def test_a_peer_receives_it_and_its_acknowledgement_counts() -> None:
    sent = message()
    with python_hl7() as server:
        channel(server.port).send(sent)
    (received,) = server.messages
    assert str(received.segment("MSH")[10]) == control_id(sent.notice_id)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AA", None),
        ("CA", None),
        ("AE", TransientFailure),
        ("CE", TransientFailure),
        ("AR", PermanentRejection),
        ("CR", PermanentRejection),
        ("", PermanentRejection),
    ],
)
def test_codes_say_whether_to_try_again(listener: Scripted, code: str, kind: type[Exception] | None) -> None:
    def answers(asked: str) -> Answers:
        yield frame(ack(code, asked))

    listener.answers = answers
    if kind is None:
        channel(listener.port).send(message())
    else:
        with pytest.raises(kind):
            channel(listener.port).send(message())


@pytest.mark.parametrize("answer", [frame(ack("AA", "another")), frame(b"HTTP/1.1 200 OK"), None, b"noise"])
def test_an_answer_that_is_none_is_tried_again(listener: Scripted, answer: bytes | None) -> None:
    listener.answers = lambda _: iter([answer])
    with pytest.raises(TransientFailure):
        channel(listener.port, timeout_s=0.3).send(message())


def test_nobody_listening_may_change() -> None:
    with pytest.raises(DestinationUnavailable, match="check host, port and TLS"):
        channel(free_port()).send(message())
