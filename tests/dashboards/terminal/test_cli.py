"""The terminal as a person meets it: quick, and one sentence for what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from producers.topic_admin import wanted
from tests.tools import free_port

HEAVY = {
    "chdb", "clickhouse_connect", "confluent_kafka", "fastapi", "highdicom", "httpx", "numpy", "onnxruntime",
    "pydicom", "pynetdicom", "scipy", "uvicorn",
}  # fmt: skip
COMMANDS = {
    "api", "broker", "demo", "down", "gateway", "hl7", "send", "sql", "status", "streams", "study", "topics", "up",
    "infer", "task",
    "models", "poller", "findings", "worker", "writer",
}  # fmt: skip


def scanstream(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SCANSTREAM_", "KAFKA_", "CLICKHOUSE_"))}
    return subprocess.run(
        [sys.executable, "-m", "dashboards.terminal", *arguments],
        cwd=cwd,
        env=kept | (env or {}),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_names_every_command_and_loads_nothing_heavy(tmp_path: Path):
    code = (
        "import sys; sys.argv = ['scanstream', '--help']\n"
        "from dashboards.terminal import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code in (0, None)\n"
        f"loaded = set(sys.modules) & {HEAVY!r}\n"
        "assert not loaded, loaded\n"
        "import resource; print('CPU', resource.getrusage(resource.RUSAGE_SELF).ru_utime)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert f" {name} " in done.stdout
    assert float(done.stdout.rpartition("CPU")[2]) < 0.5


def test_without_arguments_there_is_help(tmp_path: Path):
    assert "Usage" in scanstream(cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["study", "1.2.3"], 1, "does not answer"),
        (["study", "1.2.3", "--json"], 1, "does not answer"),
        (["sql", "SELECT 1"], 1, "the audit store at 127.0.0.1"),
        (["status"], 1, "no stack is up in .scanstream"),
        (["down"], 1, "no stack is up in .scanstream"),
        (["send", "/nowhere"], 1, "/nowhere does not exist"),
        (["writer", "fax"], 78, "there is no writer for fax"),
        (["send", "/nowhere", "--called", "A-TITLE-OF-17-CHRS"], 1, "is no AE title"),
        (["send", "/nowhere", "--calling", ""], 1, "is no AE title"),
        (["send"], 2, "Missing argument"),
        (["sing"], 2, "No such command"),
    ],
)
def test_nothing_is_there(tmp_path: Path, arguments: list[str], code: int, sentence: str):
    port = str(free_port())
    env = {"SCANSTREAM_API_PORT": port, "CLICKHOUSE_EMBEDDED_HTTP_PORT": port}
    done = scanstream(*arguments, cwd=tmp_path, env=env)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_wrong_setting_is_named(tmp_path: Path):
    done = scanstream("send", str(tmp_path), cwd=tmp_path, env={"SCANSTREAM_GATEWAY_DIMSE_PORT": "many"})
    assert done.returncode == 1  # nothing to send comes first
    file = Path(__file__).parents[3] / "dashboards/demo/data/mr-brain/001.dcm"
    done = scanstream("send", str(file), cwd=tmp_path, env={"SCANSTREAM_GATEWAY_DIMSE_PORT": "many"})
    assert done.returncode == 78
    assert "dimse_port" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_as_json_when_nothing_is_up(tmp_path: Path):
    done = scanstream("status", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"up": False, "data_dir": ".scanstream"}
    done = scanstream("down", "--json", cwd=tmp_path, env={"SCANSTREAM_DATA_DIR": "elsewhere"})
    assert json.loads(done.stdout) == {"ended": False, "data_dir": "elsewhere"}


def test_a_demo_that_cannot_start_says_so_and_leaves_a_report(tmp_path: Path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "report.json").write_text('{"ok": true}')
    done = scanstream("demo", cwd=tmp_path, env={"SCANSTREAM_GATEWAY_DISK_REFUSE_FRACTION": "7"})
    assert done.returncode == 1
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["ok"] is False
    assert report["missing_stage"] == "stack"
    assert "disk_refuse_fraction" in report["reason"]
    assert report["log"].endswith("supervisor.log")
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.integration
def test_topics_of_a_real_broker(tmp_path: Path, kafka: str):
    done = scanstream("topics", "--json", cwd=tmp_path, env={"KAFKA_BOOTSTRAP_SERVERS": kafka})
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["topic"] for row in rows] == [topic.name for topic in wanted()]
    assert {row["state"] for row in rows} == {"equal"}
    assert all(row["messages_at_most"] >= 0 for row in rows)
    table = scanstream("topics", "--create", cwd=tmp_path, env={"KAFKA_BOOTSTRAP_SERVERS": kafka})
    assert table.returncode == 0
    assert "imaging.studies" in table.stdout
