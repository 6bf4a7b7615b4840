"""Rows of a benchmark → a table for people and, with ``--json FILE``, a file for scripts."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure beside its peer's, of the same run; ``ratio`` is value / peer_value."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's."""
        return self.value / self.peer_value if self.peer_value else None


def arguments(about: str) -> argparse.ArgumentParser:
    """Parser with the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, for a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    return parser


def publish(title: str, rows: list[Row], file: Path | None) -> None:
    """Show the rows, and write them where asked."""
    table = Table(title=title)
    for column in ("figure", "value", "unit", "peer", "peer's", "ratio"):
        table.add_column(column, justify="left" if column in {"figure", "unit", "peer"} else "right")
    for row in rows:
        peer_value = "" if row.peer_value is None else f"{row.peer_value:,.1f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.name, f"{row.value:,.1f}", row.unit, row.peer or "", peer_value, ratio)
    console = Console()
    (console if console.is_terminal else Console(width=130)).print(table)
    if file is not None:
        file.write_text(json.dumps({"rows": [asdict(row) | {"ratio": row.ratio} for row in rows]}, indent=2))
        sys.stderr.write(f"written to {file}\n")


def percentile(values: list[float], share: float) -> float:
    """Value below which ``share`` (0 to 1) of the sorted values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
