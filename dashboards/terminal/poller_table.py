"""Where pollers stand → tables for people, plain data for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from producers.poller.ledger import Standing
from schemas.instants import rfc3339


def plain(name: str, kind: str, standing: Standing | None) -> dict[str, Any]:
    """One source as plain data; a source that was never polled has no times."""
    return {
        "source": name,
        "kind": kind,
        "last_poll": None if standing is None else _when(standing.listed_s),
        "watermark": None if standing is None else _when(standing.watermark_s),
        "pending": 0 if standing is None else standing.pending,
        "complete": 0 if standing is None else standing.complete,
        "set_aside": []
        if standing is None
        else [
            {
                "study_instance_uid": one.study_instance_uid,
                "attempts": one.attempts,
                "reason": one.reason,
                "next_try": _when(one.next_try_s),
            }
            for one in standing.aside
        ],
    }


def standing_table(kinds: Mapping[str, str], standings: Mapping[str, Standing | None]) -> Iterator[Table]:
    """One row per source, and one per study that is set aside."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("source", "kind", "last poll", "all there up to"):
        table.add_column(column, no_wrap=True)
    for column in ("pending", "complete", "set aside"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, standing in standings.items():
        row = plain(name, kinds[name], standing)
        aside = len(row["set_aside"])
        table.add_row(
            name,
            row["kind"],
            row["last_poll"] or "never",
            row["watermark"] or "",
            str(row["pending"]),
            str(row["complete"]),
            Text(str(aside), style="yellow" if aside else ""),
        )
    yield table
    if not any(standing is not None and standing.aside for standing in standings.values()):
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("source", no_wrap=True)
    table.add_column("study set aside", overflow="fold")
    table.add_column("attempts", justify="right")
    table.add_column("next try", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for name, standing in standings.items():
        for one in () if standing is None else standing.aside:
            # as text: brackets of a reason are no mark-up
            table.add_row(
                name,
                one.study_instance_uid,
                str(one.attempts),
                _when(one.next_try_s) or "",
                Text(one.reason),
            )
    yield table


def _when(unix_s: float | None) -> str | None:
    return None if unix_s is None else rfc3339(datetime.fromtimestamp(unix_s, UTC).replace(microsecond=0))
