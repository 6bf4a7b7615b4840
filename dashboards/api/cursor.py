"""Mark in a list ↔ opaque text for a URL. Pure."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

from dashboards.live.catalogue import Mark


def cursor_of(mark: Mark) -> str:
    """Text of a mark."""
    at, task_id = mark
    return base64.urlsafe_b64encode(f"{round(at.timestamp() * 1000)}|{task_id}".encode()).decode().rstrip("=")


def mark_of(cursor: str) -> Mark | None:
    """Mark of a text, or ``None`` where this service did not make it."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        millis, bar, task_id = text.partition("|")
        at = datetime.fromtimestamp(int(millis) / 1000, UTC)
    except (ValueError, OverflowError, OSError, binascii.Error):
        return None
    return (at, task_id) if bar else None
