"""A finding → the short texts and the colour by which a person recognises it in a picture."""

from __future__ import annotations

import math
from typing import Final

from schemas.events import Category, Finding, Laterality, Measurement
from schemas.terminology import Language, Phrase, display, phrase

Colour = tuple[int, int, int]

#: Bright enough on black and grey, and told apart by lightness too.
COLOURS: Final[dict[Category, Colour]] = {
    Category.CRITICAL: (255, 82, 82),
    Category.URGENT: (255, 176, 32),
    Category.ROUTINE: (64, 200, 255),
    Category.INCIDENTAL: (150, 220, 130),
}
CATEGORIES: Final[dict[Category, Phrase]] = {
    Category.CRITICAL: Phrase.CATEGORY_CRITICAL,
    Category.URGENT: Phrase.CATEGORY_URGENT,
    Category.ROUTINE: Phrase.CATEGORY_ROUTINE,
    Category.INCIDENTAL: Phrase.CATEGORY_INCIDENTAL,
}
_SIDES: Final[dict[Laterality, Phrase]] = {
    Laterality.LEFT: Phrase.LATERALITY_LEFT,
    Laterality.RIGHT: Phrase.LATERALITY_RIGHT,
    Laterality.BILATERAL: Phrase.LATERALITY_BILATERAL,
}
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NO_UNIT: Final = frozenset({"1", "{ratio}"})


def finding_name(finding: Finding, language: Language) -> str:
    """Name of a finding with its side."""
    name = display(finding.code, language)
    name = name[:1].upper() + name[1:]
    return name if finding.laterality is None else f"{name}, {phrase(_SIDES[finding.laterality], language)}"


def finding_label(number: int, finding: Finding, language: Language) -> str:
    """Label beside what is drawn: the number that all pictures of a result share, and the name."""
    return f"{number} {finding_name(finding, language)}"


def finding_details(finding: Finding, language: Language) -> str:
    """Site, measurements, probability and characteristics in one line."""
    site = [] if finding.site is None or finding.site == finding.code else [display(finding.site, language)]
    numbers = [measurement_text(item, language) for item in finding.measurements]
    if finding.probability is not None:
        value = f"{number_text(100 * finding.probability, language)} %"
        numbers.append(phrase(Phrase.PROBABILITY_VALUE, language, value=value))
    properties = [
        f"{display(item.name, language)}: {display(item.value, language)}" for item in finding.characteristics
    ]
    return " · ".join([*site, *numbers, *properties])


def measurement_text(item: Measurement, language: Language) -> str:
    """Name, number and unit of a measurement."""
    unit = "" if item.unit.value in _NO_UNIT else display(item.unit, language)
    return f"{display(item.code, language)} {number_text(item.value, language)} {unit}".rstrip()


def number_text(value: float, language: Language) -> str:
    """Number with four significant digits and the language's comma; very large and small ones as powers of ten.

    A dash where it is infinite or none.
    """
    if not math.isfinite(value):
        return "—"
    if value == 0 or 1e-3 <= abs(value) < 1e9:
        text = f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    else:
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{float(mantissa):g}·10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return text.replace(".", ",") if language is Language.UKRAINIAN else text
