"""Dataclass ↔ bytes on the wire.

Two framings, both readable by every reader: Confluent framing (``0x00``, 4-byte big-endian schema id, Avro body)
when a schema registry is configured, else Avro single-object encoding (``C3 01``, 8-byte CRC-64-AVRO
fingerprint, Avro body; Avro specification). Decoding resolves the writer's schema to the current one, so old
data stays readable. Pure: looking up a registry id is an argument.
"""

from __future__ import annotations

import dataclasses
import io
import types
import typing
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Final, Protocol, cast

from fastavro import schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError

from schemas import events, registry
from schemas.errors import InvalidMessage, UnknownSchema
from schemas.instants import rfc3339

SINGLE_OBJECT: Final = b"\xc3\x01"
CONFLUENT: Final = b"\x00"

_CLASSES: Final[dict[str, type[Any]]] = {cls.__name__: cls for cls in typing.get_args(events.Event)}


class SchemaIds(Protocol):
    """What the codec needs of a schema registry."""

    def id_of(self, record: str) -> int:
        """Registry id of the current schema of ``record``."""
        ...

    def schema_of(self, schema_id: int) -> registry.Schema:
        """Writer's schema of a registry id.

        Raises
        ------
        UnknownSchema
            The registry does not know the id.
        """
        ...


class Codec:
    """Encodes and decodes every record of the contract.

    Parameters
    ----------
    schema_ids
        Schema registry to frame with; ``None`` writes single-object encoding.
    """

    def __init__(self, schema_ids: SchemaIds | None = None) -> None:
        self._schema_ids = schema_ids

    def encode(self, event: events.Event) -> bytes:
        """Frame and Avro body of one event."""
        record = type(event).__name__
        buffer = io.BytesIO()
        if self._schema_ids is None:
            buffer.write(SINGLE_OBJECT + registry.fingerprint_of(record))
        else:
            buffer.write(CONFLUENT + self._schema_ids.id_of(record).to_bytes(4, "big"))
        schemaless_writer(buffer, registry.parsed(record), to_plain(event))
        return buffer.getvalue()

    def decode(self, payload: bytes | None) -> events.Event:
        """Event of a framed payload.

        Raises
        ------
        UnknownSchema
            The payload names a schema that neither this release nor the registry has.
        InvalidMessage
            The payload is empty, not framed, or its body does not match its schema.
        """
        writer, body = self._writer_schema(payload)
        record = str(writer["name"]).rpartition(".")[2]
        cls = _CLASSES.get(record)
        if cls is None:
            raise InvalidMessage(f"record {record!r} is not an event of this contract")
        try:
            plain = schemaless_reader(io.BytesIO(body), writer, registry.parsed(record))
        except (
            *(EOFError, IndexError, KeyError, TypeError, ValueError, OverflowError),
            SchemaResolutionError,  # the registry has a schema of this name that is not one of this contract's
        ) as error:
            raise InvalidMessage(f"the Avro body of a {record} cannot be read: {error}") from error
        event: events.Event = from_plain(cls, cast(dict[str, Any], plain))
        return event

    def _writer_schema(self, payload: bytes | None) -> tuple[registry.Schema, bytes]:
        if payload is None:
            raise InvalidMessage("a message without a value (tombstone) is not an event")
        if payload[:2] == SINGLE_OBJECT and len(payload) >= 10:
            schema = registry.released().get(payload[2:10])
            if schema is None:
                raise UnknownSchema(
                    f"schema fingerprint {payload[2:10].hex()} is not among schemas/released: "
                    "update this process to the release that wrote the message"
                )
            return schema, payload[10:]
        if payload[:1] == CONFLUENT and len(payload) >= 5:
            schema_id = int.from_bytes(payload[1:5], "big")
            if self._schema_ids is None:
                raise UnknownSchema(
                    f"the message is framed with schema id {schema_id} but no registry is configured: "
                    "set SCHEMA_REGISTRY_URL"
                )
            return self._schema_ids.schema_of(schema_id), payload[5:]
        raise InvalidMessage("the value is neither Avro single-object encoding nor Confluent framing")


#: Types that Avro's plain form has too; looked at first, because nearly every field of an event is one of them.
_PLAIN: Final = frozenset({str, int, float, bool, type(None), datetime, dict})


def to_plain(value: Any) -> Any:
    """Avro's plain form of a dataclass value: dicts, lists, enumeration names."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value.name
    if kind is tuple:
        return [to_plain(item) for item in value]
    if dataclasses.is_dataclass(kind):
        plain = {name: getattr(value, name) for name in _field_names(kind)}
        for name, part in plain.items():
            if type(part) not in _PLAIN:
                plain[name] = to_plain(part)
        return plain
    return value


def from_plain(cls: Any, plain: dict[str, Any]) -> Any:
    """Dataclass of Avro's plain form."""
    return cls(**{name: convert(plain[name]) for name, convert in _converters(cls)})


@cache
def _field_names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


@cache
def _converters(cls: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((name, _converter(hints[name])) for name in _field_names(cls))


def _converter(hint: Any) -> Callable[[Any], Any]:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _converter(next(arg for arg in typing.get_args(hint) if arg is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _converter(typing.get_args(hint)[0])
        return lambda value: tuple(item(entry) for entry in value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: hint[value]
    if dataclasses.is_dataclass(hint):
        return lambda value: from_plain(cast(type[Any], hint), value)
    return lambda value: value


def to_json(value: Any) -> Any:
    """JSON form of an event for people and web clients: enumeration values, ISO 8601 times."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return rfc3339(value)
    if dataclasses.is_dataclass(value):
        cls: Any = type(value)
        return {name: to_json(getattr(value, name)) for name in _field_names(cls)}
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return value
