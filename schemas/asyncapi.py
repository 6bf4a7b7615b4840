"""Topic table and Avro schemas → AsyncAPI 3.0 document and the topic table in Markdown.

Pure: returns text; :mod:`schemas.release` writes it and a test holds the committed documents against it, so the
documentation cannot drift from the code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from schemas import registry
from schemas.topics import DAY_MS, TOPICS, Priority, TopicSpec, failure_topics

EXAMPLES_DIR: Final = Path(__file__).parent / "examples"
KAFKA_BINDING: Final = "0.5.0"


def document(version: str) -> dict[str, Any]:
    """AsyncAPI 3.0.0 document of the whole contract.

    Parameters
    ----------
    version
        Version of the release that publishes it.
    """
    records = sorted({record for spec in TOPICS for record in spec.records})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "scanstream",
            "version": version,
            "license": {"name": "Apache-2.0"},
            "description": (
                "Radiology AI as an event stream. Values are Avro: Confluent framing where a schema registry is "
                "configured, else Avro single-object encoding. Headers are CloudEvents 1.0 (binary mode) and W3C "
                "trace context. No message carries pixels or local paths, and only the worklist items of "
                "clinical.context carry a patient's name or birth date."
            ),
        },
        "defaultContentType": "application/avro",
        "channels": {_channel_id(spec): _channel(spec) for spec in TOPICS},
        "operations": {f"receive.{_channel_id(spec)}": _operation(spec) for spec in TOPICS},
        "components": {"messages": {record: _message(record) for record in records}},
    }


def _channel_id(spec: TopicSpec) -> str:
    return spec.topic.replace(".", "_").replace("-", "_")


def _channel(spec: TopicSpec) -> dict[str, Any]:
    topic: dict[str, Any] = {"cleanup.policy": spec.cleanup.split(",")}
    if "delete" in spec.cleanup:
        topic["retention.ms"] = spec.retention_ms
    return {
        "address": spec.topic.value,
        "description": f"{spec.about} Key: {spec.key}. Written by {spec.written_by}, read by {spec.read_by}.",
        "messages": {record: {"$ref": f"#/components/messages/{record}"} for record in spec.records},
        "bindings": {
            "kafka": {
                "topic": spec.topic.value,
                "partitions": spec.partitions,
                "topicConfiguration": topic,
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _operation(spec: TopicSpec) -> dict[str, Any]:
    channel = _channel_id(spec)
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": f"Subscribe to {spec.topic.value}",
        "messages": [{"$ref": f"#/channels/{channel}/messages/{record}"} for record in spec.records],
    }


def _message(record: str) -> dict[str, Any]:
    schema = registry.current(record)
    return {
        "name": f"{registry.NAMESPACE}.{record}",
        "title": record,
        "summary": schema["doc"],
        "contentType": "application/avro",
        "headers": _HEADERS,
        "payload": {"schemaFormat": "application/vnd.apache.avro+json;version=1.12.0", "schema": schema},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": KAFKA_BINDING}},
        "examples": [{"name": record, "payload": example(record)}],
    }


_HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["ce_specversion", "ce_type", "ce_source", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid"},
        "ce_type": {"type": "string"},
        "ce_source": {"type": "string"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_priority": {"type": "string", "enum": [priority.value for priority in Priority]},
        "content-type": {"type": "string", "const": "application/avro"},
        "traceparent": {"type": "string"},
    },
}


def example(record: str) -> dict[str, Any]:
    """The committed example of a record, in Avro's plain form with ISO 8601 times."""
    loaded: dict[str, Any] = json.loads((EXAMPLES_DIR / f"{record}.json").read_text(encoding="utf-8"))
    return loaded


def topic_table() -> str:
    """The topic table in Markdown, as the README shows it."""
    lines = [
        "| topic | key | record | written by | read by | cleanup, kept |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{spec.topic.value}` | {spec.key} | {', '.join(spec.records)} | {spec.written_by} | {spec.read_by} "
        f"| {_kept(spec)} |"
        for spec in TOPICS
    ]
    groups = ", ".join(sorted({f"`{topic.consumer_group}`" for topic in failure_topics()}))
    lines += [
        "| `<group>.retry` `<group>.dlq` | as the original | original bytes, failure in headers "
        f"| the group | the group, people | delete, 14 and 365 days; groups: {groups} |"
    ]
    return "\n".join(lines) + "\n"


def _kept(spec: TopicSpec) -> str:
    if "delete" not in spec.cleanup:
        return spec.cleanup
    return f"{spec.cleanup}, {spec.retention_ms // DAY_MS} days"
