"""Texts, lines and colours on a picture, the same on every machine: the fonts are carried along.

Letters that the font lacks (emoji) become a small square, line ends and control characters become spaces, and what
does not fit ends in an ellipsis: no text of a result can break a picture.
"""

from __future__ import annotations

import io
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

from PIL import ImageFont

from consumers.dicom.captions import Colour

BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (245, 247, 250)
GREY: Final[Colour] = (165, 174, 186)
AMBER: Final[Colour] = (255, 193, 64)

_FONTS: Final = files("consumers.dicom") / "fonts"
_MISSING: Final = "\u25ab"
#: Longer texts are cut before they are measured: nothing of that length is read on a picture.
_MOST_LETTERS: Final = 2000


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans of a height in pixels."""
    data = (_FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")).read_bytes()
    return ImageFont.truetype(io.BytesIO(data), size, layout_engine=ImageFont.Layout.BASIC)


def drawable(text: str) -> str:
    """One line of letters that the font has."""
    composed = unicodedata.normalize("NFC", text[:_MOST_LETTERS])
    line = " ".join("".join(map(_letter, composed)).split())
    return line + "…" if len(text) > _MOST_LETTERS else line


@lru_cache(maxsize=4096)
def _letter(letter: str) -> str:
    category = unicodedata.category(letter)
    if category in ("Cc", "Zl", "Zp", "Zs"):
        return " "
    if category in ("Cf", "Cs", "Mn", "Me"):
        return ""  # directions, joiners, variation selectors, accents without their letter, halves of pairs
    return letter if _has(letter) else _MISSING


def _has(letter: str) -> bool:
    # U+FFFF is no character, so a font draws it as the one that it lacks
    face = font(20)
    return bytes(face.getmask(letter)) != bytes(face.getmask("\uffff"))


def shortened(text: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """A drawable line of at most ``width`` pixels; an ellipsis stands for what is left out."""
    line = drawable(text)
    if face.getlength(line) <= width:
        return line
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        if face.getlength(line[:middle].rstrip() + "…") <= width:
            low = middle
        else:
            high = middle - 1
    return line[:low].rstrip() + "…"


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: int, lines: int) -> list[str]:
    """Drawable lines of at most ``width`` pixels, broken between words, at most so many of them."""
    words = drawable(text).split(" ")
    made: list[str] = []
    while words and words != [""]:
        if len(made) == lines - 1:
            made.append(shortened(" ".join(words), face, width))
            break
        line = words.pop(0)
        while words and face.getlength(f"{line} {words[0]}") <= width:
            line = f"{line} {words.pop(0)}"
        fits = _fitting(line, face, width)
        if fits < len(line):
            words.insert(0, line[fits:])
        made.append(line[:fits])
    return made


def _fitting(line: str, face: ImageFont.FreeTypeFont, width: int) -> int:
    """How many letters of a line fit, at least one."""
    low, high = 1, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if face.getlength(line[:middle]) <= width else (low, middle - 1)
    return low
