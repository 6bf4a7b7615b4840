"""Bytes of a text value → Unicode (PS3.5 6.1, PS3.3 C.12.1.1.2), for whatever consoles really send.

Never fails: an unknown character set or undecodable bytes give replacement characters, because a wrong label on a
name is no reason to refuse an image. The stored bytes are not affected.
"""

from __future__ import annotations

import codecs
from typing import Final

from pydicom.charset import decode_bytes, python_encoding

_DEFAULT: Final = "latin-1"
_ESCAPE: Final = b"\x1b"
#: Delimiters that reset code extensions (PS3.5 6.1.2.5.3).
_DELIMITERS: Final = {ord(mark) for mark in "\\^="}


def encodings_of(specific_character_set: bytes | None) -> list[str]:
    """Python codecs of Specific Character Set (0008,0005); terms that nobody knows count as the default."""
    if not specific_character_set:
        return [_DEFAULT]
    terms = specific_character_set.decode("ascii", "replace").split("\\")
    return [_codec(term.strip(" \0")) for term in terms]


def _codec(term: str) -> str:
    name = python_encoding.get(term) or python_encoding.get(term.replace(" ", "_").replace("ISO_IR_", "ISO_IR "))
    if name is None or name == "iso8859":
        return _DEFAULT
    try:
        codecs.lookup(name)
    except LookupError:
        return _DEFAULT
    return str(name)


def text_of(value: bytes, encodings: list[str]) -> str:
    """Unicode of one value, without padding; never raises."""
    if value.isascii() and _ESCAPE not in value:
        return value.decode("ascii").strip(" \0")
    if _ESCAPE in value and len(encodings) > 1:
        try:
            return str(decode_bytes(value, encodings, _DELIMITERS)).strip(" \0")
        except (LookupError, UnicodeError, ValueError, Warning):
            return value.decode(encodings[0], "replace").strip(" \0")
    return value.decode(encodings[0], "replace").strip(" \0")
