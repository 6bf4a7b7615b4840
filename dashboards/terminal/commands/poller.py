"""``scanstream poller``: run one poller, check its sources, or see where all of them stand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashboards.terminal.options import DEFAULT_DATA_DIR, DataDir, Json

if TYPE_CHECKING:
    from producers.poller.sources import Sources


def poller(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Source to poll.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Ask the sources for a sign of life, and end.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Pull studies from a PACS that cannot push.

    With NAME it polls that source of the file at SCANSTREAM_POLLER_SOURCES_FILE until it is told to stop; without,
    it shows where all sources stand.
    """
    from producers.poller.sources_file import choose, load
    from schemas.settings import PollerSettings

    if name is not None and not check:
        raise typer.Exit(_run(name, data_dir))
    sources = load(PollerSettings().sources_file)
    if name is not None:
        choose(sources, name)
    if check:
        _check(sources, name, as_json)
    else:
        _show(sources, data_dir, as_json)


def _run(name: str, data_dir: Path) -> int:
    import os

    from dashboards.terminal.endpoints import resolve
    from producers.poller.process import main

    # the process takes its state directory from the environment
    os.environ["SCANSTREAM_DATA_DIR"] = str(data_dir)
    return main([name], gateway_url=resolve(data_dir).dicomweb)


def _check(sources: Sources, name: str | None, as_json: bool) -> None:
    import asyncio

    from rich.table import Table
    from rich.text import Text

    from dashboards.terminal.output import emit_json, results
    from producers.poller.check import Finding
    from producers.poller.check import check as ask

    async def ask_all() -> list[Finding]:
        chosen = {name: sources.sources[name]} if name is not None else sources.sources
        return list(await asyncio.gather(*(ask(one, source) for one, source in chosen.items())))

    findings = asyncio.run(ask_all())
    if as_json:
        emit_json(
            [{"source": one.source, "kind": one.kind, "ok": one.ok, "trouble": one.trouble} for one in findings]
        )
    else:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("source", "kind"):
            table.add_column(column, no_wrap=True)
        table.add_column("answer", overflow="fold")
        for one in findings:
            said = Text("answers", style="green") if one.ok else Text(one.trouble, style="red")
            table.add_row(one.source, one.kind, said)
        results().print(table)
    if not all(one.ok for one in findings):
        raise typer.Exit(1)


def _show(sources: Sources, data_dir: Path, as_json: bool) -> None:
    from dashboards.terminal.output import emit_json, results
    from dashboards.terminal.poller_table import plain, standing_table
    from producers.poller.connect import directory_of
    from producers.poller.ledger import read_standing

    standings = {name: read_standing(directory_of(data_dir, name)) for name in sources.sources}
    if as_json:
        emit_json([plain(name, sources.sources[name].kind, standing) for name, standing in standings.items()])
        return
    for part in standing_table({name: source.kind for name, source in sources.sources.items()}, standings):
        results().print(part)
