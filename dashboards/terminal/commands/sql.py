"""``scanstream sql``: a question to the audit store."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.terminal.options import DEFAULT_DATA_DIR, DataDir, Json


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help='Such as "SELECT ... FROM ... LIMIT 10".')],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Ask the audit store (ClickHouse SQL, read-only).

    It is the server at CLICKHOUSE_DSN, else the store that the local stack's audit writer serves.
    """
    from dashboards.terminal.clickhouse import ask
    from dashboards.terminal.endpoints import resolve
    from dashboards.terminal.output import emit_json, results

    answer = ask(resolve(data_dir).clickhouse, query)
    if as_json:
        emit_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in answer.columns:
        table.add_column(Text(column), overflow="fold")
    for row in answer.rows:
        # as text: brackets of a body are no mark-up
        table.add_row(*(Text(str(value)) for value in row))
    results().print(table)
