"""Alarm and contact → a signed link to acknowledge it, and back whether a link is genuine. Pure.

HMAC-SHA256 (RFC 2104) over everything that the link says, cut to 128 bits (RFC 2104 5) so that it fits into a text
message; compared in constant time. A link names one alarm and one contact, and ends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from schemas.errors import InvalidMessage
from schemas.terminology import Language

_SIGNATURE_BYTES: Final = 16
#: Shortest key that may sign, in characters.
SHORTEST_SECRET: Final = 16


class LinkExpired(InvalidMessage):
    """The link was genuine, and its time is over."""


@dataclass(frozen=True)
class AcknowledgementLink:
    """What a link says.

    Attributes
    ----------
    expires
        Seconds since 1970, UTC.
    """

    escalation_id: str
    contact: str
    expires: int
    language: Language = Language.ENGLISH

    def url(self, root: str, secret: str) -> str:
        """The link under the root of the API."""
        query = {"contact": self.contact, "expires": self.expires, "lang": self.language.value}
        signed = urlencode(query | {"signature": signature(self, secret)})
        return f"{root.rstrip('/')}/escalations/{quote(self.escalation_id, safe='')}/acknowledge?{signed}"


def signature(link: AcknowledgementLink, secret: str) -> str:
    """Signature of a link: 22 characters of base64url."""
    text = "\n".join((link.escalation_id, link.contact, str(link.expires), link.language.value))
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:_SIGNATURE_BYTES]).rstrip(b"=").decode()


def verify(link: AcknowledgementLink, given: str, secret: str, now: datetime) -> None:
    """Make sure that we made a link and that it still holds.

    Raises
    ------
    LinkExpired
        Its time is over.
    InvalidMessage
        It is not ours.
    """
    # bytes: compare_digest refuses text beyond ASCII
    if not hmac.compare_digest(signature(link, secret).encode(), given.encode()):
        raise InvalidMessage("the signature of this link is wrong: use the link as it was sent")
    if now.timestamp() >= link.expires:
        raise LinkExpired("this link is too old: open the worklist and acknowledge there")
