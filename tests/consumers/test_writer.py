from __future__ import annotations

import subprocess
import sys

import pytest

from consumers.writer import DESTINATIONS, OTHERS, main
from schemas.topics import WRITER_GROUPS


def test_there_is_a_writer_for_every_group() -> None:
    assert {*DESTINATIONS, *OTHERS} == set(WRITER_GROUPS)


@pytest.mark.parametrize("arguments", [[], ["pacs"], ["stow", "fhir"]])
def test_an_unknown_writer_is_refused_in_one_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 78
    said = capsys.readouterr().err
    assert "name one of audit, callback, escalation, fhir, oru, stow" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [("SCANSTREAM_STOW_PACS_URL", "pacs.example"), ("SCANSTREAM_STOW_USERNAME", "writer")],
)
def test_a_wrong_setting_ends_the_writer_with_its_name(
    setting: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting, value)
    ended = subprocess.run(
        [sys.executable, "-m", "consumers.writer", "stow"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 78
    assert setting in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_command_imports_no_heavy_library() -> None:
    heavy = "[m for m in ('highdicom', 'pydicom', 'httpx', 'chdb', 'numpy') if m in sys.modules]"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys, consumers.writer; print({heavy})"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout.strip() == "[]"
