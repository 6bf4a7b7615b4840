"""Resources that are made when they are asked for → those that a search matches.

The search runs on a database in memory that holds just these, with the conditions of the durable one: so both
understand every parameter alike.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing

from dashboards.fhir import query
from dashboards.fhir.outcome import Json
from dashboards.fhir.parameters import rows

_SCHEMA = """
CREATE TABLE resource (seq INTEGER PRIMARY KEY, type TEXT, id TEXT, updated INTEGER);
CREATE TABLE search (type TEXT, parameter TEXT, value TEXT, system TEXT, seq INTEGER);
CREATE INDEX search_by_value ON search (type, parameter, value);
"""


def matching(wanted: query.Query, made: Iterable[tuple[int, Json]]) -> list[Json]:
    """Those that match, in their order; each comes with when it was updated, in milliseconds since 1970."""
    resources = list(made)
    if not wanted.conditions:
        return [resource for _, resource in resources]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        for seq, (updated, resource) in enumerate(resources):
            kind = resource["resourceType"]
            connection.execute("INSERT INTO resource VALUES (?, ?, ?, ?)", (seq, kind, resource["id"], updated))
            connection.executemany(
                "INSERT INTO search VALUES (?, ?, ?, ?, ?)",
                [(kind, row.parameter, row.value, row.system, seq) for row in rows(resource)],
            )
        selected, values = query.where(wanted)
        sql = f"SELECT r.seq FROM resource r WHERE {selected} ORDER BY r.seq"  # noqa: S608 - conditions have placeholders
        return [resources[seq][1] for (seq,) in connection.execute(sql, values)]
