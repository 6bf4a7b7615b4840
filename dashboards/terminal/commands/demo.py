"""``scanstream demo``: a real head MR through the whole system, and proof of what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashboards.terminal.options import Json


def demo(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="SCANSTREAM_DATA_DIR",
            help="Where the local stack keeps its state; default: a stack that is up, else OUT/state.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="For report, picture and copies of the results.")] = Path("demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack up.")] = False,
    as_json: Json = False,
) -> None:
    """Send a real head MR through the whole system and show, and check, what comes out.

    Exit code 0 only when every claim on the screen was checked and is true.
    """
    from dashboards.demo.run import run
    from dashboards.terminal.output import emit_json, messages, results

    report = run(data_dir, out, messages() if as_json else results(), keep=keep)
    if as_json:
        emit_json(report)
    if not report["ok"]:
        raise typer.Exit(1)
