"""Request to cancel a workitem (PS3.4 table CC.2.2-1) → what is asked for, checked. Pure.

Guarantee: no refusal quotes what the requester wrote, because its sentence is a header field of the answer too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pydicom import Dataset
from pydicom.sequence import Sequence

from dashboards.ups.orders import WorkitemRefused
from schemas.events import Code

#: Characters of a reason that are kept: it stands in every status and in lists for people.
KEPT: Final = 500
#: PS3.5 table 6.2-1: value representations LT, LO, SH.
_LONGEST_TEXT: Final = 10_240
_LONGEST_NAME: Final = 64
_LONGEST_SCHEME: Final = 16
_LONGEST_CODE: Final = 256
_LONGEST_URI: Final = 2_048
_MOST_CODES: Final = 10
#: Control characters but for tabulator, line feed, form feed and carriage return.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
#: RFC 3986 2 and 3.1.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")


@dataclass(frozen=True)
class Cancellation:
    """What somebody says who asks for a cancellation; ``shortened``: the reason was longer."""

    reason: str | None = None
    codes: tuple[Code, ...] = ()
    contact_name: str | None = None
    contact_uri: str | None = None
    shortened: bool = False

    @property
    def says_why(self) -> bool:
        """Whether there is anything beside the request itself."""
        return any((self.reason, self.codes, self.contact_name, self.contact_uri))


def cancellation_of(item: Dataset) -> Cancellation:
    """What a request says; all of it may be left out.

    Parameters
    ----------
    item
        Action information (PS3.4 table CC.2.2-1); what is not listed there is passed over.

    Raises
    ------
    WorkitemRefused
        A value is not as PS3.5 has it.
    """
    reason = _text(item, "ReasonForCancellation", "Reason For Cancellation (0074,1238)", _LONGEST_TEXT)
    uri = _text(item, "ContactURI", "Contact URI (0074,100A)", _LONGEST_URI)
    if uri is not None and not _URI.fullmatch(uri):
        raise _wrong("Contact URI (0074,100A) must be a URI with its scheme, such as tel: or mailto:")
    return Cancellation(
        reason=None if reason is None else reason[:KEPT],
        codes=_codes(item),
        contact_name=_line(item, "ContactDisplayName", "Contact Display Name (0074,100C)", _LONGEST_NAME),
        contact_uri=uri,
        shortened=reason is not None and len(reason) > KEPT,
    )


def _codes(item: Dataset) -> tuple[Code, ...]:
    what = "Procedure Step Discontinuation Reason Code Sequence (0074,100E)"
    given: Any = item.get("ProcedureStepDiscontinuationReasonCodeSequence")
    if given is None or given == "":
        return ()
    if not isinstance(given, Sequence) or len(given) > _MOST_CODES:
        raise _wrong(f"{what} must be a sequence of {_MOST_CODES} items at most")
    return tuple(_code(code, what) for code in given)


def _code(item: Dataset, what: str) -> Code:
    value = _line(item, "CodeValue", f"Code Value in {what}", _LONGEST_SCHEME)
    value = value or _line(item, "LongCodeValue", f"Long Code Value in {what}", _LONGEST_CODE)
    scheme = _line(item, "CodingSchemeDesignator", f"Coding Scheme Designator in {what}", _LONGEST_SCHEME)
    meaning = _line(item, "CodeMeaning", f"Code Meaning in {what}", _LONGEST_NAME)
    if value is None or scheme is None or meaning is None:
        raise _wrong(f"each item of {what} must have Code Value, Coding Scheme Designator and Code Meaning")
    return Code(value, scheme, meaning)


def _line(item: Dataset, keyword: str, what: str, longest: int) -> str | None:
    text = _text(item, keyword, what, longest)
    if text is not None and re.search(r"[\x00-\x1f\x7f-\x9f\\]", text):
        raise _wrong(f"{what} must be one line without backslashes")
    return text


def _text(item: Dataset, keyword: str, what: str, longest: int) -> str | None:
    given: Any = item.get(keyword)
    if given is None:
        return None
    if not isinstance(given, str):
        raise _wrong(f"{what} must be one text")
    text = given.strip()
    if len(text) > longest:
        raise _wrong(f"{what} must have {longest} characters at most")
    if _CONTROL.search(text):
        raise _wrong(f"{what} must have no control characters")
    return text or None


def _wrong(sentence: str) -> WorkitemRefused:
    return WorkitemRefused(400, f"{sentence}: correct it, or leave it out; the workitem goes on")
