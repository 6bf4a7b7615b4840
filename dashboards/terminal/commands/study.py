"""``scanstream study``: the way of one study through the system."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.terminal.options import DEFAULT_DATA_DIR, DataDir, Json

INTERVAL_S = 0.2


def study(
    uid: Annotated[str, typer.Argument(metavar="UID", help="Study Instance UID.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until all results are delivered.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show a study: its stages with times, what was found, where the results are."""
    import time
    from datetime import UTC, datetime

    from rich.live import Live

    from dashboards.terminal.client import Api
    from dashboards.terminal.endpoints import resolve
    from dashboards.terminal.output import emit_json, messages, results
    from dashboards.terminal.study_table import finished, objects_text, study_tables, waiting
    from schemas.errors import InvalidInput

    api = Api(resolve(data_dir).api)
    known = api.study(uid)
    if follow:
        with Live(console=messages(), transient=True, refresh_per_second=8) as live:
            while not finished(known, datetime.now(UTC)):
                live.update(waiting(uid, known))
                time.sleep(INTERVAL_S)
                known = api.study(uid)
    if known is None:
        raise InvalidInput(
            f"study {uid} is not known: check the UID; one that still arrives is shown by --follow once complete"
        )
    if as_json:
        emit_json(known)
    else:
        results().print(study_tables(known))
        results().print(objects_text(known), soft_wrap=True)
