from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dashboards.terminal.app import app
from producers.poller.connect import directory_of
from producers.poller.ledger import Job, Ledger, Work
from producers.poller.plan import Study
from tests.tools import free_port


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    file = tmp_path / "sources.yaml"
    web = f"{{kind: dicomweb, url: http://127.0.0.1:{free_port()}/dicom-web}}"
    move = f"{{kind: c-move, host: 127.0.0.1, port: {free_port()}, ae_title: PACS}}"
    file.write_text(f"sources: {{web: {web}, move: {move}}}", encoding="utf-8")
    monkeypatch.setenv("SCANSTREAM_POLLER_SOURCES_FILE", str(file))
    monkeypatch.setenv("SCANSTREAM_DATA_DIR", str(tmp_path))
    return CliRunner()


def test_standing_of_all_sources(runner: CliRunner, tmp_path: Path) -> None:
    with Ledger(directory_of(tmp_path, "web")) as ledger:
        ledger.record([Work(Study("1.2.3", instances=2), urgent=False, by_series=False)], 1_795_000_000.0)
        ledger.set_aside(Job("1.2.3", 2, 0, False), "2 of 2 [are] missing", 1_795_000_060.0)
    answer = runner.invoke(app, ["poller", "--json"])
    assert answer.exit_code == 0, answer.output
    web, move = json.loads(answer.stdout)
    assert web["last_poll"] == web["watermark"] == "2026-11-18T11:06:40.000Z"
    assert web["set_aside"][0] | {"next_try": None} == {
        "study_instance_uid": "1.2.3",
        "attempts": 1,
        "reason": "2 of 2 [are] missing",
        "next_try": None,
    }
    assert (move["last_poll"], move["pending"], move["set_aside"]) == (None, 0, [])
    shown = runner.invoke(app, ["poller"])
    assert "never" in shown.stdout
    assert "[are]" in shown.stdout


def test_check_names_what_does_not_answer(runner: CliRunner) -> None:
    answer = runner.invoke(app, ["poller", "--check", "--json"])
    assert answer.exit_code == 1
    web, move = json.loads(answer.stdout)
    assert not web["ok"]
    assert "does not answer" in web["trouble"]
    assert "is not reached" in move["trouble"]
    assert len(json.loads(runner.invoke(app, ["poller", "web", "--check", "--json"]).stdout)) == 1
