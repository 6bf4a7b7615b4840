"""Payload → message, in whatever character set it is written. Pure.

MSH-18 decides, and where it is empty the agreement with the source; UTF-8 is recognised by itself, because text in
another character set is hardly ever valid UTF-8. Where the bytes are not what was said, the Cyrillic character set
that gives words is taken. Guarantee: a payload that begins with a usable MSH is always read.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from producers.hl7.charset import UTF8, codec_of, decode_as
from producers.hl7.read import Message
from schemas.errors import InvalidMessage

#: Single-byte character sets in which Ukrainian is written; the last is for anything else.
_CYRILLIC: Final = ("cp1251", "iso8859-5", "koi8_u", "cp866")
_LAST: Final = "latin-1"
_SAMPLE: Final = 20_000


@dataclass(frozen=True)
class Text:
    """A message that was read; ``guessed`` says that it was not in the character set that it should have been."""

    message: Message
    codec: str
    guessed: bool


def read(payload: bytes, default: str) -> Text:
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
        It does not begin with a message header that names its delimiters.
    """
    said = _said(payload)
    expected = [said] if said else list(dict.fromkeys((UTF8, default)))
    for codec in expected:
        text = decode_as(payload, codec)
        if text is not None:
            return Text(Message.parse(text, codec), codec, guessed=False)
    codec = sniff(payload, default)
    return Text(Message.parse(payload.decode(codec), codec), codec, guessed=True)


def _said(payload: bytes) -> str:
    """Codec of MSH-18; empty where it names none that is known."""
    try:
        return codec_of(payload, "")
    except InvalidMessage:
        if payload.lstrip(b"\xef\xbb\xbf")[:3] != b"MSH":
            raise
        return ""


def sniff(payload: bytes, default: str) -> str:
    """Codec in which a payload makes the most sense."""
    for codec in (UTF8, default):
        if decode_as(payload, codec) is not None:
            return codec
    sample = payload[:_SAMPLE]
    scores = {codec: _score(sample, codec) for codec in _CYRILLIC}
    best = max(scores, key=lambda codec: scores[codec])
    return best if scores[best] > 0 and decode_as(payload, best) is not None else _LAST


def _score(sample: bytes, codec: str) -> float:
    """How much the bytes beyond ASCII are words of Cyrillic letters."""
    text = sample.decode(codec, "replace")
    score, before = 0.0, ""
    for character in text:
        if character < "\x80":
            before = ""
            continue
        category = unicodedata.category(character)
        if category not in ("Lu", "Ll"):
            score -= 2 if category in ("Co", "Cc", "So", "Sm") else 0.5
        elif "\u0400" <= character <= "\u0491":
            # a capital after a small letter is what a wrong table gives
            score += -2 if before == "Ll" and category == "Lu" else 1
            # letters of Serbian and Macedonian are there in place of others
            score -= 1.5 if character in "ЂЃЉЊЌЋЏђѓљњќћџЅѕЈј" else 0
        else:
            score -= 1
        before = category
    return score
