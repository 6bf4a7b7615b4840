"""After a crash: files, index and outbox agree again, and the log says what was done.

A file without a row was durable but never acknowledged (or the index was lost): it is indexed and announced, which
loses nothing and doubles nothing. A row without a file is reported. Half-written files are removed, and so is what
was deleted or replaced before; any other whole file never is, even when it cannot be indexed now.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Final

from producers.store import removals
from producers.store.files import INCOMING, INSTANCES, Written, sync_directories
from producers.store.headers import Headers, read_headers
from producers.store.outcome import Received, Refused, Status
from producers.store.part10 import split
from producers.store.spool import Spool
from schemas.events import Origin
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Only directories that changed this long before the last commit, or later, can hold a file without a row.
_MARGIN_S: Final = 3600.0

#: Missing files that the log names; all are counted.
_MOST_NAMED: Final = 100

#: What a file begins with: far more than any header before the data set.
_HEADER_BYTES: Final = 64 * 1024

#: Exists while the index is being rebuilt from the files.
REBUILDING: Final = "rebuilding"

Adopt = Callable[[Received, Headers, Written], None]


@dataclass(frozen=True)
class Report:
    """What a start found."""

    removed_incomplete: int
    removed_deleted: int
    adopted: int
    unreadable: int
    missing_files: int


def reconcile(connection: sqlite3.Connection, root: Path, adopt: Adopt) -> Report:
    """Make files and index agree.

    Parameters
    ----------
    connection
        To the index; only names of deleted files are written here.
    root
        Directory of the store.
    adopt
        Called for each whole file without a row; indexes and announces it durably, or raises ``Refused``.
    """
    removed = 0
    for path in (root / INCOMING).iterdir():
        path.unlink()
        removed += 1
    deleted = removals.finish(connection, root)
    (last,) = connection.execute("SELECT max(stored_at) FROM instances").fetchone()
    # A rebuild of a lost index that was interrupted looks like a young index: the mark says that it is not whole.
    rebuilding = root / REBUILDING
    if last is None:
        rebuilding.touch()
        sync_directories([root])
    since = 0.0 if rebuilding.exists() else last - _MARGIN_S
    adopted = unreadable = 0
    untaken = False
    for path in _recent_files(root / INSTANCES, since):
        file = path.relative_to(root).as_posix()
        if _is_indexed(connection, file):
            continue
        try:
            adopt(*_read_back(path))
            adopted += 1
        except (Refused, OSError) as error:
            unreadable += 1
            untaken |= isinstance(error, OSError) or error.status is Status.OUT_OF_RESOURCES
            extra = fields(file=file, reason=str(error))
            log.error("a stored file cannot be read back: restore it", extra=extra)  # noqa: TRY400 - says it all
    if not untaken:
        rebuilding.unlink(missing_ok=True)
    missing = 0
    for sop_instance_uid, file in connection.execute(
        "SELECT SOPInstanceUID, file FROM instances WHERE stored_at >= ?", (since,)
    ):
        if not (root / file).is_file():
            missing += 1
            if missing <= _MOST_NAMED:
                log.error(
                    "a stored file is missing: restore it or send it again",
                    extra=fields(sop_instance_uid=sop_instance_uid),
                )
    report = Report(removed, deleted, adopted, unreadable, missing)
    level = logging.ERROR if unreadable or missing else logging.INFO
    log.log(level, "store opened", extra=fields(**vars(report)))
    return report


def _recent_files(directory: Path, since: float) -> Iterator[Path]:
    for shard in os.scandir(directory):
        for study in os.scandir(shard.path):
            # Not the time of modification, which a restored backup sets to what it was.
            if study.stat().st_ctime >= since:
                yield from Path(study.path).glob("*.dcm")


def _is_indexed(connection: sqlite3.Connection, file: str) -> bool:
    """Whether a row names the file, be it that it is deleted."""
    text = "SELECT 1 FROM instances WHERE file = ? UNION ALL SELECT 1 FROM removals WHERE file = ?"
    return connection.execute(text, (file, file)).fetchone() is not None


def _read_back(path: Path) -> tuple[Received, Headers, Written]:
    """A stored file as it was when it came in; its header says from where. Large ones are never held in memory."""
    with path.open("rb") as file:
        meta, offset = split(file.read(_HEADER_BYTES))
        size = os.fstat(file.fileno()).st_size - offset
        headers = read_headers(
            lambda count: os.pread(file.fileno(), count, offset), size, meta.transfer_syntax_uid
        )
        file.seek(offset)
        digest = file_digest(file, sha256).hexdigest()
    received = Received(
        data_set=Spool(),
        transfer_syntax_uid=meta.transfer_syntax_uid,
        origin=Origin.C_STORE if meta.sending_ae_title else Origin.STOW_RS,
        calling_ae_title=meta.sending_ae_title,
        called_ae_title=meta.receiving_ae_title,
    )
    return received, headers, Written(path, offset, size, digest)
