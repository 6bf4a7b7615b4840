"""Failure reasons and statuses of storing (PS3.7 C, PS3.4 B.2.3, J.3, PS3.18 I.2) → words and remedies. Pure."""

from __future__ import annotations

from typing import Final

from schemas.events import DeliveryStatus, ObjectOutcome

#: There already: ours unless it can be looked at and is not, for our UIDs follow from the content.
DUPLICATE: Final = frozenset({0x0111, 45070})
OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)

#: Reasons that may pass: processing failure, resource limitation, and "being created" of one server.
PASSING: Final = frozenset({0x0110, 0x0213, 45071})

_WORDS: Final[dict[int, str]] = {
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0115: "invalid argument value",
    0x0117: "invalid object instance",
    0x0118: "no such SOP class",
    0x0119: "class and instance conflict",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0x0131: "duplicate transaction UID",
    0x0210: "duplicate invocation",
    0x0211: "unrecognized operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    0xB000: "attributes coerced",
    0xB006: "elements discarded",
    0xB007: "data set does not match the SOP class",
    45070: "already stored",
    45071: "being created",
}
_RANGES: Final[tuple[tuple[range, str], ...]] = (
    (OUT_OF_RESOURCES, "out of resources"),
    (range(0xA900, 0xAA00), "data set does not match the SOP class"),
    (range(0xC000, 0xD000), "cannot understand the data set"),
)

_REMEDIES: Final[dict[int, str]] = {
    0x0122: "enable this SOP class there, or leave it out of SCANSTREAM_STOW_OBJECTS",
    0x0124: "give this writer the right to store there",
    400: "see its log for the reason",
    409: "it stored none of the instances: see its log for the reason",
    413: "raise its limit of the size of a request",
    415: "it does not take application/dicom in Explicit VR Little Endian: correct its configuration",
}
_DEFAULT_REMEDY: Final = "see its log for the reason"


def said(code: int) -> str:
    """A DICOM status or failure reason with its meaning, such as ``0122H, SOP class not supported``."""
    words = _WORDS.get(code) or next((text for codes, text in _RANGES if code in codes), None)
    return f"{code:04X}H" + (f", {words}" if words else "")


def remedy(code: int) -> str:
    """What to do about a code of DICOM or HTTP, at the PACS."""
    return _REMEDIES.get(code, _DEFAULT_REMEDY)


def stored(sop_class_uid: str, uid: str, url: str | None, code: int, warning: int | None) -> ObjectOutcome:
    """Outcome of an instance that the PACS has; a warning of the PACS is kept as the reason."""
    reason = None if warning is None else f"stored with a warning: {said(warning)}"
    return ObjectOutcome(sop_class_uid, uid, DeliveryStatus.STORED, url, warning or code, reason)


def conflict(sop_class_uid: str, uid: str, code: int, place: str) -> ObjectOutcome:
    """Outcome of an instance in whose place the PACS has another object."""
    return ObjectOutcome(
        sop_class_uid,
        uid,
        DeliveryStatus.FAILED,
        None,
        code,
        f"the PACS has another object under this SOP Instance UID, which differs at {place}: find out who wrote "
        "it, delete it there, and deliver the result again",
    )
