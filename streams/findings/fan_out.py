"""One result → a message for each finding on the topic of its type. Pure and deterministic.

The event id of a finding comes from the task, so the messages of a result that is read twice are the same, but for
the ``ce_source`` of another node.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas import headers
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import InferenceResult
from schemas.topics import Topic, finding_topic


@dataclass(frozen=True)
class FindingMessage:
    """What is written for one finding."""

    topic: Topic
    key: bytes
    value: bytes
    headers: headers.Headers


@dataclass(frozen=True)
class FanOut:
    """What one result becomes."""

    messages: tuple[FindingMessage, ...]


def fan_out(value: bytes | None, result_headers: headers.Headers, codec: Codec, source: str) -> FanOut:
    """Messages of one result.

    Parameters
    ----------
    value, result_headers
        As read from ``inference.results``; its trace context is passed on.
    codec
        Framing and Avro.
    source
        CloudEvents ``source`` of this process.

    Raises
    ------
    InvalidMessage
        The message is no result that this release understands.
    """
    event = codec.decode(value)
    if not isinstance(event, InferenceResult):
        raise InvalidMessage(f"{Topic.RESULTS} carries InferenceResult, this is {type(event).__name__}")
    traceparent = headers.header(result_headers, "traceparent")
    return FanOut(
        tuple(
            FindingMessage(
                finding_topic(finding.finding_type),
                finding.study_instance_uid.encode(),
                codec.encode(finding),
                headers.cloud_event(finding, source, traceparent),
            )
            for finding in event.findings
        )
    )
