"""What tests need of the machine: programs of Debian packages, free ports, a clear word when one is missing."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

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
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
