"""Headers of an instance → what eligibility and priority ask about the image, without who the patient is.

Pure but for the secret in its patient keys. Guarantee: the same header gives the same facts, whenever it is asked;
a value that is none (letters for a position, five numbers for an orientation) is left out, never refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from producers.patient_age import years_between, years_of
from producers.patient_key import PatientKeys
from producers.store.headers import Headers
from producers.store.wildcards import expression

_ORIENTATION: Final = 6
#: Digits of a date with a time, and of a time without its fraction: HH, HHMM or HHMMSS.
_MOMENT: Final = 14
_CLOCKS: Final = (2, 4, 6)
_POSITION: Final = 3
#: Whose module of contrast must be there where an agent was given (PS3.3 A.3, A.4, A.36, A.38).
_TELLS_CONTRAST: Final = frozenset(f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "2.1", "4", "4.1"))
_NO_AGENT: Final = frozenset({"NO", "NONE", "N", "NATIVE", "WITHOUT", "WITHOUT CONTRAST", "NO CONTRAST", "-"})
_IS_CONTROL: Final = frozenset({"YES", "BOTH"})
_LOOKED_AT: Final = ("PatientID", "PatientName", "StudyDescription", "SeriesDescription")


@dataclass(frozen=True)
class ImageFacts:
    """Fields of :class:`schemas.events.InstanceStored`."""

    patient_key: str | None
    patient_age_years: float | None
    image_type: str | None
    image_orientation: tuple[float, ...]
    image_position: tuple[float, ...]
    slice_thickness_mm: float | None
    has_contrast: bool | None
    number_of_frames: int | None
    quality_control: bool
    accession_issuer: str | None
    study_date_time: str | None


class Facts:
    """Reads facts.

    Parameters
    ----------
    keys
        Of patients; ``None`` gives no keys.
    quality_control_patterns
        With ``*`` and ``?``, of the patient's ID and name and of the descriptions of phantoms.
    """

    def __init__(self, keys: PatientKeys | None = None, quality_control_patterns: Sequence[str] = ()) -> None:
        self._keys = keys
        self._control = (
            re.compile(
                "|".join(f"(?:{expression(one.casefold())})" for one in quality_control_patterns), re.DOTALL
            )
            if quality_control_patterns
            else None
        )

    def of(self, headers: Headers) -> ImageFacts:
        """Facts of one instance."""
        text, values = headers.text, headers.values
        frames = values.get("NumberOfFrames")
        return ImageFacts(
            patient_key=self._keys.key(text("PatientID"), text("IssuerOfPatientID")) if self._keys else None,
            patient_age_years=_age(text("PatientAge"), text("PatientBirthDate"), text("StudyDate")),
            image_type=text("ImageType"),
            image_orientation=_numbers(text("ImageOrientationPatient"), _ORIENTATION),
            image_position=_numbers(text("ImagePositionPatient"), _POSITION),
            slice_thickness_mm=next(iter(_numbers(text("SliceThickness"), 1)), None),
            has_contrast=_has_contrast(headers),
            number_of_frames=frames if isinstance(frames, int) else None,
            quality_control=self._is_control(headers),
            accession_issuer=text("LocalNamespaceEntityID") or text("UniversalEntityID"),
            study_date_time=_date_time(text("StudyDate"), text("StudyTime")),
        )

    def _is_control(self, headers: Headers) -> bool:
        if (headers.text("QualityControlImage") or "").upper() in _IS_CONTROL:
            return True
        if self._control is None:
            return False
        looked_at = (headers.text(keyword) for keyword in _LOOKED_AT)
        return any(self._control.fullmatch(value.casefold()) for value in looked_at if value)


@lru_cache(maxsize=1024)
def _age(age: str | None, birth: str | None, day: str | None) -> float | None:
    """Age at the study; as the image says it, or by its dates."""
    said = years_of(age)
    return years_between(birth, day) if said is None else said


@lru_cache(maxsize=1024)
def _date_time(day: str | None, time: str | None) -> str | None:
    """YYYYMMDD or YYYYMMDDHHMMSS of a DA and a TM (PS3.5 6.2), with the dots and colons of before 1993."""
    date = (day or "").strip().replace(".", "")
    clock = (time or "").strip().partition(".")[0].replace(":", "")
    if _is_moment(f"{date}{clock:0<6}") and len(clock) in _CLOCKS:
        return f"{date}{clock:0<6}"
    return date if _is_moment(f"{date}000000") else None


def _is_moment(digits: str) -> bool:
    try:
        datetime.strptime(digits, "%Y%m%d%H%M%S")  # noqa: DTZ007 - only whether there is such a moment
    except ValueError:
        return False
    return len(digits) == _MOMENT and digits.isascii() and digits.isdigit()


def _has_contrast(headers: Headers) -> bool | None:
    """An agent that is named, or coded, was given; ``None`` where the image cannot or does not tell.

    The module must be there where contrast was used, so an image of a class that has it says no by its absence. An
    empty agent says nothing: equipment writes it with and without.
    """
    if headers.values.get("ContrastBolusAgentSequence"):
        return True
    if "ContrastBolusAgent" in headers.values:
        agent = headers.text("ContrastBolusAgent")
        return None if agent is None else agent.strip().upper() not in _NO_AGENT
    return False if headers.sop_class_uid in _TELLS_CONTRAST else None


@lru_cache(maxsize=4096)
def _numbers(text: str | None, count: int) -> tuple[float, ...]:
    """Exactly so many finite numbers of a DS with several values, or none."""
    if text is None:
        return ()
    parts = text.split("\\")
    if len(parts) != count:
        return ()
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError:
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()
