"""Answer of a requester → delivered, or what the writer must do. Pure.

::

    2xx                          delivered, unless the body is a web page: then a proxy or login page answered
    408, 425, 429, 502, 503, 504 SourceUnavailable: all results of this requester wait, Retry-After honoured
    3xx                          PermanentRejection: where a redirect leads is nobody's choice but the site's
    410, other 4xx               PermanentRejection
    other 5xx, a web page        TransientFailure: this result is tried again a few times
"""

from __future__ import annotations

from typing import Final

from consumers.destination import SourceUnavailable
from schemas.errors import PermanentRejection, ScanstreamError, TransientFailure

_AWAY: Final = frozenset({408, 425, 429, 502, 503, 504})

_REMEDY: Final[dict[int, str]] = {
    400: "compare what it expects with docs/callbacks.md",
    401: "see that it verifies the signature with the same secret",
    403: "see that it verifies the signature with the same secret",
    404: "ask for the right callback URL",
    410: "ask for the right callback URL",
}


def verdict(
    address: str, status: int, content_type: str, beginning: bytes, retry_after_s: float | None
) -> ScanstreamError | None:
    """Error of an answer, or ``None`` where the requester took the callback.

    Parameters
    ----------
    address
        ``host:port`` of the requester.
    status
        HTTP status (RFC 9110 15).
    content_type
        Field of the answer; empty where there is none.
    beginning
        First bytes of the body.
    retry_after_s
        How long the requester asks us to wait, in seconds, if it does.
    """
    if 200 <= status < 300:
        if not _is_page(content_type, beginning):
            return None
        return TransientFailure(
            f"{address} answered {status} with a web page: look for a proxy or login page before the callback URL"
        )
    if status in _AWAY:
        return SourceUnavailable(f"{address} cannot take callbacks now ({status}): check its load", retry_after_s)
    if status >= 500:
        return TransientFailure(f"{address} failed on this callback ({status}): see its log for the reason")
    if status < 400:
        return PermanentRejection(
            f"{address} answered with a redirect ({status}), which is not followed: ask for the final URL", status
        )
    remedy = _REMEDY.get(status, "see its log for the reason")
    return PermanentRejection(f"{address} refused the callback ({status}): {remedy}", status)


def _is_page(content_type: str, beginning: bytes) -> bool:
    """Whether the body is a document for a browser; many a framework labels a plain OK as HTML."""
    if "html" not in content_type.lower():
        return False
    return beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))
