"""Tables of coded concepts and phrases: complete in both languages, and every code is one of the standard's."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts

from schemas.terminology import Language, Phrase, display, phrase, phrases, terms
from schemas.values import Category, Code, Decision, Laterality

REPOSITORY = Path(__file__).parents[2]
CYRILLIC = re.compile("[А-ЩЬЮЯҐЄІЇа-щьюяґєії]")

#: Concepts in use that PS3.16 does not list; each is a current concept of its own scheme under this name.
BEYOND_PS3_16 = {
    ("SCT", "12295008"),
    ("SCT", "21454007"),
    ("SCT", "230745008"),
    ("SCT", "233604007"),
    ("SCT", "233645004"),
    ("SCT", "274100004"),
    ("SCT", "31892009"),
    ("SCT", "33737001"),
    ("SCT", "35486000"),
    ("SCT", "427359005"),
    ("SCT", "432504007"),
    ("SCT", "46621007"),
    ("SCT", "95436008"),
    ("SCT", "125605004"),
    ("LN", "18782-3"),
    ("UCUM", "mL"),
    ("UCUM", "ml"),
    ("99SCANSTREAM", "volume-change"),
    ("99SCANSTREAM", "change-percent"),
}


@cache
def standard() -> set[tuple[str, str, str]]:
    """Scheme, value and meaning of every concept in pydicom's tables of PS3.16."""
    return {
        (scheme, value, meaning)
        for scheme, by_keyword in concepts.items()
        for values in by_keyword.values()
        for value, (meaning, _) in values.items()
    }


def test_every_concept_has_the_value_and_the_meaning_of_the_standard() -> None:
    rows = {key: term.code.meaning for key, term in terms().items()}
    wrong = {(*key, meaning) for key, meaning in rows.items() if key not in BEYOND_PS3_16} - standard()
    assert not wrong
    assert set(rows) >= BEYOND_PS3_16


def test_the_table_is_of_use() -> None:
    assert len(terms()) > 400
    assert {scheme for scheme, _ in terms()} == {"SCT", "DCM", "RADLEX", "LN", "UCUM", "99SCANSTREAM"}


# Verhoeff's dihedral group, as SNOMED CT identifiers use it for their check digit.
MULTIPLY = [[(a + b) % 5 if b < 5 else 5 + (a + b) % 5 for b in range(10)] for a in range(5)]
MULTIPLY += [[5 + (a - b) % 5 if b < 5 else (a - b) % 5 for b in range(10)] for a in range(5, 10)]
PERMUTE = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def verhoeff(number: str) -> int:
    check = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(position % 8):
            value = PERMUTE[value]
        check = MULTIPLY[check][value]
    return check


def test_snomed_identifiers_have_their_check_digit() -> None:
    assert verhoeff("73211009") == 0
    assert verhoeff("73211008") != 0
    assert [value for scheme, value in terms() if scheme == "SCT" and verhoeff(value)] == []


@pytest.mark.parametrize("name", ["terms.tsv", "phrases.tsv"])
def test_a_table_has_no_duplicates_and_no_empty_cells(name: str) -> None:
    lines = files("schemas").joinpath(name).read_bytes().decode("utf-8").split("\n")
    assert lines.pop() == ""
    cells = [line.split("\t") for line in lines]
    assert {len(row) for row in cells} == {len(cells[0])}
    assert all(cell and cell == cell.strip() and cell.isprintable() for row in cells for cell in row)
    keys = [tuple(row[: 2 if name == "terms.tsv" else 1]) for row in cells]
    assert len(keys) == len(set(keys))


def test_meanings_fit_into_a_code_meaning() -> None:
    assert [term for term in terms().values() if len(term.code.meaning) > 64] == []


def test_ukrainian_names_are_ukrainian() -> None:
    same_in_both = {"%", "HU", "°", "RECIST 1.1"}
    names = {term.displays[Language.UKRAINIAN] for term in terms().values()} - same_in_both
    assert [name for name in names if not CYRILLIC.search(name)] == []
    assert [name for name in names if re.search("[ыэёъЫЭЁЪ]", name)] == []


def test_every_phrase_stands_in_both_languages_with_the_same_placeholders() -> None:
    assert set(phrases()) == set(Phrase)
    for key, texts in phrases().items():
        english, ukrainian = (
            {name for _, name, _, _ in Formatter().parse(texts[one]) if name} for one in Language
        )
        assert english == ukrainian, key
        assert CYRILLIC.search(texts[Language.UKRAINIAN]), key


def test_enumerations_of_the_contract_have_their_phrases() -> None:
    for prefix, members in (("category", Category), ("laterality", Laterality), ("decision", Decision)):
        for member in members:
            assert phrase(Phrase(f"{prefix}_{member.value}"), Language.UKRAINIAN)


def test_placeholders_are_filled_with_what_is_given_as_it_is() -> None:
    text = phrase(Phrase.PRELIMINARY, Language.UKRAINIAN, model="мозок {1.0} Ґ😀")
    assert text == "Попередній результат моделі ШІ мозок {1.0} Ґ😀, не підтверджений лікарем-радіологом."
    with pytest.raises(KeyError, match="model"):
        phrase(Phrase.PRELIMINARY, Language.ENGLISH)


def test_a_known_concept_is_shown_in_the_language() -> None:
    brain = Code("12738006", "SCT", "Brain")
    assert display(brain, Language.ENGLISH) == "Brain"
    assert display(brain, Language.UKRAINIAN) == "головний мозок"


def test_an_unknown_concept_is_shown_by_its_meaning_and_at_least_by_its_value() -> None:
    assert display(Code("X1", "99SITE", "Щось своє"), Language.ENGLISH) == "Щось своє"
    assert display(Code("X1", "99SITE", ""), Language.UKRAINIAN) == "X1"


def codes_in(value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict) and "scheme" in value:
        return [(value["scheme"], value["value"])]
    if isinstance(value, dict):
        return [code for part in value.values() for code in codes_in(part)]
    return [code for part in value for code in codes_in(part)] if isinstance(value, list) else []


def test_every_code_of_the_models_is_in_the_table() -> None:
    found = [
        code
        for path in (REPOSITORY / "engines" / "models").glob("*/metadata.json")
        for code in codes_in(json.loads(path.read_text(encoding="utf-8")))
    ]
    assert found
    assert [code for code in found if code not in terms()] == []
