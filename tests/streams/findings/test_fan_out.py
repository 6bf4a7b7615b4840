"""What one result becomes: a message for each finding with a topic, the same at every reading."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import Event, InferenceResult
from schemas.headers import header
from schemas.topics import Topic
from streams.findings.fan_out import FanOut, fan_out
from tests.consumers.generated import big_case, could_not_run, generated
from tests.consumers.results import result_with_findings, result_without_findings

CODEC = Codec()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def fanned(result: Event, source: str = "/site-1/node-1/findings") -> FanOut:
    return fan_out(CODEC.encode(result), [("traceparent", TRACE.encode())], CODEC, source)


def test_a_finding_goes_to_the_topic_of_its_type_under_its_study() -> None:
    result = result_with_findings()
    (message,) = fanned(result).messages
    assert message.topic is Topic.FINDINGS_BRAIN_VOLUME
    assert message.key == result.study_instance_uid.encode()
    assert CODEC.decode(message.value) == result.findings[0]


def test_headers_are_those_of_a_cloud_event_and_pass_the_trace_on() -> None:
    result = result_with_findings()
    (message,) = fanned(result).messages
    assert header(message.headers, "ce_id") == result.findings[0].event_id
    assert header(message.headers, "ce_type") == "scanstream.v1.Finding"
    assert header(message.headers, "ce_source") == "/site-1/node-1/findings"
    assert header(message.headers, "traceparent") == TRACE


def test_a_second_reading_makes_the_same_messages_anywhere() -> None:
    case = generated(1).result
    first, second = fanned(case), fanned(case, "/site-1/node-2/findings")
    assert [(m.topic, m.key, m.value, header(m.headers, "ce_id")) for m in first.messages] == [
        (m.topic, m.key, m.value, header(m.headers, "ce_id")) for m in second.messages
    ]


def test_a_finding_type_without_a_topic_of_its_own_is_written_too() -> None:
    known = result_with_findings().findings[0]
    result = replace(result_with_findings(), findings=(replace(known, finding_type="unheard-of"), known))
    made = fanned(result)
    assert [message.topic for message in made.messages] == [Topic.FINDINGS_OTHER, Topic.FINDINGS_BRAIN_VOLUME]
    assert [CODEC.decode(message.value) for message in made.messages] == list(result.findings)


def test_every_finding_is_written() -> None:
    for result in [*(generated(seed).result for seed in range(20)), big_case().result]:
        made = fanned(result)
        assert len(made.messages) == len(result.findings)


@pytest.mark.parametrize("result", [result_without_findings(), could_not_run().result])
def test_a_result_without_findings_makes_nothing(result: InferenceResult) -> None:
    assert fanned(result) == FanOut(())


@pytest.mark.parametrize(
    "value", [None, b"", b"\xc3\x01 no schema", CODEC.encode(result_with_findings().findings[0])]
)
def test_what_is_no_result_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidMessage):
        fan_out(value, [], CODEC, "/test")
