"""``scanstream demo``: from nothing, again, and with the stack already up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.stack import live_stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def demo(data_dir: Path, folder: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "dashboards.terminal", "demo", "--data-dir", str(data_dir)]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SCANSTREAM_", "KAFKA_"))}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report: dict[str, object] = json.loads((folder / "demo" / "report.json").read_text(encoding="utf-8"))
    return report


def test_the_demo_works_cold_warm_and_beside_a_running_stack(tmp_path: Path) -> None:
    state = tmp_path / "state"
    seen = set()
    first = demo(state, tmp_path)
    second = demo(state, tmp_path)
    with live_stack(state):
        third = demo(state, tmp_path)
    for report in (first, second, third):
        assert report["ok"] is True
        volume = report["brain_volume_ml"]
        assert isinstance(volume, float) and 1100 < volume < 1250
        assert {"1.2.840.10008.5.1.4.1.1.66.4"} <= {item["sop_class"] for item in report["objects"]}  # type: ignore[attr-defined]
        assert int(str(report["audit_rows"])) > 20
        seen.add(report["study_instance_uid"])
    assert len(seen) == 3
    with Image.open(tmp_path / str(third["overlay_png"])) as overlay:
        assert overlay.width >= 256
