"""What is said about an age, or a birth date and a day → years. Pure.

Whole years from two on, and twelfths of a year below, as more of it would tell the birth date.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

_AGE: Final = re.compile(r"(\d{1,3})([DWMY])")
_DATE: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")
_PER_YEAR: Final = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
_INFANT_YEARS: Final = 2
_OLDEST_YEARS: Final = 150


def years_of(age: str | None) -> float | None:
    """Years of an Age String (PS3.5 6.2, AS), such as ``018M``; ``None`` for anything else."""
    found = _AGE.fullmatch((age or "").strip().upper())
    return None if found is None else _coarse(int(found.group(1)) / _PER_YEAR[found.group(2)])


def years_between(birth: str | None, day: str | None) -> float | None:
    """Age of who was born on one day (DA) on another; ``None`` where either is none or the birth is later."""
    born, then = _date(birth), _date(day)
    if born is None or then is None:
        return None
    months = (then.year - born.year) * 12 + then.month - born.month - (then.day < born.day)
    return _coarse(months / 12)


def _coarse(years: float) -> float | None:
    if not 0 <= years <= _OLDEST_YEARS:
        return None
    # a hair more than nothing, so that 12 months of 12 are a year
    return float(int(years + 1e-9)) if years >= _INFANT_YEARS - 1e-9 else round(int(years * 12 + 1e-9) / 12, 2)


def _date(text: str | None) -> date | None:
    found = _DATE.match(text or "")
    try:
        return None if found is None else date(*map(int, found.groups()))
    except ValueError:
        return None
