"""Lock file → verified files of Apache Kafka and of the test registry, in a cache of the user.

``jars.lock.json`` names each file by its Maven coordinate and SHA-256. Guarantee: a class path made here holds
exactly the locked bytes. What was verified is remembered by size and modification time, so a warm start neither
hashes nor resolves anything, and needs no network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from dashboards.local import fetch
from dashboards.local.java import Java
from dashboards.local.locked_file import LockedFile, sha256
from schemas.errors import ConfigurationError

LOCK_FILE: Final = Path(__file__).with_name("jars.lock.json")
VERIFIED: Final = "verified.json"

#: File name → size in bytes, modification time in ns, SHA-256.
Stamps = dict[str, tuple[int, int, str]]


def locked(name: str, lock_file: Path = LOCK_FILE) -> list[LockedFile]:
    """Files of one product of the lock, in class path order.

    Parameters
    ----------
    name
        ``kafka`` or ``apicurio``.
    """
    entries = json.loads(lock_file.read_text(encoding="utf-8"))[name]
    return [LockedFile(entry["coordinate"], entry["sha256"]) for entry in entries]


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where files are kept: ``$XDG_CACHE_HOME/scanstream/jars``, by default under ``~/.cache``."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "scanstream" / "jars"


def ensure(files: Sequence[LockedFile], directory: Path, java: Java) -> list[Path]:
    """Paths of all files, fetched when missing and verified.

    Parameters
    ----------
    files
        Of the lock.
    directory
        The cache.
    java
        See :func:`dashboards.local.fetch.fetch`.

    Raises
    ------
    ConfigurationError
        A file is not the locked one, or is missing and cannot be fetched.
    """
    missing = [file for file in files if not (directory / file.filename).is_file()]
    if missing:
        fetch.fetch(missing, directory, java)
    stamps = _read_stamps(directory)
    current = {file.filename: _verify(directory / file.filename, file, stamps) for file in files}
    if any(stamps.get(name) != stamp for name, stamp in current.items()):
        _write_stamps(directory, stamps | current)
    return [directory / file.filename for file in files]


def _verify(path: Path, file: LockedFile, stamps: Stamps) -> tuple[int, int, str]:
    status = path.stat()
    stamp = (status.st_size, status.st_mtime_ns, file.sha256)
    if stamps.get(file.filename) == stamp:
        return stamp
    if sha256(path) != file.sha256:
        raise ConfigurationError(
            f"{path} is damaged: it is not the file whose SHA-256 is in {LOCK_FILE.name}; "
            "delete that file and start again, it is then fetched anew"
        )
    return stamp


def _read_stamps(directory: Path) -> Stamps:
    try:
        plain = json.loads((directory / VERIFIED).read_text(encoding="utf-8"))
        return {name: (int(size), int(mtime), str(digest)) for name, (size, mtime, digest) in plain.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # nothing is remembered: everything is hashed once


def _write_stamps(directory: Path, stamps: Stamps) -> None:
    temporary = directory / f".{VERIFIED}.{os.getpid()}"
    temporary.write_text(json.dumps(stamps, indent=0, sort_keys=True), encoding="utf-8")
    temporary.replace(directory / VERIFIED)
