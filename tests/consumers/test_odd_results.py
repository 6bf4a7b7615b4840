"""Results and verdicts that are allowed and make no sense: each writer delivers them, or refuses with a sentence.

What a builder raises beyond ``InvalidMessage`` is tried four times and then called unexpected; in the loop of a
writer it ends the process, which then reads the same message again, for ever.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from consumers.audit.rows import GENESIS, RawMessage, rows_of
from consumers.callback.allowed import Allowed
from consumers.callback.body import body_of
from consumers.callback.client import CallbackClient
from consumers.callback.destination import CallbackDestination
from consumers.delivery.item import Received, Subject, item_of, subject_of
from consumers.delivery.settle import Clerk
from consumers.delivery.work import Work
from consumers.escalation.book import Book
from consumers.escalation.channels.hl7 import oru as alarm_message
from consumers.escalation.channels.mail import mail_of
from consumers.escalation.channels.webhook import payload
from consumers.escalation.intake import Intake
from consumers.escalation.sender import Composer
from consumers.fhir import bundle, links, study
from consumers.fhir.known import Known
from consumers.fhir.links import Systems
from consumers.oru.message import oru
from producers.claim_check import ClaimCheck
from producers.hl7.read import Message
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import (
    Adjudication,
    Artifact,
    AuditEvent,
    Category,
    ClinicalContext,
    Event,
    InferenceResult,
    ResultOutcome,
)
from schemas.terminology import Language
from schemas.topics import Topic
from tests.consumers.escalation.findings import critical, three_contacts
from tests.consumers.oru.cases import SETTINGS, header
from tests.schemas.odd_events import odd

CODEC = Codec()
NOW = datetime(2026, 3, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
HEADER = header()

# a smaller example is not worth minutes
quick = settings(max_examples=60, phases=(Phase.explicit, Phase.reuse, Phase.generate))

urls = st.text("htps:/[]@%.-xn0a1ї?#\\ ", max_size=20).map("http://{}".format) | st.text(max_size=9)


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    result = dataclasses.replace(draw(odd(InferenceResult)), retrieve_url=draw(urls), callback_url=draw(urls))
    event = draw(st.just(result) | odd(Adjudication).map(lambda one: dataclasses.replace(one, result=result)))
    return subject_of(CODEC.decode(CODEC.encode(event)))


def strictly(text: str | bytes) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@quick
@given(subjects())
def test_the_loop_of_a_writer_settles_every_result(subject: Subject) -> None:
    event = subject.verdict or subject.result
    received = Received(Topic.RESULTS, 0, 1, b"key", CODEC.encode(event), [], 2**62, False, 0)
    work = Work(item_of(received, 4), received, subject, subject.gateway)
    clerk = Clerk("group", "destination")
    for settlement in (
        clerk.answered(work, (), NOW),
        clerk.skipped(work, "reason", NOW),
        clerk.given_up(work, InvalidMessage("reason"), NOW),
    ):
        assert settlement.outcome is not None
        assert CODEC.decode(CODEC.encode(settlement.outcome)) == settlement.outcome


def test_a_url_that_is_none_leads_to_no_gateway() -> None:
    result = dataclasses.replace(critical("1"), retrieve_url="http://[/dicom-web/studies/1.2")
    assert Subject(result).gateway == ""


@pytest.mark.parametrize("root", ["http://[", "http://gateway:99999", "http://:80", "gateway", "http://g\0"])
def test_a_claim_check_without_an_address_is_refused_at_once(root: str) -> None:
    """Waiting for it would hold up everything else of the same gateway."""
    artifact = Artifact("mask", "application/octet-stream", f"{root}/artifacts/0", "0" * 64, 1, (1, 1, 1))
    with ClaimCheck(1.0) as claims:
        with pytest.raises(InvalidMessage):
            claims.fetch_headers(f"{root}/dicom-web/studies/1.2", "1.3", ["1.4"])
        with pytest.raises(InvalidMessage):
            claims.get_artifact(artifact)


def test_a_uid_that_fits_no_url_is_refused_at_once() -> None:
    with ClaimCheck(1.0) as claims, pytest.raises(InvalidMessage):
        claims.fetch_series("http://127.0.0.1:9/dicom-web/studies/1.2", "1.3", ["\0"])


@quick
@given(subjects(), st.sampled_from(Language))
def test_every_result_is_an_hl7_message(subject: Subject, language: Language) -> None:
    made = oru(subject.result, HEADER, SETTINGS, language, subject.verdict)
    assert Message.of(made.payload).first("MSH") is not None
    for line in made.payload.decode().removesuffix("\r").split("\r"):
        assert re.match(r"(MSH|PID|PV1|OBR|OBX|NTE)\|", line)
        assert not re.search("[\x00-\x1f]", line)
        values = line.split("|")
        if values[0] == "OBX" and values[2] == "NM":
            assert re.fullmatch(r"[+-]?\d*\.?\d*", values[5])


@quick
@given(subjects(), st.sampled_from(Language))
def test_every_result_is_fhir_or_is_refused(subject: Subject, language: Language) -> None:
    result, systems = subject.result, Systems("urn:patients", "urn:orders")
    with suppress(InvalidMessage):
        if result.outcome is ResultOutcome.COULD_NOT_RUN:
            found = links.without_header(result, systems)
            made = bundle.failure(result, found, Known(), language, "http://fhir")
        else:
            found = links.from_header(result, HEADER, systems)
            images = study.imaging_study(result, HEADER, found, systems.accession)
            known, verdict = Known(), subject.verdict
            made = bundle.delivery(
                result, found, known, language, "http://fhir", imaging_study=images, verdict=verdict
            )
        strictly(json.dumps(made))


@quick
@given(subjects())
def test_every_requester_is_told_or_the_result_is_refused(subject: Subject) -> None:
    client = CallbackClient("test", 1.0, allow_private=False)
    destination = CallbackDestination(client, Allowed(["*.example.org"], allow_http=False), b"k" * 24)
    assert isinstance(destination.address(subject.result), str)
    with suppress(InvalidMessage):
        assert strictly(body_of(subject.result, subject.verdict))["data"]["result_id"] == subject.result.event_id


@quick
@given(subjects(), st.sampled_from(["UTC", "Europe/Kyiv", "America/New_York"]))
def test_every_critical_finding_can_be_told(subject: Subject, zone: str) -> None:
    routes = three_contacts(time_zone=zone)
    findings = (dataclasses.replace(one, category=Category.CRITICAL) for one in subject.result.findings)
    result = dataclasses.replace(subject.result, findings=tuple(findings))
    verdicts: list[Event] = (
        [] if subject.verdict is None else [dataclasses.replace(subject.verdict, result=result)]
    )
    book, intake = Book(), Intake(routes, rehearsal=False)
    composer = Composer(routes, "http://127.0.0.1:9", "s" * 32)
    for event in (result, *verdicts):
        for step in intake.steps(event, book, NOW):
            book.note(0, step)
            assert CODEC.decode(CODEC.encode(step)) is not None
            for notice in step.pending:
                message = composer.message(step, notice, NOW)
                assert len(message.subject) < 600
                strictly(json.dumps(payload(message)))
                assert mail_of(
                    dataclasses.replace(message, address="a@example.org"), "b@example.org", NOW
                ).as_bytes()
                assert Message.of(alarm_message(message, "app", "facility", NOW)).all("OBX")


@pytest.mark.parametrize("zone", ["Europe/Kyiv", "America/New_York"])
@pytest.mark.parametrize("probability", [math.nan, math.inf, 1e300])
def test_an_alarm_of_the_last_day_does_not_keep_others_from_theirs(zone: str, probability: float) -> None:
    routes = three_contacts(time_zone=zone)
    result = critical("1", at=LAST, probability=probability)
    (step,) = Intake(routes, rehearsal=False).steps(result, Book(), NOW)
    message = Composer(routes, "http://127.0.0.1:9", "s" * 32).message(step, step.pending[0], NOW)
    assert "9999-12-31" in "\n".join(message.lines)


@quick
@given(
    subjects().map(lambda one: one.verdict or one.result) | odd(AuditEvent) | odd(ClinicalContext),
    st.binary(max_size=4),
)
def test_every_event_is_a_row_of_the_audit_store(event: Event, source: bytes) -> None:
    value = CODEC.encode(event)
    messages = [
        RawMessage("topic", 0, offset, key, content, [("ce_source", source)], timestamp_ms)
        for offset, (key, content, timestamp_ms) in enumerate(
            [(source, value, 1), (None, None, 2**62), (b"", b"", -1)]
        )
    ]
    rows, _ = rows_of(messages, CODEC, {})
    assert [row.prev_hash for row in rows] == [GENESIS, rows[0].hash, rows[1].hash]
    assert rows[0].record == type(event).__name__
    strictly(rows[0].body)
