"""ONNX file → names of the files beside it that hold its weights (ONNX "External Data").

The format is protobuf (https://protobuf.dev/programming-guides/encoding/), of which only the way to the tensors is
walked, with nothing loaded: such models may be larger than memory.

Guarantee: every file that a tensor of the graph names is told, in subgraphs and functions too; of what is no ONNX
file, none.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)

#: As protobuf's own readers.
_DEEPEST: Final = 100

#: Fields of onnx.proto that lead to tensors: message, field number → message.
WAYS: Final[Mapping[str, Mapping[int, str]]] = {
    "ModelProto": {7: "GraphProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}
#: Of TensorProto and StringStringEntryProto.
EXTERNAL_DATA, DATA_LOCATION, KEY, VALUE = 13, 14, 1, 2
_EXTERNAL: Final = 1


class _Field(NamedTuple):
    number: int
    value: int
    #: None where the value is a number.
    content: memoryview | None


class _NoOnnx(Exception):
    """The bytes are no such message."""


def external_files(path: Path) -> tuple[str, ...]:
    """Locations that the tensors of a model name, each once and sorted, as they stand there.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return ()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as whole:
            try:
                return tuple(sorted(set(_locations("ModelProto", whole, 0))))
            except _NoOnnx:
                return ()


def _locations(message: str, content: memoryview, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise _NoOnnx
    if message == "TensorProto":
        yield from _location(content)
        return
    ways = WAYS[message]
    for number, _, inner in _fields(content):
        if number in ways and inner is not None:
            yield from _locations(ways[number], inner, depth + 1)


def _location(tensor: memoryview) -> Iterator[str]:
    told, where = [], 0
    for number, value, inner in _fields(tensor):
        if number == DATA_LOCATION:
            where = value
        elif number == EXTERNAL_DATA and inner is not None:
            entry = {field.number: bytes(field.content) for field in _fields(inner) if field.content is not None}
            if entry.get(KEY) == b"location":
                told.append(entry.get(VALUE, b"").decode(errors="surrogateescape"))
    if where == _EXTERNAL:
        yield from told


def _fields(content: memoryview) -> Iterator[_Field]:
    at, groups = 0, 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, kind, value, size = tag >> 3, tag & 7, 0, 0
        if kind == _VARINT:
            value, at = _varint(content, at)
        elif kind == _BYTES:
            size, at = _varint(content, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        elif kind in (_GROUP, _GROUP_END):
            groups += 1 if kind == _GROUP else -1
        else:
            raise _NoOnnx
        if not number or groups < 0 or at + size > len(content):
            raise _NoOnnx
        if not groups:
            yield _Field(number, value, content[at : at + size] if kind == _BYTES else None)
        at += size
    if groups:
        raise _NoOnnx


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            raise _NoOnnx
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _NoOnnx
