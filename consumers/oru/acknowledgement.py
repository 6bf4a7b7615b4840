"""Answer of an HL7 listener → success, or the error that says what the writer must do (HL7 2.5.1 2.9.2). Pure.

::

    MSA-1      ERR-3 (table 0357)    what to do
    AA, CA     any                   stored: CA says that it is in safe storage, which is all that is asked for
    any other  200 to 203            DestinationUnavailable: it takes no ORU^R01 2.5.1 at all, a setting is wrong
    any other  206, 207              TransientFailure: a record is locked, or it failed inside
    AE, CE     others, none          PermanentRejection: the content is wrong, and would be again
    AR, CR     others, none          TransientFailure: what was wrong was not the content

AR should mean that the listener is down, but many answer it to one message that they cannot match, and that one
must not hold up all others; a listener that answers it to everything meets the brake.

What a listener says may quote the patient: of its words those that were sent, whatever is not ASCII in a text of
no stated character set, and every longer number are taken out before they reach a log or an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from producers.hl7.read import Message, Segment
from schemas.errors import (
    DestinationUnavailable,
    InvalidMessage,
    PermanentRejection,
    ScanstreamError,
    TransientFailure,
)

ACCEPTED: Final = frozenset({"AA", "CA"})
_CONTENT: Final = frozenset({"AE", "CE"})
_REJECTED: Final = frozenset({"AR", "CR"})
_UNSUPPORTED: Final = frozenset({"200", "201", "202", "203"})
_MAY_PASS: Final = frozenset({"206", "207"})
_MEANINGS: Final[dict[str, str]] = {
    "100": "segment sequence error",
    "101": "required field missing",
    "102": "data type error",
    "103": "table value not found",
    "200": "unsupported message type",
    "201": "unsupported event code",
    "202": "unsupported processing id",
    "203": "unsupported version id",
    "204": "unknown key identifier",
    "205": "duplicate key identifier",
    "206": "application record locked",
    "207": "application internal error",
}
_LONGEST: Final = 160
_PLACE: Final = re.compile(r"[A-Z][A-Z0-9]{2}")


@dataclass(frozen=True)
class Acknowledgement:
    """What a listener answered; ``said`` is its own text, which may quote the patient.

    Attributes
    ----------
    code
        MSA-1.
    control_id
        MSA-2: which message it is about.
    errors
        Codes of table 0357.
    places
        Where in the message, such as ``PID-3``.
    """

    code: str
    control_id: str
    errors: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    said: str = ""

    def is_about(self, control_id: str) -> bool:
        """Whether this is the answer to a message that is the only one under way on its connection.

        A listener that could not read a message may not know its control id; it cannot accept one that way.
        """
        return self.control_id == control_id or (not self.control_id and self.code in _CONTENT | _REJECTED)


def read(payload: bytes) -> Acknowledgement:
    """Read an answer.

    Raises
    ------
    InvalidMessage
        It is no acknowledgement.
    """
    try:
        message = Message.of(payload)
    except InvalidMessage:
        # only its codes are needed, and those are ASCII
        message = Message.parse(payload.decode("ascii", "replace"))
    about = message.first("MSA")
    if about is None:
        raise InvalidMessage("the answer has no MSA: it is no acknowledgement")
    segments = message.all("ERR")
    codes = [_code(segment) for segment in segments] + [about.value(6)]
    texts = [about.value(3)] + [segment.value(field) for segment in segments for field in (8, 7)]
    return Acknowledgement(
        code=about.value(1).strip().upper(),
        control_id=about.value(2).strip(),
        errors=tuple(dict.fromkeys(code for code in codes if code in _MEANINGS)),
        places=tuple(filter(None, (_place(segment) for segment in segments))),
        said="; ".join(filter(None, dict.fromkeys(texts))),
    )


def error_of(answer: Acknowledgement, personal: Iterable[str]) -> ScanstreamError | None:
    """Error for an answer, or ``None`` where the message was accepted.

    Parameters
    ----------
    personal
        Values that must not be repeated.
    """
    if answer.code in ACCEPTED:
        return None
    told = [*(f"{code} {_MEANINGS[code]}" for code in answer.errors), *answer.places]
    told += [text] if (text := without(answer.said, personal)) else []
    known = answer.code in _CONTENT | _REJECTED
    said = f"the HL7 listener answered {answer.code if known else 'an unknown code'}"
    said += f" ({', '.join(told)})" if told else ""
    if _UNSUPPORTED.intersection(answer.errors):
        return DestinationUnavailable(
            f"{said}: make it accept ORU^R01 of 2.5.1, or correct SCANSTREAM_ORU_PROCESSING_ID"
        )
    if answer.code not in _CONTENT or _MAY_PASS.intersection(answer.errors):
        return TransientFailure(f"{said}: look into its log if it stays so")
    number = int(answer.errors[0]) if answer.errors else None
    return PermanentRejection(f"{said}: correct what it refuses in the study or the listener, and replay", number)


def without(text: str, personal: Iterable[str]) -> str:
    """Short, printable text without these values and without numbers of four digits or more."""
    text = _plain(text[: 100 * _LONGEST])
    for value in sorted({_plain(item) for item in personal} - {""}, key=len, reverse=True):
        text = re.sub(re.escape(value), "…", text, flags=re.IGNORECASE)
    text = re.sub(r"\d[\d.\-/]{2,}\d", "…", text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _plain(text: str) -> str:
    """One line of printable characters."""
    shown = (character if character.isprintable() else " " for character in text.replace("\ufffd", ""))
    return " ".join("".join(shown).split())


def _code(segment: Segment) -> str:
    """ERR-3, or ERR-1.4 of versions before 2.5."""
    return segment.value(3) or segment.value(1, 4)


def _place(segment: Segment) -> str:
    """Segment and field of ERR-2, or of ERR-1 before 2.5."""
    number = 2 if segment.raw(2) else 1
    name, field = segment.value(number, 1), segment.value(number, 3)
    if not _PLACE.fullmatch(name):
        return ""
    return f"{name}-{field}" if re.fullmatch(r"\d{1,2}", field) else name
