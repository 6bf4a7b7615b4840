"""Programs of other makers in environments of their own, pinned: installed once into the user's cache."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.tools import missing


def environment(name: str, packages: Sequence[str], with_dependencies: bool = False) -> Path:
    """An environment that holds these packages; skips the test when they cannot be had here.

    Parameters
    ----------
    name
        Of its folder in the cache; must change with the packages.
    packages
        Pinned.
    with_dependencies
        Whether what they name themselves is installed too.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scanstream"
    base.mkdir(parents=True, exist_ok=True)
    home = base / f"peer-{name}"
    with (base / f"peer-{name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test files run side by side
        if not (home / ".installed").exists():
            uv = str(Path(sys.executable).parent / "uv")
            install = [uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), *packages]
            install += [] if with_dependencies else ["--no-deps"]
            for command in ([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)], install):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    missing(f"{' '.join(packages)} cannot be installed here: {done.stderr.strip()[-300:]}")
            (home / ".installed").touch()
    return home
