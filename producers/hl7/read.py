"""Message text → segments and fields, by the numbers of the standard (HL7 2.5.1 2.6). Pure.

Lenient as receivers must be (2.6.2): segments end in CR, LF or both, what is absent is empty, and what is there
beyond the standard is kept. Guarantee: any text either is read or raises ``InvalidMessage``; nothing is copied
more than once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from producers.hl7.charset import UTF8, codec_of, decode
from producers.hl7.escape import Delimiters, unescape
from schemas.errors import InvalidMessage

_END: Final = re.compile(r"[\r\n]+")
_HEADER: Final = "MSH"
_UNUSED: Final = ("", "\0")


@dataclass(frozen=True)
class Segment:
    """One segment of a message."""

    text: str
    delimiters: Delimiters
    codec: str = UTF8

    @property
    def name(self) -> str:
        """Such as ``OBX``."""
        return self._fields[0]

    @cached_property
    def _fields(self) -> list[str]:
        return self.text.split(self.delimiters.field)

    def raw(self, number: int) -> str:
        """A field as it is written, with all its repetitions; empty where it is absent."""
        if self.name == _HEADER:
            if number == 1:
                return self.delimiters.field
            number -= 1
        return self._fields[number] if 0 < number < len(self._fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """Repetitions of a field as they are written; none where it is empty."""
        raw = self.raw(number)
        return raw.split(self.delimiters.repetition) if raw else []

    def value(self, number: int, component: int = 1, subcomponent: int = 1) -> str:
        """Text of the first repetition of a field, or of a component or subcomponent of it."""
        first = next(iter(self.repetitions(number)), "")
        return self.part(first, component, subcomponent)

    def part(self, repetition: str, component: int = 1, subcomponent: int = 1) -> str:
        """Text of a component or subcomponent of one repetition."""
        parts = repetition.split(self.delimiters.component)
        within = parts[component - 1] if component <= len(parts) else ""
        pieces = within.split(self.delimiters.subcomponent)
        text = pieces[subcomponent - 1] if subcomponent <= len(pieces) else ""
        return unescape(text, self.delimiters, self.codec)


@dataclass(frozen=True)
class Message:
    """A message; its first segment is MSH."""

    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, payload: bytes, default: str = UTF8) -> Self:
        """Read a payload.

        Parameters
        ----------
        payload
            Bytes of a message.
        default
            Codec where MSH-18 is empty.

        Raises
        ------
        InvalidMessage
            It does not begin with a message header that names its delimiters, or its bytes are not of its
            character set.
        """
        return cls.parse(decode(payload, default), codec_of(payload, default))

    @classmethod
    def parse(cls, text: str, codec: str = UTF8) -> Self:
        """Read a text.

        Parameters
        ----------
        text
            A message.
        codec
            Character set of the bytes that it escapes.

        Raises
        ------
        InvalidMessage
            It does not begin with a message header that names its delimiters.
        """
        delimiters = _delimiters(text)
        lines = (line for line in _END.split(text) if line.strip())
        return cls(tuple(Segment(line, delimiters, codec) for line in lines))

    @property
    def header(self) -> Segment:
        """MSH."""
        return self.segments[0]

    def all(self, name: str) -> tuple[Segment, ...]:
        """Segments of this name, in order."""
        return tuple(item for item in self.segments if item.name == name)

    def first(self, name: str) -> Segment | None:
        """First segment of this name."""
        return next((item for item in self.segments if item.name == name), None)


def _delimiters(text: str) -> Delimiters:
    if not text.startswith(_HEADER):
        raise InvalidMessage("this is no HL7 message: it does not begin with MSH; look at what the sender sends")
    line = _END.split(text, maxsplit=1)[0]
    separator = line[3:4]
    characters = line[4:].split(separator)[0] if separator else ""
    named = [separator, *characters[:4]]
    if len(named) < 3 or len(set(named)) != len(named) or any(item.isalnum() or item.isspace() for item in named):
        raise InvalidMessage("MSH-1 and MSH-2 name no delimiters that can be used: look at what the sender sends")
    # An escape character or a subcomponent separator that is not named is not used (2.5.4).
    return Delimiters(*named, *_UNUSED[len(named) - 3 :])
