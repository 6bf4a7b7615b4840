"""The Avro files, the dataclasses, the examples and the documents say the same."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from datetime import datetime
from pathlib import Path
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from fastavro.schema import load_schema
from fastavro.validation import validate
from hypothesis import given
from hypothesis import strategies as st

from schemas import asyncapi, events, registry, release, settings_document
from schemas.codec import Codec, from_plain, to_json, to_plain
from schemas.errors import InvalidMessage
from schemas.topics import TOPICS

CLASSES: dict[str, Any] = {cls.__name__: cls for cls in typing.get_args(events.Event)}


def times_parsed(value: Any) -> Any:
    """ISO 8601 times of an example file as datetimes."""
    if isinstance(value, dict):
        return {
            key: datetime.fromisoformat(item)
            if key.endswith(("_at", "deadline", "not_before", "useful_until")) and item
            else times_parsed(item)
            for key, item in value.items()
        }
    return [times_parsed(item) for item in value] if isinstance(value, list) else value


def example(record: str) -> events.Event:
    return typing.cast("events.Event", from_plain(CLASSES[record], times_parsed(asyncapi.example(record))))


def test_every_event_has_a_schema_and_a_topic() -> None:
    assert set(CLASSES) <= set(registry.record_names())
    assert {record for spec in TOPICS for record in spec.records} == set(CLASSES)


@pytest.mark.parametrize("record", registry.record_names())
def test_dataclass_and_avro_file_have_the_same_fields(record: str) -> None:
    cls = getattr(events, record)
    schema = registry.current(record)
    assert [field["name"] for field in schema["fields"]] == [field.name for field in dataclasses.fields(cls)]
    optional = {f.name for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}
    assert {field["name"] for field in schema["fields"] if "default" in field} == optional


@pytest.mark.parametrize("record", sorted(CLASSES))
@pytest.mark.parametrize("framing", ["single-object", "confluent"])
def test_the_example_survives_the_wire(record: str, framing: str) -> None:
    codec = Codec(Ids() if framing == "confluent" else None)
    event = example(record)
    assert validate(to_plain(event), registry.parsed(record))
    assert codec.decode(codec.encode(event)) == event
    json.dumps(to_json(event))


@pytest.mark.parametrize("record", sorted(CLASSES))
def test_a_subscriber_with_only_the_files_decodes(record: str) -> None:
    schema = load_schema(str(registry.AVSC_DIR / f"scanstream.v1.{record}.avsc"))
    assert registry.crc64(typing.cast("registry.Schema", schema)) == registry.fingerprint_of(record)


@pytest.mark.parametrize("record", sorted(CLASSES))
def test_the_current_schema_is_frozen(record: str) -> None:
    assert release.released_file(record).is_file(), "run `make contract` and commit schemas/released"


@pytest.mark.parametrize("path", sorted(registry.RELEASED_DIR.glob("*.avsc")), ids=lambda p: p.stem)
def test_current_schemas_read_everything_ever_released(path: Path) -> None:
    """BACKWARD_TRANSITIVE, judged by Apache Avro's own checker."""
    record = path.name.split(".")[0]
    writer = avro.schema.parse(path.read_text(encoding="utf-8"))
    reader = avro.schema.parse(json.dumps(registry.current(record)))
    verdict = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    assert verdict.compatibility is SchemaCompatibilityType.compatible, verdict.messages


def test_the_checker_catches_an_incompatible_change() -> None:
    old = registry.current("StudyReady")
    new = {**old, "fields": [*old["fields"], {"name": "added", "type": "string"}]}
    verdict = ReaderWriterCompatibilityChecker().get_compatibility(
        avro.schema.parse(json.dumps(new)), avro.schema.parse(json.dumps(old))
    )
    assert verdict.compatibility is SchemaCompatibilityType.incompatible


def test_the_document_of_settings_is_current() -> None:
    assert release.SETTINGS_FILE.read_text(encoding="utf-8") == settings_document.document(), "run `make contract`"


def test_the_document_of_settings_names_every_block() -> None:
    text = settings_document.document()
    named = set(re.findall(r"`([A-Z_]+)`", text))
    assert {"SCANSTREAM_STOW_OBJECTS", "KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_DSN"} <= named
    assert text.count("\n## ") == len(settings_document.blocks())


def test_generated_documents_are_up_to_date() -> None:
    assert release.ASYNCAPI_FILE.read_text(encoding="utf-8") == release.asyncapi_text(), "run `make contract`"
    readme = release.README_FILE.read_text(encoding="utf-8")
    assert readme == release.with_topic_table(readme), "run `make contract`"


@given(st.binary(max_size=64))
def test_garbage_is_an_invalid_message_and_nothing_else(payload: bytes) -> None:
    for head in (b"", b"\xc3\x01", b"\xc3\x01" + registry.fingerprint_of("StudyReady"), b"\x00\x00\x00\x00\x01"):
        try:
            Codec(Ids()).decode(head + payload)
        except InvalidMessage as error:
            assert str(error)


class Ids:
    """A registry in memory: id = position in the sorted record names."""

    def id_of(self, record: str) -> int:
        return registry.record_names().index(record)

    def schema_of(self, schema_id: int) -> registry.Schema:
        from schemas.errors import UnknownSchema

        names = registry.record_names()
        if schema_id >= len(names):
            raise UnknownSchema(f"no schema {schema_id}")
        return registry.parsed(names[schema_id])


class Foreign:
    """A registry that has another record under a name of ours."""

    def id_of(self, record: str) -> int:
        return 1

    def schema_of(self, schema_id: int) -> registry.Schema:
        return {"type": "record", "name": f"{registry.NAMESPACE}.RelayPosition", "fields": []}


def test_a_foreign_schema_under_our_name_is_an_invalid_message() -> None:
    with pytest.raises(InvalidMessage, match="RelayPosition"):
        Codec(Foreign()).decode(b"\0\0\0\0\1")
