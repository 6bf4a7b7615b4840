"""Avro files → parsed schemas: by record name, by CRC-64-AVRO fingerprint, and every released version.

``schemas/avsc`` holds the current schema of each record, one named type per file, named so that
``fastavro.schema.load_schema`` resolves references by itself. ``schemas/released`` holds each version that was
ever released, self-contained and named by its fingerprint, so that a replay of old data still decodes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from schemas.errors import UnknownSchema

NAMESPACE: Final = "scanstream.v1"
AVSC_DIR: Final = Path(__file__).parent / "avsc"
RELEASED_DIR: Final = Path(__file__).parent / "released"

Schema = dict[str, Any]


@cache
def current(record: str) -> Schema:
    """Self-contained schema of a record as it stands now.

    Parameters
    ----------
    record
        Avro record name without namespace, such as ``StudyReady``.

    Raises
    ------
    UnknownSchema
        There is no such record.
    """
    if not _path(record).is_file():
        raise UnknownSchema(f"no record named {record!r}: schemas/avsc has {', '.join(sorted(record_names()))}")
    inlined: Schema = _inline(_read(record), set())
    return inlined


@cache
def parsed(record: str) -> Schema:
    """:func:`current`, prepared for fastavro."""
    return cast(Schema, parse_schema(current(record)))


@cache
def fingerprint_of(record: str) -> bytes:
    """Little-endian CRC-64-AVRO fingerprint (8 bytes) of the current schema (Avro specification)."""
    return crc64(current(record))


def crc64(schema: Schema) -> bytes:
    """CRC-64-AVRO of the Parsing Canonical Form, little-endian, 8 bytes."""
    digest: str = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    # fastavro prints the digest's bytes in wire (little-endian) order
    return bytes.fromhex(digest)


@cache
def released() -> dict[bytes, Schema]:
    """Every released schema by fingerprint, the current ones included."""
    found = {fingerprint_of(record): parsed(record) for record in record_names()}
    for path in sorted(RELEASED_DIR.glob("*.avsc")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(crc64(schema), cast(Schema, parse_schema(schema)))
    return found


def record_names() -> list[str]:
    """Names of all records (enumerations left out)."""
    names = [path.name.removeprefix(f"{NAMESPACE}.").removesuffix(".avsc") for path in AVSC_DIR.glob("*.avsc")]
    return sorted(name for name in names if _read(name)["type"] == "record")


def _path(name: str) -> Path:
    return AVSC_DIR / f"{NAMESPACE}.{name}.avsc"


@cache
def _read(name: str) -> Schema:
    schema: Schema = json.loads(_path(name).read_text(encoding="utf-8"))
    return schema


def _inline(node: Any, seen: set[str]) -> Any:
    """Replace the first reference to each named type by its definition (Avro allows a name to be defined once)."""
    if isinstance(node, str):
        if not node.startswith(f"{NAMESPACE}.") or node in seen:
            return node
        return _inline(_read(node.removeprefix(f"{NAMESPACE}.")), seen)
    if isinstance(node, list):
        return [_inline(item, seen) for item in node]
    if isinstance(node, dict):
        if node.get("type") in {"record", "enum"}:
            seen.add(f"{node['namespace']}.{node['name']}")
        if node.get("type") == "record":
            fields = [{**field, "type": _inline(field["type"], seen)} for field in node["fields"]]
            return {**node, "fields": fields}
        if node.get("type") == "array":
            return {**node, "items": _inline(node["items"], seen)}
    return node
