"""MSH-18 (HL7 2.5.1 2.15.9.18, table 0211) ↔ Python's codecs: payload bytes ↔ message text. Pure.

Only character sets that extend ASCII can be carried by MLLP, whose end bytes would be part of the text in others
(UTF-16, UTF-32).
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from schemas.errors import InvalidMessage

UTF8: Final = "utf-8"
#: MSH-18 of everything that we write; 8859/5 could not write Ґ.
UNICODE_UTF8: Final = "UNICODE UTF-8"

#: Table 0211 and the names that senders use instead.
_CODECS: Final[dict[str, str]] = {
    "ASCII": "ascii",
    **{f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    UNICODE_UTF8: UTF8,
    "UNICODE": UTF8,
    "UTF-8": UTF8,
    "UTF8": UTF8,
    "GB 18030-2000": "gb18030",
    "BIG-5": "big5",
    "KS X 1001": "euc_kr",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_1",
    **{f"{begin}1251": "cp1251" for begin in ("WINDOWS-", "CP", "CP-", "WIN-", "WIN", "")},
    "WINDOWS-1252": "cp1252",
    "KOI8-U": "koi8_u",
    "ISO-8859-5": "iso8859-5",
    "8859-5": "iso8859-5",
}
_CHARACTER_SET: Final = 17  # fields between MSH-1, the separator itself, and MSH-18


def codec_of(payload: bytes, default: str = UTF8) -> str:
    """Python's codec for a payload, from its MSH-18.

    Parameters
    ----------
    payload
        Bytes of a message.
    default
        Codec where MSH-18 is empty: what the site has agreed on with the sender.

    Raises
    ------
    InvalidMessage
        The payload does not begin with a message header, or its character set is none that we know.
    """
    payload = payload.removeprefix(codecs.BOM_UTF8)
    if payload[:3] != b"MSH" or len(payload) < 4:
        raise InvalidMessage("this is no HL7 message: it does not begin with MSH; look at what the sender sends")
    header = re.split(rb"[\r\n]", payload, maxsplit=1)[0]
    values = header.split(payload[3:4])
    if len(values) <= _CHARACTER_SET:
        return default
    repetition = values[1][1:2] or b"~"
    name = values[_CHARACTER_SET].split(repetition)[0].decode("ascii", "replace").strip().upper()
    if not name:
        return default
    known = known_codec(name)
    if known is None:
        raise InvalidMessage(f"MSH-18 names the character set {name[:40]!r}: ask the sender for UNICODE UTF-8")
    return known


def known_codec(name: str) -> str | None:
    """Python's codec for a name of table 0211, or one that senders use instead; ``None`` for any other."""
    return _CODECS.get(name.strip().upper())


def decode_as(payload: bytes, codec: str) -> str | None:
    """Text of a payload in a character set; ``None`` where its bytes are not of it."""
    try:
        return payload.removeprefix(codecs.BOM_UTF8).decode(codec)
    except UnicodeDecodeError:
        return None


def decode(payload: bytes, default: str = UTF8) -> str:
    """Text of a payload in the character set that it names.

    Raises
    ------
    InvalidMessage
        As in :func:`codec_of`, or the bytes are not of that character set.
    """
    codec = codec_of(payload, default)
    try:
        return payload.removeprefix(codecs.BOM_UTF8).decode(codec)
    except UnicodeDecodeError as error:
        raise InvalidMessage(
            f"byte {error.start} is not of the character set {codec}: ask the sender which one it writes in MSH-18"
        ) from error
