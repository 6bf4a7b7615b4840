"""Numbers and moments → what HL7 writes (HL7 2.5.1 2.A.47 NM, 2.A.77 TS). Pure."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Final

_LONGEST_NUMBER: Final = 16
_DIGITS: Final = (12, 9, 6, 3)


def timestamp(moment: datetime) -> str:
    """TS of a moment, to the millisecond, with its offset from UTC.

    Raises
    ------
    ValueError
        The moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be told to another system")
    return f"{moment:%Y%m%d%H%M%S}.{moment.microsecond // 1000:03d}{moment:%z}"


def number(value: float) -> str | None:
    """NM of a number; ``None`` where it is no number or none that fits.

    NM knows no exponent and holds at most 16 characters, so as many significant digits are kept as fit.
    """
    if not math.isfinite(value):
        return None
    shortest = f"{Decimal(repr(float(value))):f}".removesuffix(".0")
    written = (shortest, *(f"{Decimal(f'{value:.{digits}g}'):f}" for digits in _DIGITS))
    text = next((item for item in written if len(item) <= _LONGEST_NUMBER), None)
    return "0" if text == "-0" else text
