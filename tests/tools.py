"""What tests need of the machine: programs of Debian packages, free ports, a clear word when one is missing."""

from __future__ import annotations

import os
import random
import shutil
from itertools import count
from pathlib import Path

import pytest

from dashboards.local.ports import is_free

_FIRST, _SHARE, _SHARES = 10_000, 1_000, 10
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
#: Another run on this machine begins elsewhere.
_turns = count(random.SystemRandom().randrange(_SHARE))

#: Program → Debian package that holds it.
PACKAGES = {
    "Orthanc": "orthanc orthanc-dicomweb",
    "storescu": "dcmtk",
    "echoscu": "dcmtk",
    "dcmp2pgm": "dcmtk",
    "dciodvfy": "dicom3tools",
    "dcentvfy": "dicom3tools",
    "java": "default-jre-headless",
    "javac": "default-jdk-headless",
    "npm": "npm",
}


def need(program: str) -> str:
    """Path of a program; skips the test when it is missing, fails it under STRICT=1."""
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed (Debian: {PACKAGES.get(program, program)})")
    return str(path)


def need_file(path: str, package: str) -> Path:
    """Path of a file of a Debian package; skips the test when it is missing, fails it under STRICT=1."""
    if not Path(path).is_file():
        missing(f"{path} is missing (Debian: {package})")
    return Path(path)


def missing(reason: str) -> None:
    """Skip with the reason, or fail where everything must be there."""
    if os.environ.get("STRICT") == "1":
        pytest.fail(f"STRICT=1: {reason}")
    pytest.skip(reason)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, and that nobody else is given.

    It is still free when the service that it is for opens it, or opens it again: it lies below those that the
    system gives to connections and listeners of any port, and below those that a stack chooses from, and each
    process of a test run has a share of its own.
    """
    for _ in range(_SHARE):
        port = _FIRST + _SHARE * (_WORKER % _SHARES) + next(_turns) % _SHARE
        if is_free(port):
            return port
    raise AssertionError("no port is free among those of this process: end other programs")
