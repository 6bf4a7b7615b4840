"""``scanstream down``: end the local stack."""

from __future__ import annotations

import typer

from dashboards.terminal.options import DEFAULT_DATA_DIR, DataDir, Json


def down(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """End the system that `up` started, in the order of data flow; nothing is lost.

    Exit code 1 when none was up.
    """
    from dashboards.local import supervisor
    from dashboards.terminal.output import emit_json, remark

    ended = supervisor.down(data_dir)
    if as_json:
        emit_json({"ended": ended, "data_dir": str(data_dir)})
    else:
        remark(f"the stack in {data_dir} has ended" if ended else f"no stack is up in {data_dir}")
    if not ended:
        raise typer.Exit(1)
