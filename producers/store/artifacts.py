"""Large outputs of models (masks), content-addressed: the name of a file is the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from producers.store.files import ARTIFACTS, INCOMING, move_into_place, sync_directories, write_aside
from schemas.errors import DestinationUnavailable, InvalidMessage

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def existing(root: Path, sha256: str) -> Path | None:
    """File of an artifact, or ``None`` when there is none (or the digest is no digest)."""
    if _DIGEST.fullmatch(sha256) is None:
        return None
    path = _path(root, sha256)
    return path if path.is_file() else None


def put(root: Path, sha256: str, data: bytes) -> bool:
    """Write an artifact durably; ``False`` when it was there already.

    Raises
    ------
    InvalidMessage
        The bytes do not have this digest.
    DestinationUnavailable
        The file system took no more.
    """
    if _DIGEST.fullmatch(sha256) is None or hashlib.sha256(data).hexdigest() != sha256:
        raise InvalidMessage("the artifact does not have the SHA-256 that it was sent under: send it again")
    path = _path(root, sha256)
    if path.is_file():
        return False
    touched: set[Path] = set()
    try:
        written = write_aside(root / INCOMING, b"", [data])
        move_into_place(written.path, path, touched)
        sync_directories(touched)
    except OSError as error:
        raise DestinationUnavailable(f"the artifact cannot be written: {error.strerror}") from error
    return True


def _path(root: Path, sha256: str) -> Path:
    return root / ARTIFACTS / sha256[:2] / sha256
