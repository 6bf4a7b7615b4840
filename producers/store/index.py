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
from producers.store.headers import Headers

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


def _update(insert: str, key: Sequence[str], columns: Sequence[str]) -> str:
    """The insert, which gives a row that is there already the new attributes."""
    changed = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in key)
    upsert = insert.replace("INSERT OR IGNORE", "INSERT")
    return f"{upsert} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}"


def _keywords(attributes: Sequence[Attribute]) -> list[str]:
    return [attribute.keyword for attribute in attributes]


_STUDY: Final = _keywords(STUDY)
_SERIES: Final = _keywords(SERIES)
_INSTANCE: Final = _keywords(INSTANCE)
_INSERT_STUDY: Final = _insert("studies", [*_STUDY, "first_stored_at", "lane"])
_INSERT_SERIES: Final = _insert("series", ["StudyInstanceUID", *_SERIES])
_INSERT_INSTANCE: Final = _insert("instances", [*_INSTANCE, *_FILE]).replace("OR IGNORE", "OR REPLACE")
_UPDATE_STUDY: Final = _update(_INSERT_STUDY, ["StudyInstanceUID"], _STUDY)
_UPDATE_SERIES: Final = _update(_INSERT_SERIES, ["StudyInstanceUID", "SeriesInstanceUID"], _SERIES)


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


@dataclass(frozen=True)
class Known:
    """What the index holds under a SOP Instance UID; as in :class:`StoredInstance`."""

    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    sha256: str
    file: str
    stored_at: float


def known(connection: sqlite3.Connection, sop_instance_uid: str) -> Known | None:
    """The instance of this UID, if there is one."""
    row = connection.execute(
        "SELECT StudyInstanceUID, SeriesInstanceUID, transfer_syntax_uid, sha256, file, stored_at"
        " FROM instances WHERE SOPInstanceUID = ?",
        (sop_instance_uid,),
    ).fetchone()
    return None if row is None else Known(*row)


def insert_study(connection: sqlite3.Connection, headers: Headers, stored_at: float, lane: int) -> None:
    """Row of a study unless there is one; it keeps the attributes of its first instance."""
    values = headers.values
    connection.execute(_INSERT_STUDY, (*[values.get(name) for name in _STUDY], stored_at, lane))


def insert_series(connection: sqlite3.Connection, headers: Headers) -> None:
    """Row of a series unless there is one; it keeps the attributes of its first instance."""
    values = headers.values
    connection.execute(_INSERT_SERIES, (headers.study_instance_uid, *[values.get(name) for name in _SERIES]))


def insert_instance(connection: sqlite3.Connection, headers: Headers, stored: StoredFile) -> None:
    """Row of an instance; one of the same SOP Instance UID goes."""
    values = headers.values
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
    connection.execute(_INSERT_INSTANCE, (*[values.get(name) for name in _INSTANCE], *file))


def update_parents(connection: sqlite3.Connection, headers: Headers, stored_at: float, lane: int) -> None:
    """Study and series get the attributes of this instance, which replaces another."""
    values = headers.values
    connection.execute(_UPDATE_STUDY, (*[values.get(name) for name in _STUDY], stored_at, lane))
    connection.execute(_UPDATE_SERIES, (headers.study_instance_uid, *[values.get(name) for name in _SERIES]))


def lane_of(connection: sqlite3.Connection, study_instance_uid: str) -> int | None:
    """Lane of a study's events; ``None`` when there is no such study."""
    row = connection.execute(
        "SELECT lane FROM studies WHERE StudyInstanceUID = ?", (study_instance_uid,)
    ).fetchone()
    return None if row is None else int(row[0])


def set_lane(connection: sqlite3.Connection, study_instance_uid: str, lane: int) -> None:
    """From now on the study's hints travel in this lane."""
    connection.execute("UPDATE studies SET lane = ? WHERE StudyInstanceUID = ?", (lane, study_instance_uid))


def delete(
    connection: sqlite3.Connection, study: str, series: str | None = None, sop: str | None = None
) -> list[str]:
    """Remove rows of a study, a series or one instance, and of parents that become empty; returns the files."""
    where, values = _condition(study, series, sop)
    files = [
        str(file)
        for (file,) in connection.execute(f"SELECT file FROM instances WHERE {where}", values)  # noqa: S608 - fixed names
    ]
    connection.execute(f"DELETE FROM instances WHERE {where}", values)  # noqa: S608 - fixed column names
    delete_empty_parents(connection, study)
    return files


def delete_empty_parents(connection: sqlite3.Connection, study: str) -> None:
    """Remove the series of a study that hold no instance, and the study when it holds none."""
    connection.execute(
        "DELETE FROM series WHERE StudyInstanceUID = ? AND NOT EXISTS (SELECT 1 FROM instances AS i"
        " WHERE i.StudyInstanceUID = series.StudyInstanceUID AND i.SeriesInstanceUID = series.SeriesInstanceUID)",
        (study,),
    )
    connection.execute(
        "DELETE FROM studies WHERE StudyInstanceUID = ? AND NOT EXISTS"
        " (SELECT 1 FROM instances AS i WHERE i.StudyInstanceUID = studies.StudyInstanceUID)",
        (study,),
    )


def newest(connection: sqlite3.Connection, study: str) -> float | None:
    """When the last instance of a study was stored, Unix seconds; ``None`` when there is none."""
    (at,) = connection.execute(
        "SELECT max(stored_at) FROM instances WHERE StudyInstanceUID = ?", (study,)
    ).fetchone()
    return None if at is None else float(at)


def studies_before(connection: sqlite3.Connection, moment: float, limit: int) -> list[str]:
    """Studies whose last instance was stored before a moment (Unix seconds), the oldest first."""
    rows = connection.execute(
        "SELECT StudyInstanceUID FROM studies AS s WHERE first_stored_at < ? AND NOT EXISTS (SELECT 1 FROM"
        " instances AS i WHERE i.StudyInstanceUID = s.StudyInstanceUID AND i.stored_at >= ?)"
        " ORDER BY first_stored_at LIMIT ?",
        (moment, moment, limit),
    )
    return [str(study) for (study,) in rows]


def has_study(connection: sqlite3.Connection, study: str) -> bool:
    """Whether any instance of a study is stored."""
    return lane_of(connection, study) is not None


def _condition(study: str, series: str | None, sop: str | None) -> tuple[str, list[str]]:
    where, values = ["StudyInstanceUID = ?"], [study]
    for column, value in (("SeriesInstanceUID", series), ("SOPInstanceUID", sop)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    return " AND ".join(where), values


def instances_of(
    connection: sqlite3.Connection, root: Path, study: str, series: str | None = None, sop: str | None = None
) -> list[StoredInstance]:
    """Instances of a study, a series or one instance, in the order of series and instance number."""
    where, values = _condition(study, series, sop)
    rows = connection.execute(
        f"SELECT * FROM instances WHERE {where} "  # noqa: S608 - fixed column names
        "ORDER BY SeriesInstanceUID, InstanceNumber, SOPInstanceUID",
        values,
    )
    return [stored_instance(row, root) for row in rows]


def stored_instance(row: sqlite3.Row, root: Path) -> StoredInstance:
    """Instance of a row of the table ``instances``."""
    return StoredInstance(
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
