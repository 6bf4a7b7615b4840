"""UTC time → RFC 3339 text with milliseconds and ``Z``: one form on the wire, in headers and for people. Pure."""

from __future__ import annotations

from datetime import datetime


def rfc3339(moment: datetime) -> str:
    """Text of a time that is already in UTC, such as ``2026-11-22T09:30:00.000Z``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
