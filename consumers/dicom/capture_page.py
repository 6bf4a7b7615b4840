"""A result → one page that says it all in two seconds: what was found, how urgent, how sure, and by whom.

No name, number or date of a patient is drawn: a burned-in identity cannot be removed, and the object's attributes
carry it already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pydicom import Dataset

from consumers.dicom.captions import CATEGORIES, COLOURS, Colour, finding_details, finding_name, measurement_text
from consumers.dicom.drawing import AMBER, BLACK, GREY, WHITE, font, shortened, wrapped
from consumers.dicom.key_frames import by_urgency
from schemas.events import Category, Finding, InferenceResult
from schemas.terminology import Language, Phrase, phrase

SIZE: Final = 1024

_BACKGROUND: Final = (14, 18, 24)
_BAND: Final = (28, 36, 48)
_LEFT: Final = 36
_WIDTH: Final = SIZE - 2 * _LEFT
_ROWS_FROM: Final = 204
#: Lines of details and of warnings in a row, from roomy to tight.
_LAYOUTS: Final = ((2, 2), (2, 1), (1, 1), (1, 0))
#: More rows than fit are not laid out.
_MOST_ROWS: Final = 16
_MOST_WARNINGS: Final = 6


def summary_page(
    result: InferenceResult, source: Dataset, images: Mapping[int, str], notes: Sequence[str], language: Language
) -> npt.NDArray[np.uint8]:
    """Draw the summary of a result.

    Parameters
    ----------
    result
        What to say.
    source
        Header of a source image, for its modality and series number.
    images
        Number of a finding → where it is shown, such as "Image 7 of 20".
    notes
        Further sentences among the warnings.
    language
        Of the page.

    Returns
    -------
    ndarray
        (1024, 1024, 3), red, green and blue of 0…255.
    """
    page = Image.new("RGB", (SIZE, SIZE), _BACKGROUND)
    canvas = ImageDraw.Draw(page)
    _head(canvas, result, source, language)
    bottom = _foot(canvas, result, notes, language)
    if result.findings:
        _chips(canvas, result, language)
        _rows(canvas, result, images, bottom, language)
    else:
        lines = wrapped(phrase(Phrase.NOTHING_FOUND, language), font(36, bold=True), _WIDTH, 5)
        top = (_ROWS_FROM + bottom) // 2 - 26 * len(lines)
        for place, line in enumerate(lines):
            canvas.text((SIZE // 2, top + 52 * place), line, WHITE, font(36, bold=True), anchor="ma")
    return np.asarray(page)


def _head(canvas: ImageDraw.ImageDraw, result: InferenceResult, source: Dataset, language: Language) -> None:
    canvas.rectangle((0, 0, SIZE, 92), fill=_BAND)
    title = phrase(Phrase.REPORT_TITLE_MODEL, language, model=f"{result.model.name} {result.model.version}")
    canvas.text((_LEFT, 14), shortened(title, font(34, bold=True), _WIDTH), WHITE, font(34, bold=True))
    series = f"{source.get('Modality') or ''} {source.get('SeriesNumber') or ''}".strip()
    made_from = phrase(
        Phrase.RESULT_FROM_IMAGES, language, count=len(result.sop_instance_uids), series=series or "–"
    )
    canvas.text((_LEFT, 58), shortened(made_from, font(21), _WIDTH), GREY, font(21))
    canvas.rectangle((0, 92, SIZE, 140), fill=AMBER)
    said = shortened(phrase(Phrase.PRELIMINARY_SHORT, language), font(27, bold=True), _WIDTH)
    canvas.text((SIZE // 2, 116), said, BLACK, font(27, bold=True), anchor="mm")


def _chips(canvas: ImageDraw.ImageDraw, result: InferenceResult, language: Language) -> None:
    """How many findings there are, and how many of each category."""
    heading = f"{phrase(Phrase.FINDINGS, language)}: {len(result.findings)}"
    face = font(28, bold=True)
    canvas.text((_LEFT, 172), heading, WHITE, face, anchor="lm")
    left = _LEFT + round(face.getlength(heading)) + 20
    for category in Category:
        count = sum(finding.category is category for finding in result.findings)
        if count:
            left = _chip(canvas, left, 172, f"{phrase(CATEGORIES[category], language)}: {count}", category) + 8


def _chip(canvas: ImageDraw.ImageDraw, left: int, middle: int, text: str, category: Category) -> int:
    """A rounded label in the colour of a category; gives the column of its right end."""
    face = font(18, bold=True)
    right = left + round(face.getlength(text)) + 20
    canvas.rounded_rectangle((left, middle - 15, right, middle + 15), 15, fill=COLOURS[category])
    canvas.text(((left + right) // 2, middle), text, BLACK, face, anchor="mm")
    return right


def _rows(
    canvas: ImageDraw.ImageDraw,
    result: InferenceResult,
    images: Mapping[int, str],
    bottom: int,
    language: Language,
) -> None:
    room = bottom - _ROWS_FROM
    for details, warnings in _LAYOUTS:
        rows = _laid_out(result, images, language, details, warnings)
        if len(result.findings) == len(rows) and sum(row.height for row in rows) <= room:
            break
    top = _ROWS_FROM
    for place, row in enumerate(rows):
        left_over = len(result.findings) - place
        if top + row.height + (34 if left_over > 1 else 0) > bottom:
            text = phrase(Phrase.MORE_FINDINGS, language, count=left_over)
            canvas.text((_LEFT, top + 6), text, WHITE, font(23, bold=True))
            return
        _row(canvas, top, row.height, row.number, row.finding, language)
        for line_number, (line, colour) in enumerate(row.lines):
            canvas.text((_LEFT + 84, top + 39 + 28 * line_number), line, colour, font(21))
        top += row.height


@dataclass(frozen=True)
class _Row:
    """A finding and the lines below its name."""

    number: int
    finding: Finding
    lines: Sequence[tuple[str, Colour]]

    @property
    def height(self) -> int:
        """In pixels."""
        return 52 + 28 * len(self.lines)


def _laid_out(
    result: InferenceResult, images: Mapping[int, str], language: Language, details: int, warnings: int
) -> list[_Row]:
    """Rows of the most urgent findings, with at most so many lines of details and warnings each."""
    rows = []
    for number, finding in by_urgency(result)[:_MOST_ROWS]:
        said = " · ".join(part for part in (images.get(number, ""), finding_details(finding, language)) if part)
        lines = [(line, GREY) for line in wrapped(said, font(21), _WIDTH - 100, details)]
        warned = [phrase(Phrase.WARNING, language, text=text) for text in finding.warnings[:warnings]]
        lines += [(shortened(text, font(21), _WIDTH - 100), AMBER) for text in warned]
        rows.append(_Row(number, finding, lines))
    return rows


def _row(
    canvas: ImageDraw.ImageDraw, top: int, height: int, number: int, finding: Finding, language: Language
) -> None:
    """Colour, number, name and category of a finding."""
    colour = COLOURS[finding.category]
    canvas.rounded_rectangle((_LEFT, top, SIZE - _LEFT, top + height - 8), 8, fill=_BAND)
    canvas.rounded_rectangle((_LEFT, top, _LEFT + 10, top + height - 8), 4, fill=colour)
    canvas.text((_LEFT + 48, top + 22), str(number), colour, font(26, bold=True), anchor="mm")
    word = phrase(CATEGORIES[finding.category], language)
    face = font(20, bold=True)
    width = round(face.getlength(word))
    canvas.text((SIZE - _LEFT - 16, top + 22), word, colour, face, anchor="rm")
    name = shortened(finding_name(finding, language), font(26, bold=True), _WIDTH - 84 - width - 44)
    canvas.text((_LEFT + 84, top + 22), name, WHITE, font(26, bold=True), anchor="lm")


def _foot(canvas: ImageDraw.ImageDraw, result: InferenceResult, notes: Sequence[str], language: Language) -> int:
    """Warnings, limitations and who made it, from below; gives the row where they begin."""
    model = result.model
    created = f"{phrase(Phrase.CREATED, language)}: {result.occurred_at:%Y-%m-%d %H:%M} UTC"
    revision = f"{phrase(Phrase.REVISION, language)} {result.revision}"
    identity = f"UDI {model.udi}" if model.udi else phrase(Phrase.RESEARCH_USE_ONLY, language)
    canvas.rectangle((0, SIZE - 76, SIZE, SIZE), fill=_BAND)
    made_by = " · ".join(part for part in (model.manufacturer, created, revision) if part)
    canvas.text((_LEFT, SIZE - 66), shortened(identity, font(21, bold=True), _WIDTH), WHITE, font(21, bold=True))
    canvas.text((_LEFT, SIZE - 36), shortened(made_by, font(19), _WIDTH), GREY, font(19))
    lines: list[tuple[str, Colour]] = []
    warnings = _warnings(result, notes, language)
    for text in warnings[:_MOST_WARNINGS]:
        wrap = wrapped(text, font(20), _WIDTH - 24, 2)
        lines += [(("! " if place == 0 else "   ") + line, AMBER) for place, line in enumerate(wrap)]
    if len(warnings) > _MOST_WARNINGS:
        more = phrase(Phrase.MORE_WARNINGS, language, count=len(warnings) - _MOST_WARNINGS)
        lines.append((more, AMBER))
    for text in _remarks(result, language):
        lines += [(line, GREY) for line in wrapped(text, font(20), _WIDTH, 2)]
    top = SIZE - 88 - 27 * len(lines)
    for place, (line, colour) in enumerate(lines):
        canvas.text((_LEFT, top + 27 * place), line, colour, font(20))
    return top - 8


def _warnings(result: InferenceResult, notes: Sequence[str], language: Language) -> list[str]:
    outside = [phrase(Phrase.OUT_OF_DOMAIN_WARNING, language, text=text) for text in result.out_of_domain_warnings]
    quality = [phrase(Phrase.IMAGE_QUALITY_WARNING, language, text=text) for text in result.image_quality_warnings]
    return [*outside, *quality, *result.warnings, *notes]


def _remarks(result: InferenceResult, language: Language) -> list[str]:
    said = []
    if result.quality:
        numbers = " · ".join(measurement_text(item, language) for item in result.quality)
        said.append(f"{phrase(Phrase.QUALITY, language)}: {numbers}")
    if result.limitations:
        said.append(phrase(Phrase.LIMITATIONS_TEXT, language, text=result.limitations))
    return said
