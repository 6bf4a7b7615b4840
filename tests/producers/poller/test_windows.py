from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from producers.poller.windows import Window, parse_date, parse_time, window_of

KYIV = ZoneInfo("Europe/Kyiv")
DAY = date(2026, 11, 22)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("listed", "now", "overlap_h", "first", "last"),
    [
        # 22:30 UTC is after midnight in Kyiv
        ("2026-11-22T22:30", "2026-11-22T22:31", 0, "20261123", "20261124"),
        ("2026-11-22T21:30", "2026-11-22T21:31", 0, "20261122", "20261123"),
        ("2026-11-22T10:00", "2026-11-22T10:01", 24, "20261121", "20261123"),
        # the hour that summer time skips, and the one that comes twice
        ("2026-03-29T01:30", "2026-03-29T01:31", 24, "20260328", "20260330"),
        ("2026-10-25T01:30", "2026-10-25T01:31", 4, "20261025", "20261026"),
        ("2026-10-25T21:30", "2026-10-25T21:31", 24, "20261025", "20261026"),
        # a source that was away for months
        ("2026-01-31T12:00", "2026-11-22T12:00", 48, "20260129", "20261123"),
        # a clock that was set back
        ("2026-11-25T12:00", "2026-11-22T12:00", 0, "20261122", "20261123"),
    ],
)
def test_a_window_is_whole_days_of_the_sources_clock(
    listed: str, now: str, overlap_h: float, first: str, last: str
) -> None:
    window = window_of(utc(listed), utc(now), timedelta(hours=overlap_h), KYIV)
    assert window.study_date() == f"{first}-{last}"
    assert window.study_time() == ""


def test_halves_hold_each_study_once() -> None:
    whole = Window(date(2026, 2, 27), date(2026, 3, 1))
    first, second = whole.halves() or (whole, whole)
    assert (first.study_date(), second.study_date()) == ("20260227-20260228", "20260301")
    morning, evening = Window(DAY, DAY).halves() or (whole, whole)
    assert morning.study_time() == "000000-115959.999999"
    assert evening.study_time() == "120000-235959.999999"
    for moment in ("", "000000", "115959.999999", "12", "1200", "235959.5", "235960"):
        inside = [part.holds("20261122", moment) for part in (morning, evening)]
        # a study without a time is in both
        assert sum(inside) == (2 if moment == "" else 1)
    assert morning.days() == Window(DAY, DAY)


def test_the_smallest_window_is_a_second() -> None:
    window, cuts = Window(date(2020, 1, 1), date(2026, 12, 31)), 0
    while (halves := window.halves()) is not None:
        window, cuts = halves[1], cuts + 1
    assert window == Window(date(2026, 12, 31), date(2026, 12, 31), 86399, 86400)
    assert cuts < 32


@pytest.mark.parametrize(
    ("day", "moment", "inside"),
    [
        ("20261122", "", True),
        ("2026.11.22", "10:30:00", True),
        ("20261121", "235959", False),
        ("20261123", "", False),
        ("", "", True),
        ("yesterday", "", True),
        ("20261322", "", True),
    ],
)
def test_what_a_source_answers_besides_is_left_out_and_bad_dates_are_kept(
    day: str, moment: str, inside: bool
) -> None:
    assert Window(DAY, DAY).holds(day, moment) is inside


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("07", time(7)),
        ("0730", time(7, 30)),
        ("073015.5", time(7, 30, 15, 500_000)),
        ("07:30:15", time(7, 30, 15)),
        ("235960", time(23, 59, 59)),
        ("2430", None),
        ("7", None),
        ("", None),
        ("noon", None),
        ("١٢", None),
    ],
)
def test_times_in_every_form_of_the_standard(text: str, expected: time | None) -> None:
    assert parse_time(text) == expected


def test_dates_that_are_none() -> None:
    assert [parse_date(text) for text in ("20260230", "2026112", "", "٢٠٢٦١١٢٢")] == [None] * 4
