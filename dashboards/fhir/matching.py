"""Resources that are made when they are asked for → those that a search matches.

The search runs on a database in memory that holds just these, with the conditions of the durable one: so both
understand every parameter alike.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from dashboards.fhir import query
from dashboards.fhir.outcome import Json
from dashboards.fhir.parameters import rows

_SCHEMA = """
CREATE TABLE resource (seq INTEGER PRIMARY KEY, type TEXT, id TEXT, updated INTEGER);
CREATE TABLE search (type TEXT, parameter TEXT, value TEXT, system TEXT, seq INTEGER);
"""


def matching(wanted: query.Query, made: Sequence[tuple[int, Json]]) -> list[int]:
    """Places of those that match; each comes with when it was updated, in milliseconds since 1970."""
    if not wanted.conditions:
        return list(range(len(made)))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(_SCHEMA)
        connection.executemany(
            "INSERT INTO resource VALUES (?, ?, ?, ?)",
            [(seq, one["resourceType"], one["id"], updated) for seq, (updated, one) in enumerate(made)],
        )
        connection.executemany(
            "INSERT INTO search VALUES (?, ?, ?, ?, ?)",
            [
                (one["resourceType"], row.parameter, row.value, row.system, seq)
                for seq, (_, one) in enumerate(made)
                for row in rows(one, wanted.names)
            ],
        )
        selected, values = query.where(wanted)
        sql = f"SELECT r.seq FROM resource r WHERE {selected} ORDER BY r.seq"  # noqa: S608 - conditions have placeholders
        return [seq for (seq,) in connection.execute(sql, values)]
