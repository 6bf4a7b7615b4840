"""Every message is valid HL7 2.5.1 by the tables of hl7apy, and means there what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hl7apy.core import Message
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

from consumers.oru.message import oru
from schemas.events import Adjudication, Decision, InferenceResult
from schemas.terminology import Language
from tests.consumers.generated import could_not_run, generated, nasty_case, nasty_texts
from tests.consumers.oru.cases import SETTINGS, header, judged

#: hl7apy's table 0396 has patterns (HL7nnnn) and lacks systems that HL7 added since 2.5.1.
OLD_TABLE = "not in table HL70396"


def complaints(text: str | Message, report: Path) -> list[str]:
    """What hl7apy says of a message, but for coding systems that its table does not know."""
    message = parse_message(text) if isinstance(text, str) else text
    message.validate(report_file=str(report))
    return [line for line in report.read_text().splitlines() if OLD_TABLE not in line]


def text_of(result: InferenceResult, verdict: Adjudication | None = None) -> str:
    about = header(ReferringPhysicianName="Лікар^Олена", AdmissionID="V-1")
    return oru(result, about, SETTINGS, Language.UKRAINIAN, verdict).payload.decode()


@pytest.mark.parametrize("seed", range(50))
def test_every_generated_result_is_a_valid_message(seed: int, tmp_path: Path) -> None:
    text = text_of(generated(seed).result)
    message = parse_message(text)
    assert complaints(message, tmp_path / "report") == []
    # hl7apy takes the type of OBX-5 for ST and escapes the line breaks of an FT once more
    assert message.to_er7().replace("\\E\\.br\\E\\", "\\.br\\") == text.removesuffix("\r")


def others() -> Iterator[tuple[InferenceResult, Adjudication | None]]:
    result = next(item for seed in range(50) if (item := generated(seed).result).findings)
    for decision in Decision:
        verdict = judged(result, 0, decision, "коментар | & ^")
        assert verdict.result is not None
        yield verdict.result, verdict
    yield could_not_run(0).result, None
    yield replace(result, revision=7), None


@pytest.mark.parametrize("index", range(5))
def test_verdicts_failures_and_revisions_are_valid_messages(index: int, tmp_path: Path) -> None:
    assert complaints(text_of(*list(others())[index]), tmp_path / "report") == []


@pytest.mark.parametrize("text", nasty_texts())
def test_messages_with_nasty_texts_are_valid(text: str, tmp_path: Path) -> None:
    assert complaints(text_of(nasty_case(text).result), tmp_path / "report") == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("|RAD|P", "|RAY|P"), ("|FT|", "|QQ|"), ("||||||O\r", "\r"), ("PID|1||DEMO-0001^^^ЛІКАРНЯ^MR", "PID|1||")],
)
def test_the_gate_sees_deliberate_errors(right: str, wrong: str, tmp_path: Path) -> None:
    text = text_of(generated(0).result)
    assert right in text
    try:
        said = complaints(text.replace(right, wrong, 1), tmp_path / "report")
    except HL7apyException:
        return
    assert said


def test_the_example_of_the_documentation_is_valid_and_has_what_messages_have(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "hl7-results.md").read_text(encoding="utf-8")
    example = page.split("```")[1].strip().replace("\n", "\r")
    assert complaints(example, tmp_path / "report") == []
    codes = {line.split("|")[3].split("^")[0] for line in example.split("\r") if line.startswith("OBX")}
    made = text_of(next(generated(seed) for seed in range(50) if generated(seed).result.findings).result)
    assert codes - {"118565006"} <= {
        line.split("|")[3].split("^")[0] for line in made.split("\r") if "OBX" in line
    }
