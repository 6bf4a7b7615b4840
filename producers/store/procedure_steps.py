"""Performed procedure steps: their state, attributes and instances (PS3.4 F.7).

Plain functions on a connection; the transaction belongs to the caller.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

IN_PROGRESS: Final = "IN PROGRESS"
COMPLETED: Final = "COMPLETED"
DISCONTINUED: Final = "DISCONTINUED"

DDL: Final = (
    "CREATE TABLE IF NOT EXISTS procedure_steps (uid TEXT PRIMARY KEY, status TEXT NOT NULL,"
    " attributes BLOB NOT NULL, instances TEXT NOT NULL, updated_at REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS step_studies (study TEXT NOT NULL, uid TEXT NOT NULL, PRIMARY KEY (study, uid))"
    " WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS procedure_steps_by_time ON procedure_steps (updated_at)",
)


@dataclass(frozen=True)
class ProcedureStep:
    """One step.

    Attributes
    ----------
    uid
        SOP Instance UID.
    status
        Performed Procedure Step Status (0040,0252).
    attributes
        What was created and set, without text and identity; Explicit VR Little Endian.
    instances
        SOP Instance UIDs of the performed series.
    studies
        Study Instance UIDs of the scheduled steps.
    """

    uid: str
    status: str
    attributes: bytes
    instances: tuple[str, ...]
    studies: tuple[str, ...]


def find(connection: sqlite3.Connection, uid: str) -> ProcedureStep | None:
    """The step of this UID, if there is one."""
    row = connection.execute("SELECT * FROM procedure_steps WHERE uid = ?", (uid,)).fetchone()
    if row is None:
        return None
    studies = connection.execute("SELECT study FROM step_studies WHERE uid = ? ORDER BY study", (uid,))
    return ProcedureStep(
        uid,
        row["status"],
        row["attributes"],
        tuple(json.loads(row["instances"])),
        tuple(study for (study,) in studies),
    )


def save(connection: sqlite3.Connection, step: ProcedureStep, now: float) -> None:
    """Create or replace a step; ``now`` is Unix time in seconds."""
    connection.execute(
        "INSERT OR REPLACE INTO procedure_steps (uid, status, attributes, instances, updated_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (step.uid, step.status, step.attributes, json.dumps(step.instances), now),
    )
    for study in step.studies:
        connection.execute("INSERT OR IGNORE INTO step_studies (study, uid) VALUES (?, ?)", (study, step.uid))


def completed_instances(connection: sqlite3.Connection, study: str, besides: str) -> set[str]:
    """SOP Instance UIDs of all completed steps of a study but one."""
    rows = connection.execute(
        "SELECT instances FROM procedure_steps JOIN step_studies USING (uid)"
        " WHERE study = ? AND status = ? AND uid <> ?",
        (study, COMPLETED, besides),
    )
    return {uid for (instances,) in rows for uid in json.loads(instances)}


def unfinished(connection: sqlite3.Connection, studies: Sequence[str], besides: str) -> set[str]:
    """Those of the studies of which another step is still in progress."""
    found: set[str] = set()
    for study in studies:
        row = connection.execute(
            "SELECT 1 FROM procedure_steps JOIN step_studies USING (uid)"
            " WHERE study = ? AND status = ? AND uid <> ? LIMIT 1",
            (study, IN_PROGRESS, besides),
        ).fetchone()
        if row is not None:
            found.add(study)
    return found


def forget(connection: sqlite3.Connection, before: float) -> int:
    """Remove steps that nobody changed since a Unix time; returns how many."""
    old: Sequence[tuple[str]] = connection.execute(
        "SELECT uid FROM procedure_steps WHERE updated_at < ?", (before,)
    ).fetchall()
    for (uid,) in old:
        connection.execute("DELETE FROM step_studies WHERE uid = ?", (uid,))
        connection.execute("DELETE FROM procedure_steps WHERE uid = ?", (uid,))
    return len(old)
