"""``Retry-After`` is seconds or a date, and never binds a client for longer than its bounds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from producers.retry_after import LONGEST_S, retry_after_s

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (None, None),
        ("", None),
        (" 17 ", 17.0),
        ("0", 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 9999 11:00:00 GMT", LONGEST_S),
        ("99999999", LONGEST_S),
        ("9" * 5000, LONGEST_S),
    ],
)
def test_seconds_or_a_date(field: str | None, seconds: float | None) -> None:
    assert retry_after_s(field, NOW) == seconds


def test_bounds_are_the_callers() -> None:
    assert retry_after_s("1", NOW, shortest_s=5.0, longest_s=60.0) == 5.0
    assert retry_after_s("61", NOW, shortest_s=5.0, longest_s=60.0) == 60.0
