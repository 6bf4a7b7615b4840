"""Time of ``scanstream demo`` as a person waits for it: from the command to its last line.

The first run of a fresh state directory, then runs that find it; the stack is started and ended within each.
Peer: ``python -m airouter demo`` of ``dicom-ai-router`` 0.3.0, which is the same promise of that program:
everything started, synthetic studies sent, a table at the end.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peers import airouter_demo
from benchmarks.report import Row, arguments, publish


def demo_s(folder: Path) -> float:
    """Seconds of one demonstration, which must succeed."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SCANSTREAM_", "KAFKA_"))}
    started = time.monotonic()
    command = [sys.executable, "-m", "dashboards.terminal", "demo", "--data-dir", str(folder / "state")]
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, timeout=300)
    took = time.monotonic() - started
    if json.loads((folder / "demo" / "report.json").read_text(encoding="utf-8"))["ok"] is not True:
        raise RuntimeError("the demonstration did not succeed")
    return took


def main() -> int:
    """Command line."""
    options = arguments("Time of the demonstration").parse_args()
    runs = 2 if options.quick else 5
    _, peer_s = airouter_demo()
    with tempfile.TemporaryDirectory(prefix="scanstream-") as folder:
        first = demo_s(Path(folder))
        later = [demo_s(Path(folder)) for _ in range(runs)]
    peer = "dicom-ai-router 0.3.0, its demo"
    rows = [
        Row("first run of a state directory", first, "s", peer, peer_s),
        Row(f"later runs, median of {runs}", statistics.median(later), "s", peer, peer_s),
        Row("later runs, slowest", max(later), "s", peer, peer_s),
    ]
    publish("scanstream demo, from the command to its last line", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
