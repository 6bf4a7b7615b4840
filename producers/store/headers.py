"""Start of a data set → its identifying attributes, in any transfer syntax, without touching pixel data.

Pure. Guarantee: every input gives :class:`Headers` or a :class:`Refused` with a sentence for the log and a DICOM
status; text that cannot be decoded never refuses an instance.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from producers.store import attributes, functional_groups
from producers.store.attributes import (
    ISSUER_OF_ACCESSION_NUMBER_SEQUENCE,
    REQUEST_ATTRIBUTES_SEQUENCE,
    SPECIFIC_CHARACTER_SET,
    WANTED,
)
from producers.store.charset import encodings_of, text_of
from producers.store.elements import ITEM_BYTES, ElementReader, Encoding, NeedMore, Unreadable
from producers.store.outcome import Refused, Status

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
#: Deflated Explicit VR, JPIP Referenced Deflate, JPIP HTJ2K Referenced Deflate (PS3.5 A.5, A.7, A.11).
DEFLATED: Final = frozenset({f"1.2.840.10008.1.2.{end}" for end in ("1.99", "4.95", "4.205")})
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

#: Value of Manufacturer (0008,0070) in objects that this system makes.
OWN_MANUFACTURER: Final = "scanstream"

_FIRST_PREFIX: Final = 64 * 1024
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_MAX_TEXT: Final = 1024
#: Further than this no sender's private elements push the attributes; more of it is not held in memory.
_MAX_PREFIX: Final = 64 * 1024 * 1024
#: A deflated header larger than this is an attack, not an image.
_MAX_INFLATED: Final = 16 * 1024 * 1024

_NESTED: Final = (ISSUER_OF_ACCESSION_NUMBER_SEQUENCE, REQUEST_ATTRIBUTES_SEQUENCE)
_SOP_CLASS_UID: Final = 0x00080016
_ENHANCED: Final = frozenset(uid.encode() for uid in functional_groups.ENHANCED)

#: Of a sequence: 1 when it holds something.
Value = str | int | None


def is_uid(text: str) -> bool:
    """Whether the text is a UID (PS3.5 9.1): digits and dots, at most 64 characters.

    Leading zeros in a component, which old equipment writes, are let through.
    """
    return len(text) <= 64 and _UID.fullmatch(text) is not None


@dataclass(frozen=True)
class Headers:
    """What the index and the events need of one instance; ``values`` by DICOM keyword, text as Unicode."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    values: Mapping[str, Value] = field(default_factory=dict)

    def text(self, keyword: str) -> str | None:
        """A text value, or ``None`` when it is absent or empty."""
        value = self.values.get(keyword)
        return str(value) if value not in (None, "") else None

    @property
    def is_own_result(self) -> bool:
        """Whether this system made the object."""
        return self.values.get("Manufacturer") == OWN_MANUFACTURER


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Element encoding of a transfer syntax; everything but three old ones is explicit little endian."""
    return Encoding(
        explicit=transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN,
        little_endian=transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN,
    )


def read_headers(prefix: Callable[[int], bytes], size: int, transfer_syntax_uid: str) -> Headers:
    """Headers of a data set.

    Parameters
    ----------
    prefix
        Gives the first ``n`` bytes of the data set.
    size
        Length of the whole data set in bytes.
    transfer_syntax_uid
        How it is encoded.

    Raises
    ------
    Refused
        It cannot be read, or has no valid UIDs (status C000).
    """
    end = min(size, _MAX_PREFIX)
    taken = min(_FIRST_PREFIX, end)
    while True:
        complete = taken >= end
        try:
            data = prefix(taken)
            if transfer_syntax_uid in DEFLATED:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, _MAX_INFLATED)
            reader = ElementReader(data, encoding_of(transfer_syntax_uid), complete=complete)
            found, items = reader.read((SPECIFIC_CHARACTER_SET, *WANTED), attributes.LAST_TAG, _NESTED)
            break
        except NeedMore:
            taken = min(taken * 4, end)
        except (Unreadable, zlib.error) as error:
            raise Refused(Status.CANNOT_UNDERSTAND, f"the data set cannot be read: {error}") from error
    for tag, value in items.get(REQUEST_ATTRIBUTES_SEQUENCE, {}).items():
        found.setdefault(tag, value)
    issuer = items.get(ISSUER_OF_ACCESSION_NUMBER_SEQUENCE, {})
    found |= {attribute.tag: issuer.get(attribute.tag, b"") for attribute in attributes.ISSUER}
    if transfer_syntax_uid not in DEFLATED and found.get(_SOP_CLASS_UID, b"").rstrip(b"\0 ") in _ENHANCED:
        for tag, value in functional_groups.read(prefix, size, encoding_of(transfer_syntax_uid)).items():
            found.setdefault(tag, value)
    return _headers(found, encoding_of(transfer_syntax_uid).little_endian)


def _headers(found: Mapping[int, bytes], little_endian: bool) -> Headers:
    encodings = encodings_of(found.get(SPECIFIC_CHARACTER_SET))
    values = {
        attribute.keyword: _value(found[tag], attribute.vr, encodings, little_endian)
        for tag, attribute in WANTED.items()
        if tag in found
    }
    uids: list[str] = []
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        uid = values.get(keyword)
        if not uid:
            raise Refused(Status.CANNOT_UNDERSTAND, f"the data set has no {keyword}")
        if not is_uid(str(uid)):
            raise Refused(Status.CANNOT_UNDERSTAND, f"{keyword} is not a UID (PS3.5 9.1)")
        uids.append(str(uid))
    study, series, sop_instance, sop_class = uids
    return Headers(study, series, sop_instance, sop_class, values)


def _value(raw: bytes, vr: str, encodings: list[str], little_endian: bool) -> Value:
    if vr == "US":
        return int.from_bytes(raw[:2], "little" if little_endian else "big") if len(raw) >= 2 else None
    if vr == "SQ":
        return 1 if raw[:4] == ITEM_BYTES[little_endian] else None
    text = text_of(raw[:_MAX_TEXT], encodings if vr in ("LO", "PN", "SH", "UT") else ["ascii"])
    if vr == "IS":
        try:
            number = int(text.partition("\\")[0])
        except ValueError:
            return None
        return number if -(2**31) <= number < 2**31 else None
    return text or None
