"""``scanstream status``: what runs, where it answers, what waits."""

from __future__ import annotations

import typer

from dashboards.terminal.options import DEFAULT_DATA_DIR, DataDir, Json


def status(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show the processes of the local stack, their addresses and what waits in them.

    Exit code 1 when no stack is up, or a process of it does not work.
    """
    from dashboards.local.stack import read
    from dashboards.terminal.backlog import read_backlog
    from dashboards.terminal.output import emit_json, remark, results
    from dashboards.terminal.stack_table import backlog_table, endpoints_table, plain, processes_table

    stack = read(data_dir)
    if stack is None:
        if as_json:
            emit_json({"up": False, "data_dir": str(data_dir)})
        else:
            remark(f"no stack is up in {data_dir}: start one with scanstream up")
        raise typer.Exit(1)
    waiting = read_backlog(stack.endpoints.metrics)
    if as_json:
        emit_json({"up": True, "data_dir": str(data_dir), **plain(stack), "backlog": waiting})
    else:
        console = results()
        console.print(processes_table(stack))
        console.print()
        console.print(endpoints_table(stack))
        if waiting:
            console.print()
            console.print(backlog_table(waiting))
    if not stack.ready:
        raise typer.Exit(1)
