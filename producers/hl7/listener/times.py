"""HL7's times → moments, and DICOM's dates and times (HL7 2.5.1 2.A.77, PS3.5 6.2). Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

_TIME: Final = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6})\d*)?)?)?)?)?)?([+-]\d{4})?"
)


def moment(text: str, zone: tzinfo) -> datetime | None:
    """UTC moment of a TS, to the millisecond; ``None`` for what is none or says no day.

    Parameters
    ----------
    text
        ``YYYYMMDD[HH[MM[SS[.S]]]][+ZZZZ]``.
    zone
        Of the sender, where the text has no offset.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None or found.group(3) is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    micro = int((found.group(7) or "").ljust(6, "0")[:3] or 0) * 1000
    try:
        local = datetime(year, month, day, hour, minute, second, micro, tzinfo=_zone(found.group(8), zone))
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def date_of(text: str) -> str | None:
    """DA of a TS or DT, as it is written; ``None`` where it is no day."""
    return text.strip()[:8] if moment(text.strip()[:8], UTC) is not None else None


def local_parts(at: datetime, zone: tzinfo) -> tuple[str, str]:
    """DA and TM at the sender."""
    local = at.astimezone(zone)
    return f"{local:%Y%m%d}", f"{local:%H%M%S}"


def _zone(offset: str | None, zone: tzinfo) -> tzinfo:
    if offset is None:
        return zone
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
