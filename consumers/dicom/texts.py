"""Texts of a result → texts that a DICOM value representation allows (PS3.5 6.2).

Models and people put line ends, tabulators, control characters and backslashes into texts; a backslash in an LO is
the border between two values, and a control character makes the object invalid. Letters of every script stay.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: Most bytes of LO and ST. The standard counts characters, but some receivers and validators count bytes.
LONG_STRING: Final = 64
SHORT_TEXT: Final = 1024

_LINE_END: Final = re.compile(r"\r\n|[\r\n\v\f\x85\u2028\u2029]")


def long_string(text: str, otherwise: str = "") -> str:
    """Text as one value of LO: one line of at most 64 bytes of UTF-8.

    Parameters
    ----------
    text
        Any text.
    otherwise
        What is written where nothing of it remains, since many attributes may not be empty.
    """
    line = " ".join(_clean(text).split()).replace("\\", "/")
    return _cut(line, LONG_STRING) or otherwise


def short_text(text: str) -> str:
    """Text as ST: at most 1024 bytes of UTF-8, lines ended by CR LF, and no backslash, which some split at."""
    return _cut(_lines(text).replace("\\", "/"), SHORT_TEXT)


def unlimited_text(text: str, otherwise: str = "") -> str:
    """Text as UT, such as Text Value (0040,A160): of any length, lines ended by CR LF."""
    return _lines(text) or otherwise


def _lines(text: str) -> str:
    return "\r\n".join(_clean(line).rstrip() for line in _LINE_END.split(text)).strip("\r\n ")


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore").rstrip()


def _clean(text: str) -> str:
    """Spaces for control characters, nothing for halves of surrogate pairs.

    TAB became allowed late, and validators of older editions refuse it.
    """
    kept = (" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    return "".join(letter for letter in kept if not "\ud800" <= letter <= "\udfff")
