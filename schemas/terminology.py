"""Coded concepts and fixed phrases → what a person reads, in Ukrainian or English.

Only displays are translated: value, scheme and meaning of a coded concept stay what the standard says, in every
language. A concept that the table does not know is shown by its own meaning, so nothing is ever hidden. The texts
are rows of ``terms.tsv`` and ``phrases.tsv`` beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final

from schemas.phrases import Phrase
from schemas.values import Code

__all__ = ["Language", "Phrase", "Term", "display", "phrase", "phrases", "terms"]


class Language(StrEnum):
    """Language of texts for people (RFC 5646)."""

    ENGLISH = "en"
    UKRAINIAN = "uk"


@dataclass(frozen=True)
class Term:
    """One row of the table of coded concepts; the displays are for people only."""

    code: Code
    displays: dict[Language, str]


def display(code: Code, language: Language) -> str:
    """Name of a coded concept for a person.

    Parameters
    ----------
    code
        Looked up by scheme and value (PS3.3 8.8).
    language
        Of the name.

    Returns
    -------
    str
        The table's name, or the concept's own meaning (its value, should that be empty) where it has none.
    """
    term = terms().get((code.scheme, code.value))
    return term.displays[language] if term is not None else code.meaning or code.value


def phrase(key: Phrase, language: Language, **values: object) -> str:
    """Fixed sentence or label, with its placeholders filled in.

    Values are inserted as they are: whoever writes HTML, HL7 or JSON escapes the whole.

    Raises
    ------
    KeyError
        A placeholder of the phrase has no value.
    """
    text = phrases()[key][language]
    return text.format(**values) if values or "{" in text else text


@cache
def terms() -> dict[tuple[str, str], Term]:
    """Table of coded concepts, by scheme and value."""
    rows = _rows("terms.tsv")
    return {
        (row["scheme"], row["code"]): Term(
            Code(row["code"], row["scheme"], row["meaning"]), {language: row[language] for language in Language}
        )
        for row in rows
    }


@cache
def phrases() -> dict[Phrase, dict[Language, str]]:
    """Table of fixed phrases."""
    return {Phrase(row["key"]): {language: row[language] for language in Language} for row in _rows("phrases.tsv")}


_TABLES: Final = files("schemas")


def _rows(name: str) -> list[dict[str, str]]:
    # no CSV reader: a quotation mark in a text is a quotation mark
    head, *lines = _TABLES.joinpath(name).read_text(encoding="utf-8").splitlines()
    columns = head.split("\t")
    return [dict(zip(columns, line.split("\t"), strict=True)) for line in lines]
