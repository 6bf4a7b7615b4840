"""What the terminal shows of studies, processes and metrics."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from rich.console import Console

from dashboards.api import present
from dashboards.live.view import LiveView
from dashboards.local.stack import Endpoints, ProcessState, Stack, State
from dashboards.terminal import clickhouse
from dashboards.terminal.backlog import gauges
from dashboards.terminal.clickhouse import Rows, ask
from dashboards.terminal.client import Api
from dashboards.terminal.commands import sql
from dashboards.terminal.endpoints import of_stack
from dashboards.terminal.last_words import last_words, starting
from dashboards.terminal.machine import resident_bytes, uptime_s
from dashboards.terminal.stack_table import endpoints_table, plain, processes_table, span
from dashboards.terminal.study_table import finished, milliseconds, objects_text, study_tables
from producers.telemetry import Telemetry
from schemas.errors import ConfigurationError, DestinationUnavailable, InvalidInput, PermanentRejection
from schemas.events import TaskState
from tests.dashboards.story import START, Story, failed

THERE = Endpoints(
    kafka="127.0.0.1:1",
    gateway_dimse="127.0.0.1:2",
    gateway_http="http://127.0.0.1:3",
    api="http://127.0.0.1:4",
    clickhouse="http://127.0.0.1:5",
    metrics={},
)


def told(events: list[Any]) -> dict[str, Any]:
    """The API's answer after these events."""
    view = LiveView()
    for event in events:
        view.apply(event)
    study = view.study("1.2.3")
    assert study is not None
    return present.study(study, view.tasks_of(study), START, view.reviews.find).model_dump(mode="json")


def shown(renderable: Any) -> str:
    console = Console(width=120, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115 - closed with the console
    with console.file:
        console.print(renderable)
    return console.export_text()


def test_a_study_is_followed_until_every_destination_answered():
    story = Story("1.2.3")
    events = story.whole()
    assert not finished(None, START)
    for number in range(1, len(events)):
        assert not finished(told(events[:number]), story.at(3)), number
    assert finished(told(events), story.at(3))


def test_a_study_without_a_task_is_finished_after_a_moment():
    story = Story("1.2.3")
    study = told([story.ready(seconds=2)])
    assert not finished(study, story.at(3.9))
    assert finished(study, story.at(4.1))


def test_a_failed_task_is_the_end():
    story = Story("1.2.3")
    assert finished(told([story.ready(), story.task(), story.status(TaskState.FAILED, 3)]), story.at(4))


def test_a_study_is_shown_with_times_findings_and_addresses():
    story = Story("1.2.3")
    study = told(story.whole())
    text = shown(study_tables(study))
    assert "MR Голова" in text
    assert "found: Brain 1172.4 mL" in text
    assert "note: made for T1" in text
    assert "stored: stow" in text
    assert "5400 ms" in text
    assert "http://api/fhir/DiagnosticReport/7" in objects_text(study).plain


def test_a_refusal_is_shown_with_its_reason():
    story = Story("1.2.3")
    study = told([story.result(), failed(story.delivered("stow", 6), "the PACS is full")])
    assert "failed by stow" in objects_text(study).plain


@pytest.mark.parametrize(("value", "text"), [(0, "0 ms"), (9999.4, "9999 ms"), (12_345, "12.3 s")])
def test_durations(value: float, text: str):
    assert milliseconds(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (600, "10 min"), (36_000, "10.0 h")])
def test_spans(seconds: float, text: str):
    assert span(seconds) == text


def test_processes_are_shown_with_memory_and_trouble():
    stack = Stack(
        os.getpid(),
        "2026-01-01T00:00:00+00:00",
        THERE,
        (
            ProcessState("gateway", State.READY, os.getpid()),
            ProcessState("worker", State.REFUSED, None, 2, "no model"),
        ),
    )
    text = shown(processes_table(stack))
    assert "gateway" in text
    assert " MB" in text
    assert "no model" in text
    assert "http://127.0.0.1:4/" in shown(endpoints_table(stack))
    value = plain(stack)
    assert value["ready"] is False
    assert value["processes"][0]["memory_bytes"] > 1_000_000
    assert value["processes"][1]["memory_bytes"] is None


def test_memory_counts_what_a_process_started():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(80_000_000); input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as parent:
        try:
            for _ in range(10_000):
                if (resident_bytes(parent.pid) or 0) > 80_000_000:
                    break
            assert (resident_bytes(parent.pid) or 0) > 80_000_000
            assert uptime_s(parent.pid) is not None
        finally:
            parent.communicate(b"\n", timeout=30)
    assert resident_bytes(parent.pid) is None
    assert uptime_s(None) is None


def test_the_last_words_of_a_starting_process(tmp_path: Path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "broker.log").write_text('{"event": "fetching Apache Kafka"}\nnot json\n[1]\n')
    assert last_words(tmp_path, "broker") == "fetching Apache Kafka"
    assert last_words(tmp_path, "nobody") == ""
    stack = Stack(1, "", THERE, (ProcessState("broker"), ProcessState("api", State.READY)))
    assert starting(tmp_path, stack) == "broker (fetching Apache Kafka)"
    assert starting(tmp_path, Stack(1, "", THERE, (ProcessState("api", State.READY),))) == ""


def test_only_gauges_that_mean_something_are_shown():
    telemetry = Telemetry()
    telemetry.gauge("scanstream_outbox_rows", 7, lane="urgent")
    telemetry.gauge("scanstream_destination_up", 0, destination="stow")
    text = telemetry.exposition().decode()
    gateway = {str(row["metric"]): row["value"] for row in gauges("gateway", text)}
    assert gateway["scanstream_outbox_rows"] == 7
    assert "scanstream_studies_open" not in gateway
    writer = gauges("writer-stow", text)
    assert [(row["metric"], row["labels"], row["value"]) for row in writer] == [
        ("scanstream_destination_up", {"destination": "stow"}, 0)
    ]


def test_addresses_come_from_the_environment_then_the_stack(monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith(("SCANSTREAM_", "KAFKA_", "CLICKHOUSE_")):
            monkeypatch.delenv(name)
    stack = Stack(1, "", THERE, ())
    found = of_stack(stack)
    assert (found.kafka.bootstrap_servers, found.dimse_port, found.api) == ("127.0.0.1:1", 2, "http://127.0.0.1:4")
    assert found.dicomweb == "http://127.0.0.1:3/dicom-web"
    assert found.clickhouse.get_secret_value() == "http://127.0.0.1:5"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setenv("SCANSTREAM_GATEWAY_DIMSE_PORT", "104")
    monkeypatch.setenv("CLICKHOUSE_DSN", "http://user:secret@clickhouse:8123")
    found = of_stack(stack)
    assert (found.kafka.bootstrap_servers, found.dimse_port) == ("kafka:9092", 104)
    assert found.clickhouse.get_secret_value() == "http://user:secret@clickhouse:8123"
    assert "secret" not in repr(found)
    assert of_stack(None).api == "http://127.0.0.1:8080"


def test_what_the_api_says_no_to():
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/studies/1":
            return httpx.Response(200, json={"study_instance_uid": "1"})
        if request.url.path == "/studies/2":
            return httpx.Response(404)
        if request.url.path == "/studies/3":
            return httpx.Response(500)
        if request.url.path == "/studies/5":
            return httpx.Response(200, text="Ok.")
        raise httpx.ConnectError("refused")

    api = Api("http://api", httpx.MockTransport(answer))
    assert api.study("1") == {"study_instance_uid": "1"}
    assert api.study("2") is None
    with pytest.raises(PermanentRejection, match="500"):
        api.study("3")
    with pytest.raises(DestinationUnavailable, match="start the stack"):
        api.study("4")
    with pytest.raises(PermanentRejection, match="is not the API"):
        api.study("5")
    for wrong in ("", "..", "1/../../openapi.json", "1?x", "1.2 3"):
        with pytest.raises(InvalidInput, match="is no UID"):
            api.study(wrong)


@pytest.mark.parametrize("address", ["garbage", "http://127.0.0.1:port/", "http://[::1/"])
def test_an_address_of_the_audit_store_that_is_none_is_a_wrong_setting(address: str):
    with pytest.raises(ConfigurationError, match="CLICKHOUSE_DSN"):
        ask(SecretStr(address), "SELECT 1")


def test_rows_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    answer = Rows(("['x'][red]",), [("[/bold] [red]",)])
    monkeypatch.setattr(clickhouse, "ask", lambda *_: answer)
    sql.sql("SELECT 1", Path("nowhere"))
    shown = capsys.readouterr().out
    assert "['x'][red]" in shown
    assert "[/bold] [red]" in shown
