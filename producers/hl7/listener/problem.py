"""What is wrong with a message, as an acknowledgement says it (HL7 2.5.1 2.15.5, tables 0008, 0357).

The sentence goes back to the sender and into the log: it names fields, never their content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from schemas.errors import InvalidMessage

REQUIRED: Final = "101"
DATA_TYPE: Final = "102"
TABLE_VALUE: Final = "103"
SEQUENCE: Final = "100"
UNSUPPORTED_TYPE: Final = "200"
UNSUPPORTED_EVENT: Final = "201"
UNSUPPORTED_PROCESSING: Final = "202"
UNKNOWN_KEY: Final = "204"
INTERNAL: Final = "207"

#: Texts of table 0357.
MEANINGS: Final = {
    SEQUENCE: "Segment sequence error",
    REQUIRED: "Required field missing",
    DATA_TYPE: "Data type error",
    TABLE_VALUE: "Table value not found",
    UNSUPPORTED_TYPE: "Unsupported message type",
    UNSUPPORTED_EVENT: "Unsupported event code",
    UNSUPPORTED_PROCESSING: "Unsupported processing id",
    UNKNOWN_KEY: "Unknown key identifier",
    INTERNAL: "Application internal error",
}
_PLACE: Final = re.compile(r"([A-Z][A-Z0-9]{2})(?:-(\d{1,3}))?")


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes
    ----------
    code
        Of table 0357.
    segment, field
        Where; ``field`` is ``None`` for a whole segment.
    sentence
        For people.
    may_pass
        Whether the same message may be taken later: AR instead of AE.
    """

    code: str
    segment: str
    field: int | None
    sentence: str
    may_pass: bool = False


class Rejected(InvalidMessage):
    """A message that is not taken.

    Parameters
    ----------
    code
        Of table 0357.
    place
        Such as ``PID-3``.
    sentence
        What is wrong and what to do, without content of the message.
    may_pass
        Whether the sender should try again.
    """

    def __init__(self, code: str, place: str, sentence: str, *, may_pass: bool = False) -> None:
        super().__init__(sentence)
        found = _PLACE.fullmatch(place)
        segment, field = (found.group(1), found.group(2)) if found else (place, None)
        self.problem = Problem(code, segment, int(field) if field else None, sentence, may_pass)
