from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from producers.poller.pace import Hours, TokenBucket, backoff_s


def test_a_bucket_keeps_the_rate_over_time() -> None:
    """120 a minute: 20 at once, then two a second, whatever the size of the requests."""
    bucket, now, taken = TokenBucket(120, 0.0), 0.0, 0
    assert bucket.burst == 20
    while now < 600:
        wait = bucket.wait_s(now)
        if wait:
            now += wait
            continue
        bucket.take(7)
        taken += 7
    assert 1200 <= taken <= 1200 + 20 + 7


def test_a_request_that_cannot_be_cut_is_paid_for_afterwards() -> None:
    bucket = TokenBucket(60, 0.0)
    bucket.take(100)
    assert bucket.wait_s(0.0) == pytest.approx(91)
    assert bucket.wait_s(91.0) == 0.0


def test_without_a_rate_nothing_waits() -> None:
    bucket = TokenBucket(None, 0.0)
    bucket.take(10_000)
    assert (bucket.wait_s(0.0), bucket.burst) == (0.0, None)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        # Kyiv is two hours ahead in winter, three in summer
        ("2026-11-22T17:59", False),
        ("2026-11-22T18:00", True),
        ("2026-11-22T23:30", True),
        ("2026-11-23T03:59", True),
        ("2026-11-23T04:00", False),
        ("2026-07-01T17:00", True),
        ("2026-07-01T03:00", False),
        # both passes of the hour that comes twice
        ("2026-10-25T00:30", True),
        ("2026-10-25T01:30", True),
    ],
)
def test_off_peak_hours_follow_the_clock_on_the_wall(moment: str, is_open: bool) -> None:
    hours = Hours(time(20), time(6), ZoneInfo("Europe/Kyiv"))
    assert hours.open_at(datetime.fromisoformat(moment).replace(tzinfo=UTC)) is is_open


def test_hours_within_a_day_and_of_the_whole_day() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert Hours(time(12), time(13), UTC).open_at(noon)
    assert not Hours(time(11), time(12), UTC).open_at(noon)
    assert Hours(time(8), time(8), UTC).open_at(noon)


def test_backoff_doubles_up_to_its_limit_and_is_spread() -> None:
    assert [backoff_s(failures, 1.0) for failures in (1, 2, 3)] == [2, 4, 8]
    assert backoff_s(10_000, 1.0) == 300
    assert backoff_s(10_000, 0.0) == 150
