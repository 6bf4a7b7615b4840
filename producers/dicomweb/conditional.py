"""Conditional and range header fields of a request → what to send (RFC 9110 13 and 14). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from producers.dicomweb.problem import Problem

_ETAG: Final = re.compile(r'(W/)?"[^"]*"')
_RANGE: Final = re.compile(r"bytes\s*=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


def not_modified(headers: Mapping[str, str], etag: str) -> bool:
    """Whether ``If-None-Match`` names this representation, by weak comparison (RFC 9110 13.1.2)."""
    field = headers.get("if-none-match")
    if field is None:
        return False
    tags = {match[0].removeprefix("W/") for match in _ETAG.finditer(field)}
    return field.strip() == "*" or etag.removeprefix("W/") in tags


def selected_range(headers: Mapping[str, str], etag: str, length: int) -> range | None:
    """Bytes that the request wants; ``None`` is all.

    One range is served; several, or what is no range, are answered with the whole (RFC 9110 14.2). A range of an
    older representation (``If-Range``, by strong comparison) is too.

    Parameters
    ----------
    headers
        Of the request, names in lower case.
    etag
        Strong entity tag of the representation.
    length
        Its bytes.

    Raises
    ------
    Problem
        416: the range is well formed and lies outside.
    """
    parsed = _RANGE.fullmatch(headers.get("range", ""))
    if parsed is None or headers.get("if-range", etag).strip() != etag:
        return None
    first, last = parsed[1], parsed[2]
    if not first and not last:
        return None
    if first and last and int(first) > int(last):
        return None
    start = int(first) if first else max(0, length - int(last))
    stop = min(length, int(last) + 1) if first and last else length
    if start >= stop:
        raise Problem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"the resource has {length} bytes: ask for a range within them",
            {"Content-Range": f"bytes */{length}"},
        )
    return range(start, stop)
