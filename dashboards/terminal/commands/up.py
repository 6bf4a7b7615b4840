"""``scanstream up``: the whole system on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.terminal.options import DEFAULT_DATA_DIR, DataDir, Json


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="In the background.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Start the whole system on this machine: Kafka, gateway, streams, worker, writers, API.

    In the foreground until Ctrl-C; with --detach it returns once everything works. With --json the addresses are
    printed once everything works.
    """
    from dashboards.local import supervisor
    from dashboards.local.stack import Stack
    from dashboards.terminal.output import emit_json, results
    from dashboards.terminal.stack_table import endpoints_table, plain
    from dashboards.terminal.stack_watch import Watch
    from schemas.errors import ConfigurationError

    watch = Watch(data_dir)
    if detach:
        with watch:
            stack = supervisor.detach(data_dir, on_change=watch.show)
        if stack.refused:
            raise ConfigurationError(
                f"{stack.refused[0].name} does not start: {stack.refused[0].reason or 'see its log'}"
            )
        if as_json:
            emit_json(plain(stack))
        else:
            results().print(endpoints_table(stack))
        return
    said = False

    def on_change(stack: Stack) -> None:
        nonlocal said
        watch.show(stack)
        if stack.ready and not said:
            said = True
            watch.end()
            if as_json:
                emit_json(plain(stack))
            else:
                results().print(endpoints_table(stack), "\nCtrl-C ends it.")

    with watch:
        code = supervisor.up(data_dir, on_change)
    raise typer.Exit(code)
