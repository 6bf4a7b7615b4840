"""``scanstream topics``: the topics on the broker beside the table of topics."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.terminal.options import DEFAULT_DATA_DIR, DataDir, Json


def topics(
    create: Annotated[bool, typer.Option("--create", help="Create the topics that are missing.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """List the topics: partitions, messages kept, and where the broker differs from the table.

    Exit code 1 when a topic is missing or differs.
    """
    from dashboards.terminal.endpoints import resolve
    from dashboards.terminal.offsets import message_counts
    from dashboards.terminal.output import emit_json, results
    from producers.topic_admin import create_topics, describe_topics

    kafka = resolve(data_dir).kafka
    rows = create_topics(kafka) if create else describe_topics(kafka)
    counts = message_counts(kafka, {row.name: row.partitions for row in rows if row.state != "missing"})
    if as_json:
        emit_json(
            [
                {
                    "topic": row.name,
                    "state": row.state,
                    "partitions": row.partitions,
                    "messages_at_most": counts.get(row.name),
                    "differences": list(row.differences),
                }
                for row in rows
            ]
        )
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("topic", no_wrap=True)
        table.add_column("partitions", justify="right")
        table.add_column("messages, at most", justify="right")
        table.add_column("state")
        for row in rows:
            good = row.state in ("equal", "created")
            told = "; ".join(row.differences) or row.state
            table.add_row(
                row.name,
                str(row.partitions or ""),
                "" if row.name not in counts else f"{counts[row.name]:,}",
                Text(told, style="green" if good else "red"),
            )
        results().print(table)
    if any(row.state in ("missing", "differs") for row in rows):
        raise typer.Exit(1)
