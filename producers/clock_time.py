"""Time of day in a YAML file → :class:`datetime.time`, however YAML read it."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


def _clock_time(value: Any) -> Any:
    """YAML 1.1 reads 20:00 as the number 1200, in base 60: the minutes since midnight."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return time(value // 60, value % 60)
    matched = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if matched is None:
        raise ValueError('give a time of day such as "20:00"')
    return time(int(matched[1]), int(matched[2]))


ClockTime = Annotated[time, BeforeValidator(_clock_time)]
