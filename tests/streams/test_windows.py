from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.windows import Window, contradiction, opens_at

KYIV = ZoneInfo("Europe/Kyiv")


def window(begin: str, end: str, *days: str) -> Window:
    fields = {"priority": ["p4-routine"], "begin": begin, "end": end, "days": days}
    return Window.model_validate_json(json.dumps(fields))


def kyiv(*clock: int) -> datetime:
    return datetime(*clock, tzinfo=KYIV)  # type: ignore[misc] # year to minute


NIGHT = window("20:00", "06:00")
LUNCH = window("12:00", "13:30")
WEEKEND = window("22:00", "07:00", "fri", "sat")


@pytest.mark.parametrize(
    ("one", "now", "opens"),
    [
        (NIGHT, kyiv(2026, 11, 23, 19, 59), kyiv(2026, 11, 23, 20)),
        (NIGHT, kyiv(2026, 11, 23, 20), None),
        (NIGHT, kyiv(2026, 11, 23, 23, 59), None),
        (NIGHT, kyiv(2026, 11, 24, 5, 59), None),
        (NIGHT, kyiv(2026, 11, 24, 6), kyiv(2026, 11, 24, 20)),
        (LUNCH, kyiv(2026, 11, 24, 13, 30), kyiv(2026, 11, 25, 12)),
        # it begins on Friday and Saturday, and lasts into the day after
        (WEEKEND, kyiv(2026, 11, 23, 12), kyiv(2026, 11, 27, 22)),
        (WEEKEND, kyiv(2026, 11, 29, 6, 59), None),
        (WEEKEND, kyiv(2026, 11, 29, 7), kyiv(2026, 12, 4, 22)),
        # the clocks go back at 4:00 on 25 October 2026: 3:30 comes twice, and the night is an hour longer
        (NIGHT, datetime(2026, 10, 25, 0, 30, tzinfo=UTC), None),
        (NIGHT, datetime(2026, 10, 25, 1, 30, tzinfo=UTC), None),
        (NIGHT, datetime(2026, 10, 25, 3, 59, tzinfo=UTC), None),
        (NIGHT, datetime(2026, 10, 25, 4, 0, tzinfo=UTC), datetime(2026, 10, 25, 18, tzinfo=UTC)),
        # they go forward at 3:00 on 29 March 2026: 3:30 does not exist
        (
            window("03:30", "05:00"),
            datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
            datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        ),
        (NIGHT, datetime(2026, 3, 29, 2, 59, tzinfo=UTC), None),
        (NIGHT, datetime(2026, 3, 29, 3, 0, tzinfo=UTC), datetime(2026, 3, 29, 17, tzinfo=UTC)),
    ],
)
def test_a_window_opens_by_the_clock_on_the_wall(one: Window, now: datetime, opens: datetime | None) -> None:
    assert opens_at([one], KYIV, now) == opens


def test_without_windows_and_with_several() -> None:
    noon = kyiv(2026, 11, 23, 11)
    assert opens_at([], KYIV, noon) is None
    assert opens_at([NIGHT, LUNCH], KYIV, noon) == kyiv(2026, 11, 23, 12)
    assert opens_at([NIGHT, LUNCH], KYIV, kyiv(2026, 11, 23, 12, 30)) is None


def test_windows_that_overlap_are_told_and_those_side_by_side_are_not() -> None:
    assert contradiction([NIGHT, LUNCH]) is None
    assert contradiction([NIGHT, window("06:00", "08:00")]) is None
    assert "windows 1 and 2 overlap for p4-routine" in str(contradiction([NIGHT, window("05:00", "08:00")]))
    assert contradiction([window("23:00", "01:00", "sun"), window("00:00", "02:00", "tue")]) is None
    assert contradiction([window("23:00", "01:00", "sun"), window("00:00", "02:00", "mon")]) is not None


clocks = st.times().map(lambda one: time(one.hour, one.minute))


@given(
    clocks,
    clocks,
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001 - given a zone below
    st.lists(st.sampled_from(["mon", "wed", "sun"]), unique=True),
)
def test_a_task_that_waits_finds_the_window_open_when_it_opens(
    begin: time, end: time, moment: datetime, days: list[str]
) -> None:
    if begin == end:
        return
    one = window(f"{begin:%H:%M}", f"{end:%H:%M}", *days)
    now = moment.replace(tzinfo=UTC)
    opens = opens_at([one], KYIV, now)
    if opens is not None:
        assert now < opens <= now + timedelta(days=15)
        assert opens_at([one], KYIV, opens) is None


def test_a_weekly_window_within_the_hour_that_the_clocks_leave_out_opens_a_week_later() -> None:
    now = datetime(2026, 3, 22, 12, tzinfo=UTC)
    assert opens_at([window("03:30", "04:10", "sun")], KYIV, now) == datetime(2026, 4, 5, 0, 30, tzinfo=UTC)
