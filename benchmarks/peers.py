"""Peers in environments of their own, pinned: installed once into the user's cache, never into ours."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
import venv
from pathlib import Path
from typing import Final

AIROUTER: Final = "dicom-ai-router==0.3.0"


def airouter_demo() -> tuple[float, float]:
    """Run the demonstration of ``dicom-ai-router``.

    Returns
    -------
    tuple of float
        Median round trip to its model that it prints, in milliseconds; and the whole run, in seconds.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "scanstream" / "peer-airouter"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", AIROUTER], check=True)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        said = subprocess.run(
            [python, "-m", "airouter", "demo"], cwd=folder, capture_output=True, text=True, timeout=300, check=True
        ).stdout
        took = time.monotonic() - started
    found = re.search(r"median (\d+) ms", said)
    if found is None:
        raise RuntimeError(f"the peer did not print its median: {said[-500:]}")
    return float(found.group(1)), took
