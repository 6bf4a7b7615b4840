"""An index of an earlier release → the tables of this one, in place, in the transaction of the caller.

What is new starts with the meaning that the old release gave it, so nothing is rebuilt: rows of the outbox are in
the normal lane, and so are the studies that they speak of.
"""

from __future__ import annotations

import sqlite3
from typing import Final

#: Version that a step starts from → its statements. Tables and indices that are merely new are made afterwards.
_STEPS: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "ALTER TABLE outbox ADD COLUMN lane INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE studies ADD COLUMN lane INTEGER NOT NULL DEFAULT 1",
        # replaced by one that is also the order of search results
        "DROP INDEX IF EXISTS instances_of_series",
    ),
}


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring tables of ``version`` up to date; an empty file has version 0 and needs nothing."""
    for step in sorted(_STEPS):
        if 0 < version <= step:
            for statement in _STEPS[step]:
                connection.execute(statement)
