"""Bytes → durable files: written aside, fsynced, renamed into place, directories fsynced.

Names are hashes or digests, never what a sender chose. A reader sees a whole file or none.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INSTANCES: Final = "instances"
INCOMING: Final = "incoming"
ARTIFACTS: Final = "artifacts"

#: What one call writes, in parts (the system takes at most 1024) and bytes.
_MOST_PARTS: Final = 64
_MOST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class Written:
    """A durable file that waits in ``incoming``; size and digest are of the data set."""

    path: Path
    header_bytes: int
    size_bytes: int
    sha256: str


def write_aside(incoming: Path, header: bytes, chunks: Iterable[bytes | memoryview]) -> Written:
    """Write header and data set into a new file and make it durable.

    Raises
    ------
    OSError
        The file system took no more; nothing is left behind.
    """
    path = incoming / _new_name()
    digest = hashlib.sha256()
    size = unwritten = 0
    parts: list[bytes | memoryview] = [header]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        try:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                unwritten += len(chunk)
                parts.append(chunk)
                if len(parts) >= _MOST_PARTS or unwritten >= _MOST_BYTES:
                    write_parts(descriptor, parts)
                    parts, unwritten = [], 0
            write_parts(descriptor, parts)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Written(path, len(header), size, digest.hexdigest())


def write_parts(descriptor: int, parts: Sequence[bytes | memoryview]) -> None:
    """Write everything, in one call where the system takes it."""
    written = os.writev(descriptor, parts)
    for part in parts:
        if written < len(part):
            write_all(descriptor, memoryview(part)[written:])
        written = max(written - len(part), 0)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything: a disk that fills up, or a signal, makes one call write less than it was given."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _new_name() -> str:
    """A name that no other file has: eight hexadecimal digits of Unix time in seconds, 24 of chance."""
    return f"{int(time.time()):08x}{uuid.uuid4().hex[:24]}"


def instance_file(sop_instance_uid: str, version: str) -> str:
    """Relative path of an instance: a directory per four minutes of arrival.

    What many associations send at the same time so lies in one directory, and one fsync of it makes all their
    names durable; with a directory per study it takes one each, and is five times slower. ``version`` is the name
    that the file was written under: it tells apart all files that ever held an instance of this UID, so a deleted
    or replaced one can never be taken for a new one.
    """
    return f"{INSTANCES}/{version[:4]}/{version[4:6]}/{_hash(sop_instance_uid)}-{version[:16]}.dcm"


def _hash(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def move_into_place(source: Path, target: Path, touched: set[Path]) -> None:
    """Rename a durable file; the directories that must be fsynced are added to ``touched``."""
    touched.add(target.parent)
    try:
        source.replace(target)
    except FileNotFoundError:
        if target.exists():
            # A commit that failed has renamed it already; its next attempt comes here again.
            return
        missing = target.parent
        while not missing.is_dir():
            missing = missing.parent
            touched.add(missing)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def sync_directories(directories: Iterable[Path]) -> None:
    """Make renames and new directories durable."""
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
