"""Bytes → durable files: written aside, fsynced, renamed into place, directories fsynced.

Names are hashes or digests, never what a sender chose. A reader sees a whole file or none.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INSTANCES: Final = "instances"
INCOMING: Final = "incoming"
ARTIFACTS: Final = "artifacts"


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
    path = incoming / uuid.uuid4().hex
    digest = hashlib.sha256()
    size = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        try:
            write_all(descriptor, header)
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                write_all(descriptor, chunk)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Written(path, len(header), size, digest.hexdigest())


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything: a disk that fills up, or a signal, makes one call write less than it was given."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def instance_file(study_instance_uid: str, sop_instance_uid: str, version: str) -> str:
    """Relative path of an instance: a directory per study, so that a study stays together on disk.

    ``version`` tells apart all files that ever held an instance of this UID, so a deleted or replaced one can
    never be taken for a new one.
    """
    study, sop = _hash(study_instance_uid), _hash(sop_instance_uid)
    return f"{INSTANCES}/{study[:2]}/{study[2:]}/{sop}-{version[:16]}.dcm"


def _hash(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def move_into_place(source: Path, target: Path, touched: set[Path]) -> None:
    """Rename a durable file; the directories that must be fsynced are added to ``touched``."""
    if not target.parent.is_dir():
        missing = target.parent
        while not missing.is_dir():
            touched.add(missing.parent)
            missing = missing.parent
        target.parent.mkdir(parents=True, exist_ok=True)
    # A commit that failed may have renamed it already; its next attempt comes here again.
    if source.exists() or not target.exists():
        source.replace(target)
    touched.add(target.parent)


def sync_directories(directories: Iterable[Path]) -> None:
    """Make renames and new directories durable."""
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
