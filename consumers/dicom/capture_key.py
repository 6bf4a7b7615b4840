"""A frame of the source and the marks on it → a picture with contours, numbers, names, sides and a scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from consumers.dicom.captions import COLOURS, finding_details, finding_label
from consumers.dicom.drawing import AMBER, BLACK, GREY, WHITE, font, shortened, wrapped
from consumers.dicom.marks import Mark
from consumers.dicom.outline import Points
from consumers.dicom.planes import Frame, plane_of, spacing_of
from schemas.events import Finding
from schemas.terminology import Language, Phrase, display, phrase
from schemas.values import Code

SIZE: Final = 1024
#: Rows of the band above the image and of the legend below it.
HEAD: Final = 48
LEGEND: Final = 128

_HEIGHT: Final = SIZE - HEAD - LEGEND
_BAND: Final = (28, 36, 48)
#: Lines are drawn larger and reduced, which smooths them.
_SUPER: Final = 2
_LINE: Final = 3
_NAMED_LABELS: Final = 6
_LEGEND_LINES: Final = 3
_CENTIMETRE: Final = Code("cm", "UCUM", "cm")
_DIRECTIONS: Final = (("R", "L"), ("A", "P"), ("F", "H"))

Box = tuple[float, float, float, float]


def placement(frame: Frame) -> tuple[Box, tuple[float, float]]:
    """Where the image lies on the key image, with pixels that look as they are in the patient.

    Returns
    -------
    box
        Left, top, right and bottom on the key image.
    scale
        Pixels of the key image for a column and for a row of the source.
    """
    rows_mm, columns_mm = spacing_of(frame) or (1.0, 1.0)
    width, height = frame.source.Columns * columns_mm, frame.source.Rows * rows_mm
    scale = min(SIZE / width, _HEIGHT / height)
    shown = (max(1.0, round(width * scale)), max(1.0, round(height * scale)))
    left, top = (SIZE - shown[0]) // 2, HEAD + (_HEIGHT - shown[1]) // 2
    box = (left, top, left + shown[0], top + shown[1])
    return box, (shown[0] / frame.source.Columns, shown[1] / frame.source.Rows)


def key_image(
    frame: Frame,
    pixels: npt.NDArray[np.uint8],
    marks: Sequence[Mark],
    cited: Sequence[tuple[int, Finding]],
    where: str,
    language: Language,
) -> npt.NDArray[np.uint8]:
    """Draw the key image of a frame.

    Parameters
    ----------
    frame
        Which frame.
    pixels
        (rows, columns, 3), as it is displayed.
    marks
        What lies on it.
    cited
        Numbers and findings that the legend names, the most urgent first.
    where
        Which image of the series it is.
    language
        Of the texts.

    Returns
    -------
    ndarray
        (1024, 1024, 3), red, green and blue of 0…255.
    """
    box, scale = placement(frame)
    page = Image.new("RGB", (SIZE, SIZE), BLACK)
    size = (int(box[2] - box[0]), int(box[3] - box[1]))
    page.paste(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), (int(box[0]), int(box[1])))
    drawn = [(mark, mark.points * scale + box[:2]) for mark in marks]
    _lines(page, drawn)
    canvas = ImageDraw.Draw(page)
    _sides(canvas, frame, box)
    _scale_bar(canvas, frame, box, scale[0], language)
    _labels(canvas, drawn, language)
    canvas.rectangle((0, 0, SIZE, HEAD - 1), fill=_BAND)
    right = round(font(20).getlength(where))
    canvas.text((SIZE - 20, HEAD // 2), where, WHITE, font(20), anchor="rm")
    face = font(22, bold=True)
    said = shortened(phrase(Phrase.PRELIMINARY_SHORT, language), face, SIZE - 60 - right)
    canvas.text((20, HEAD // 2), said, AMBER, face, anchor="lm")
    _legend(canvas, cited, language)
    return np.asarray(page)


def _lines(page: Image.Image, drawn: Sequence[tuple[Mark, Points]]) -> None:
    """Contours and points, each with a dark rim that shows them on bright tissue."""
    overlay = Image.new("RGBA", (SIZE * _SUPER, SIZE * _SUPER), (0, 0, 0, 0))
    canvas = ImageDraw.Draw(overlay)
    for rim in (True, False):
        for mark, points in drawn:
            colour = (0, 0, 0, 160) if rim else (*COLOURS[mark.finding.category], 255)
            width = (_LINE + (2 if rim else 0)) * _SUPER
            _line(canvas, points * _SUPER, colour, width)
    reduced = overlay.resize((SIZE, SIZE), Image.Resampling.BOX)
    page.paste(reduced, (0, 0), reduced)


def _line(canvas: ImageDraw.ImageDraw, points: Points, colour: tuple[int, ...], width: int) -> None:
    corners = [(x, y) for x, y in points.tolist()]
    if len(corners) == 1:
        ((x, y),) = corners
        radius = 14 * _SUPER + width / 2
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
        return
    canvas.line([*corners, *corners[:2]], fill=colour, width=width, joint="curve")


def _labels(canvas: ImageDraw.ImageDraw, drawn: Sequence[tuple[Mark, Points]], language: Language) -> None:
    """One label for each finding, beside what is drawn and beside the other labels."""
    boxes: dict[int, tuple[Mark, Box]] = {}
    for mark, points in drawn:
        low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        held = boxes.get(mark.number)
        old = held[1] if held else (low[0], low[1], high[0], high[1])
        boxes[mark.number] = (
            mark,
            (min(old[0], low[0]), min(old[1], low[1]), max(old[2], high[0]), max(old[3], high[1])),
        )
    taken: list[Box] = []
    face = font(21, bold=True)
    for number, (mark, around) in boxes.items():
        named = finding_label(number, mark.finding, language) if len(boxes) <= _NAMED_LABELS else str(number)
        text = shortened(named, face, 440)
        place = _free_place(around, round(face.getlength(text)) + 14, 30, taken)
        taken.append(place)
        canvas.rounded_rectangle(place, 5, fill=(10, 14, 20), outline=COLOURS[mark.finding.category])
        middle = ((place[0] + place[2]) / 2, (place[1] + place[3]) / 2)
        canvas.text(middle, text, COLOURS[mark.finding.category], face, anchor="mm")


def _free_place(around: Box, width: int, height: int, taken: Sequence[Box]) -> Box:
    """Place for a label beside a box: inside of the image area, and clear of other labels if that is possible."""
    left, top, right, bottom = around
    gap = 20 if right - left < 1 else 6
    candidates = [
        (right + gap, top - height - gap),
        (left - width - gap, top - height - gap),
        (right + gap, bottom + gap),
        (left - width - gap, bottom + gap),
        (right + gap, (top + bottom - height) / 2),
        (left - width - gap, (top + bottom - height) / 2),
        ((left + right - width) / 2, top - height - gap),
        ((left + right - width) / 2, bottom + gap),
    ]
    places = []
    for x, y in candidates:
        x = min(max(x, 4.0), SIZE - width - 4.0)
        y = min(max(y, HEAD + 4.0), SIZE - LEGEND - height - 4.0)
        places.append((x, y, x + width, y + height))
    free = [place for place in places if not any(_overlap(place, other) for other in taken)]
    return min(free or places, key=lambda place: _overlap(place, around))


def _overlap(one: Box, other: Box) -> float:
    """Common area of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _legend(canvas: ImageDraw.ImageDraw, cited: Sequence[tuple[int, Finding]], language: Language) -> None:
    canvas.rectangle((0, SIZE - LEGEND, SIZE, SIZE), fill=_BAND)
    lines = _LEGEND_LINES if len(cited) <= _LEGEND_LINES else _LEGEND_LINES - 1
    top = SIZE - LEGEND + 10
    for number, finding in cited[:lines]:
        face = font(22, bold=True)
        name = shortened(finding_label(number, finding, language), face, SIZE - 40 if len(cited) == 1 else 560)
        canvas.text((20, top + 17), name, COLOURS[finding.category], face, anchor="lm")
        left = 20 + round(face.getlength(name)) + 20
        details = finding_details(finding, language)
        if len(cited) == 1:
            for place, line in enumerate(wrapped(details, font(20), SIZE - 40, 2), start=1):
                canvas.text((20, top + 17 + 36 * place), line, WHITE, font(20), anchor="lm")
        else:
            canvas.text(
                (left, top + 17), shortened(details, font(20), SIZE - 20 - left), WHITE, font(20), anchor="lm"
            )
        top += 37
    if len(cited) > lines:
        more = phrase(Phrase.MORE_FINDINGS, language, count=len(cited) - lines)
        canvas.text((20, top + 17), more, GREY, font(20), anchor="lm")


def directions(frame: Frame) -> tuple[str, str]:
    """(0020,0020) Patient Orientation: where columns and where rows grow to; empty where it is unknown."""
    plane = plane_of(frame)
    if plane is None:
        values = frame.source.get("PatientOrientation") or []
        return (str(values[0]), str(values[1])) if len(values) == 2 else ("", "")
    return _direction(plane.along_row), _direction(plane.along_column)


def _direction(vector: npt.NDArray[np.float64]) -> str:
    """Letters of a direction (PS3.3 C.7.6.1.1.1), the greatest component first."""
    axes = sorted(range(3), key=lambda axis: -abs(vector[axis]))
    return "".join(_DIRECTIONS[axis][int(vector[axis] > 0)] for axis in axes if abs(vector[axis]) > 0.3)


def _opposite(letters: str) -> str:
    return letters.translate(str.maketrans("RLAPFH", "LRPAHF"))


def _sides(canvas: ImageDraw.ImageDraw, frame: Frame, box: Box) -> None:
    """Letters of the patient's directions at the four sides."""
    right, bottom = directions(frame)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    face = font(26, bold=True)
    for letters, at, anchor in (
        (right, (box[2] - 12, middle[1]), "rm"),
        (_opposite(right), (box[0] + 12, middle[1]), "lm"),
        (bottom, (middle[0], box[3] - 8), "md"),
        (_opposite(bottom), (middle[0], box[1] + 8), "ma"),
    ):
        canvas.text(at, letters, GREY, face, anchor=anchor, stroke_width=2, stroke_fill=BLACK)


def _scale_bar(canvas: ImageDraw.ImageDraw, frame: Frame, box: Box, scale: float, language: Language) -> None:
    """A bar of 1, 2, 5, 10 or 20 cm on a cross-section; a projection enlarges what is far from its detector."""
    plane = plane_of(frame)
    if plane is None:
        return
    per_cm = scale / plane.spacing[1] * 10.0
    length = max((cm for cm in (1, 2, 5, 10, 20) if cm * per_cm <= (box[2] - box[0]) / 3), default=0)
    if length:
        right, row = box[2] - 24, box[3] - 24
        left = right - length * per_cm
        for colour, width in ((BLACK, 7), (WHITE, 3)):
            canvas.line([(left, row), (right, row)], fill=colour, width=width)
        text = f"{length} {display(_CENTIMETRE, language)}"
        middle = ((left + right) / 2, row - 6)
        canvas.text(middle, text, WHITE, font(19), anchor="md", stroke_width=2, stroke_fill=BLACK)
