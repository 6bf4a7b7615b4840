"""SOP Instance UIDs → what the index says of them, and whether their files are really there."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from producers.store.database import Readers

#: Parameters of one SQL statement.
_CHUNK: Final = 500


@dataclass(frozen=True)
class Located:
    """An instance of the index; ``is_whole`` says that its file is there in its full length."""

    sop_class_uid: str
    study_instance_uid: str
    is_whole: bool


class Lookup:
    """Reads the index in a thread of its own, so that long lists hold nobody up.

    Parameters
    ----------
    root
        Directory of the store.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._readers = Readers(root / "index.sqlite")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-lookup")

    async def located(self, sop_instance_uids: Iterable[str]) -> dict[str, Located]:
        """The instances that are in the index, by SOP Instance UID."""
        uids = list(dict.fromkeys(sop_instance_uids))

        def run() -> dict[str, Located]:
            return dict(_located(self._readers.connection(), self._root, uids))

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    async def held(self, study_instance_uids: Iterable[str]) -> dict[str, int]:
        """How many instances the index has of each study."""
        uids = list(study_instance_uids)

        def run() -> dict[str, int]:
            connection = self._readers.connection()
            counts = {}
            for uid in uids:
                (counts[uid],) = connection.execute(
                    "SELECT count(*) FROM instances WHERE StudyInstanceUID = ?", (uid,)
                ).fetchone()
            return counts

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def close(self) -> None:
        """Finish what was begun and close the index."""
        self._thread.shutdown(wait=True)
        self._readers.close()


def _located(connection: sqlite3.Connection, root: Path, uids: Sequence[str]) -> Iterator[tuple[str, Located]]:
    for start in range(0, len(uids), _CHUNK):
        some = uids[start : start + _CHUNK]
        marks = ", ".join("?" * len(some))
        rows = connection.execute(
            "SELECT SOPInstanceUID, SOPClassUID, StudyInstanceUID, file, data_set_offset + size_bytes"  # noqa: S608 - only question marks are put in
            f" FROM instances WHERE SOPInstanceUID IN ({marks})",
            some,
        )
        for sop, sop_class, study, file, size in rows.fetchall():
            yield sop, Located(sop_class, study, _size(root / file) == size)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
