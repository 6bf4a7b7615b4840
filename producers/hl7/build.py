"""Values → segments → message text (HL7 2.5.1 2.5, 2.6). Pure.

A field is given as what it means, never as HL7 text: a ``str`` is a text and is escaped, a tuple holds components
(a tuple in it holds subcomponents), a list holds repetitions. So no value can ever add a field or a segment.
Fields at the end that are empty are left out, and so are components.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from producers.hl7.escape import STANDARD, escape, escape_formatted


@dataclass(frozen=True)
class Formatted:
    """Text of several lines for a field of type FT (2.A.31)."""

    text: str


Part: TypeAlias = str | None
Component: TypeAlias = "Part | tuple[Part, ...]"
Value: TypeAlias = "Part | Formatted | tuple[Component, ...]"
Field: TypeAlias = "Value | list[Value]"

_HEADER: Final = "MSH"


def segment(name: str, fields: Mapping[int, Field]) -> str:
    """One segment, without its end.

    Parameters
    ----------
    name
        Such as ``OBX``.
    fields
        By their numbers in the standard. Those of MSH begin at 3: MSH-1 and MSH-2 follow from the delimiters.
    """
    first = 3 if name == _HEADER else 1
    written = [_field(fields.get(number)) for number in range(first, max(fields, default=0) + 1)]
    while written and not written[-1]:
        written.pop()
    start = [name, STANDARD.encoding_characters] if name == _HEADER else [name]
    return STANDARD.field.join([*start, *written])


def message(segments: Iterable[str]) -> bytes:
    """Payload of segments, each with its end (2.5.2), in UTF-8.

    A surrogate without its other half, which UTF-8 cannot write, becomes a question mark.
    """
    return "".join(f"{item}\r" for item in segments).encode("utf-8", "replace")


def _field(value: Field) -> str:
    if isinstance(value, list):
        return STANDARD.repetition.join(filter(None, (_value(item) for item in value)))
    return _value(value)


def _value(value: Value) -> str:
    if isinstance(value, Formatted):
        return escape_formatted(value.text)
    if isinstance(value, tuple):
        return _joined((_component(item) for item in value), STANDARD.component)
    return escape(value or "")


def _component(value: Component) -> str:
    if isinstance(value, tuple):
        return _joined((escape(item or "") for item in value), STANDARD.subcomponent)
    return escape(value or "")


def _joined(parts: Iterable[str], separator: str) -> str:
    return separator.join(parts).rstrip(separator)
