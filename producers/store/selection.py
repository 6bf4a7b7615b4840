"""Unique keys of a retrieval → the stored instances that they name (PS3.4 C.4.2.1.4, C.4.3.1.3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from producers.store.conditions import marks
from producers.store.index import StoredInstance, stored_instance


@dataclass(frozen=True)
class Selection:
    """What is asked for: all given keys must fit, and an empty one fits everything.

    Attributes
    ----------
    patient_id, issuer_of_patient_id
        Of the studies; ``None`` is any.
    study_instance_uids, series_instance_uids, sop_instance_uids
        Lists of UIDs; empty is any.
    """

    patient_id: str | None = None
    issuer_of_patient_id: str | None = None
    study_instance_uids: Sequence[str] = ()
    series_instance_uids: Sequence[str] = ()
    sop_instance_uids: Sequence[str] = ()


def select(connection: sqlite3.Connection, root: Path, selection: Selection) -> list[StoredInstance]:
    """Instances in the order of study, series and instance number; none for a selection without any key."""
    wheres: list[str] = []
    values: list[str] = []
    if selection.patient_id is not None:
        of_issuer = "" if selection.issuer_of_patient_id is None else " AND IssuerOfPatientID = ?"
        wheres.append(f"StudyInstanceUID IN (SELECT StudyInstanceUID FROM studies WHERE PatientID = ?{of_issuer})")  # noqa: S608 - fixed text
        values.append(selection.patient_id)
        if selection.issuer_of_patient_id is not None:
            values.append(selection.issuer_of_patient_id)
    for column, uids in (
        ("StudyInstanceUID", selection.study_instance_uids),
        ("SeriesInstanceUID", selection.series_instance_uids),
        ("SOPInstanceUID", selection.sop_instance_uids),
    ):
        if uids:
            wheres.append(f"{column} IN ({marks(list(uids))})")
            values += uids
    if not wheres:
        return []
    rows = connection.execute(
        f"SELECT * FROM instances WHERE {' AND '.join(wheres)} "  # noqa: S608 - fixed column names
        "ORDER BY StudyInstanceUID, SeriesInstanceUID, InstanceNumber, SOPInstanceUID",
        values,
    )
    return [stored_instance(row, root) for row in rows]
