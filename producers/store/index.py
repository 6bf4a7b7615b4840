"""Rows of the index: what is written in one commit with the outbox, and how it is looked up again.

Plain functions on a connection; the transaction belongs to the caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from producers.store.attributes import INSTANCE, SERIES, STUDY, Attribute
from producers.store.headers import Headers, Value

_FILE: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "transfer_syntax_uid",
    "file",
    "data_set_offset",
    "size_bytes",
    "sha256",
    "stored_at",
)


def _insert(table: str, columns: Sequence[str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    marks = ", ".join("?" * len(columns))
    return f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names of our own tables


def _keywords(attributes: Sequence[Attribute]) -> list[str]:
    return [attribute.keyword for attribute in attributes]


_INSERT_STUDY: Final = _insert("studies", [*_keywords(STUDY), "first_stored_at"])
_INSERT_SERIES: Final = _insert("series", ["StudyInstanceUID", *_keywords(SERIES)])
_INSERT_INSTANCE: Final = _insert("instances", [*_keywords(INSTANCE), *_FILE]).replace("OR IGNORE", "OR REPLACE")


@dataclass(frozen=True)
class StoredFile:
    """Where the bytes of an instance are.

    Attributes
    ----------
    file
        Path relative to the store's root.
    data_set_offset
        Bytes of Part 10 header before the data set.
    size_bytes, sha256
        Of the data set as received.
    stored_at
        Unix time, seconds.
    """

    transfer_syntax_uid: str
    file: str
    data_set_offset: int
    size_bytes: int
    sha256: str
    stored_at: float


@dataclass(frozen=True)
class StoredInstance:
    """One instance of the store; ``path`` is its Part 10 file, the rest as in :class:`StoredFile`."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: Path
    data_set_offset: int
    size_bytes: int
    sha256: str
    stored_at: float
    instance_number: int | None
    number_of_frames: int | None


def known(connection: sqlite3.Connection, sop_instance_uid: str) -> tuple[str, str, str] | None:
    """sha256, transfer syntax and file of an instance that is in the index."""
    row: tuple[str, str, str] | None = connection.execute(
        "SELECT sha256, transfer_syntax_uid, file FROM instances WHERE SOPInstanceUID = ?", (sop_instance_uid,)
    ).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def insert(connection: sqlite3.Connection, headers: Headers, stored: StoredFile) -> None:
    """Rows of one instance; its study and series rows are those of their first instance."""
    values = headers.values

    def of(attributes: Sequence[Attribute]) -> list[Value]:
        return [values.get(attribute.keyword) for attribute in attributes]

    connection.execute(_INSERT_STUDY, (*of(STUDY), stored.stored_at))
    connection.execute(_INSERT_SERIES, (headers.study_instance_uid, *of(SERIES)))
    file = (
        headers.study_instance_uid,
        headers.series_instance_uid,
        stored.transfer_syntax_uid,
        stored.file,
        stored.data_set_offset,
        stored.size_bytes,
        stored.sha256,
        stored.stored_at,
    )
    connection.execute(_INSERT_INSTANCE, (*of(INSTANCE), *file))


def instances_of(
    connection: sqlite3.Connection, root: Path, study: str, series: str | None = None, sop: str | None = None
) -> list[StoredInstance]:
    """Instances of a study, a series or one instance, in the order of series and instance number."""
    where, values = ["StudyInstanceUID = ?"], [study]
    for column, value in (("SeriesInstanceUID", series), ("SOPInstanceUID", sop)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    rows = connection.execute(
        f"SELECT * FROM instances WHERE {' AND '.join(where)} "  # noqa: S608 - fixed column names
        "ORDER BY SeriesInstanceUID, InstanceNumber, SOPInstanceUID",
        values,
    )
    return [
        StoredInstance(
            study_instance_uid=row["StudyInstanceUID"],
            series_instance_uid=row["SeriesInstanceUID"],
            sop_instance_uid=row["SOPInstanceUID"],
            sop_class_uid=row["SOPClassUID"],
            transfer_syntax_uid=row["transfer_syntax_uid"],
            path=root / row["file"],
            data_set_offset=row["data_set_offset"],
            size_bytes=row["size_bytes"],
            sha256=row["sha256"],
            stored_at=row["stored_at"],
            instance_number=row["InstanceNumber"],
            number_of_frames=row["NumberOfFrames"],
        )
        for row in rows
    ]
