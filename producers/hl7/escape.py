r"""Text ↔ HL7 text: delimiters, line ends and control characters as escape sequences (HL7 2.5.1 2.7). Pure.

::

    \F\ \S\ \T\ \R\ \E\     field, component, subcomponent, repetition, escape character
    \X0D0A\                 bytes in hexadecimal, of the message's character set
    \.br\                   line break, in formatted text (FT) only

Guarantee: ``unescape(escape(text)) == text`` for every text that the character set can write; an escaped text has
no delimiter and no control character, so it can break neither a segment nor an MLLP block.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from producers.hl7.charset import UTF8

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_HEX: Final = re.compile(r"X((?:[0-9A-Fa-f]{2})+)")
#: Start and end of highlighting have no place in plain text.
_HIGHLIGHT: Final = frozenset({"H", "N"})
#: Alone in a field it means "delete what you have" (2.5.3), so as a text it is written otherwise.
_NULL: Final = '""'


@dataclass(frozen=True)
class Delimiters:
    """Separators of one message, as its MSH-1 and MSH-2 name them (2.5.4)."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @property
    def encoding_characters(self) -> str:
        """MSH-2."""
        return self.component + self.repetition + self.escape + self.subcomponent

    @cached_property
    def letters(self) -> dict[str, str]:
        """Delimiter → letter of its escape sequence."""
        return {
            self.field: "F",
            self.component: "S",
            self.subcomponent: "T",
            self.repetition: "R",
            self.escape: "E",
        }

    @cached_property
    def special(self) -> re.Pattern[str]:
        """What cannot stand in a text as it is: delimiters and control characters (Unicode category Cc)."""
        return re.compile(f"[{re.escape(''.join(self.letters))}\\x00-\\x1f\\x7f-\\x9f]")


STANDARD: Final = Delimiters()


def escape(text: str, delimiters: Delimiters = STANDARD, codec: str = UTF8) -> str:
    """A text as the content of a field, component or subcomponent.

    Parameters
    ----------
    codec
        Python's name of the message's character set; characters that it lacks are the sender's to avoid.
    """
    if text == _NULL:
        return f"{delimiters.escape}X2222{delimiters.escape}"

    def written(found: re.Match[str]) -> str:
        character = found.group()
        code = delimiters.letters.get(character) or f"X{character.encode(codec, 'replace').hex().upper()}"
        return f"{delimiters.escape}{code}{delimiters.escape}"

    return delimiters.special.sub(written, text)


def escape_formatted(text: str, delimiters: Delimiters = STANDARD, codec: str = UTF8) -> str:
    r"""A text of several lines as the content of an FT (2.A.31), with ``\.br\`` between its lines."""
    lines = (escape(line, delimiters, codec) for line in _LINE_END.split(text))
    return f"{delimiters.escape}.br{delimiters.escape}".join(lines)


def unescape(text: str, delimiters: Delimiters = STANDARD, codec: str = UTF8) -> str:
    r"""Content of a field → text; ``\.br\`` becomes a line feed, sequences without a meaning stay as they are."""
    if not delimiters.escape or delimiters.escape not in text:
        return text
    meanings = {letter: character for character, letter in delimiters.letters.items()}
    plain: list[str] = []
    rest = text
    while True:
        before, found, rest = rest.partition(delimiters.escape)
        plain.append(before)
        if not found:
            return "".join(plain)
        sequence, closed, after = rest.partition(delimiters.escape)
        meaning = _meaning(sequence, meanings, codec) if closed else None
        if meaning is None:
            plain.append(found)
        else:
            plain.append(meaning)
            rest = after


def _meaning(sequence: str, letters: dict[str, str], codec: str) -> str | None:
    if sequence in letters:
        return letters[sequence]
    if sequence == ".br":
        return "\n"
    if sequence in _HIGHLIGHT:
        return ""
    digits = _HEX.fullmatch(sequence)
    return bytes.fromhex(digits.group(1)).decode(codec, "replace") if digits else None
