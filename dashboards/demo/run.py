"""The demonstration, from the start of the system to the proof of its results."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.text import Text

from dashboards.demo.failure import DemoFailed
from dashboards.demo.local_stack import running
from dashboards.demo.progress import Progress
from dashboards.demo.report import failure, success, write
from dashboards.demo.screen import Screen
from dashboards.terminal.last_words import log_of

#: Files of an earlier run must not be taken for those of this one.
OUTPUTS: Final = ("report.json", "overlay.png", "seg.dcm", "sr.dcm", "diagnostic-report.json")

if TYPE_CHECKING:
    from dashboards.demo.way import Found


def run(data_dir: Path | None, out: Path, console: Console, *, keep: bool = False) -> dict[str, Any]:
    """Run the demonstration and return what is in ``report.json``.

    Parameters
    ----------
    data_dir
        State directory of a stack; ``None`` uses one that is up, else starts one in ``out/state``.
    out
        Folder for the report, the picture and copies of the results.
    console
        Where to show it.
    keep
        Leave the stack up when we started it.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in OUTPUTS:
        (out / name).unlink(missing_ok=True)
    progress = Progress()
    began = time.monotonic()
    state = data_dir or out / "state"
    try:
        with Screen(console) as shown, running(data_dir, out, keep=keep) as local:
            state = local.data_dir
            shown.doing("starting the stack" if local.ours else f"using the stack in {local.data_dir}")
            from dashboards.demo.copies import save_copies
            from dashboards.demo.way import through

            found = through(local, shown, progress)
            up = keep or not local.ours
            if not up:
                shown.doing("ending the stack")
                local.end()
            copies = save_copies(found.evidence, out)
        answer = success(
            found.study.study_instance_uid,
            progress.stages,
            found.evidence,
            found.audit.in_clickhouse,
            copies["overlay"],
        )
        _show(console, found, progress, copies)
        _next_steps(console, found, state, up=up)
    except DemoFailed as error:
        log = log_of(state, error.process)
        answer = failure(progress, error.stage, str(error), log)
        console.print(Text(f"stage {error.stage!r} is missing: {error}. Read {log}", style="red"), soft_wrap=True)
    written = write(answer, out)
    console.print(Text(f"{time.monotonic() - began:.1f} s in all; report: {written}", style="dim"))
    return answer


def _show(console: Console, found: Found, progress: Progress, copies: dict[str, Path]) -> None:
    from dashboards.demo import tables

    for part in (
        tables.stage_table(progress.stages),
        tables.findings(found.evidence),
        tables.places(found.evidence, copies),
        tables.audit_table(found.audit),
    ):
        console.print()
        # addresses stay in one piece: a terminal breaks long lines by itself
        console.print(part, soft_wrap=isinstance(part, Text))


def _next_steps(console: Console, found: Found, state: Path, *, up: bool) -> None:
    uid = found.study.study_instance_uid
    api = found.evidence.report_url.partition("/fhir/")[0]
    lines = [
        f"worklist: {api}/#{uid}",
        f"next: scanstream study {uid} --data-dir {state}",
        f"      scanstream send FOLDER --data-dir {state}",
    ]
    if not up:
        lines.insert(
            0, f"The stack has ended; scanstream up --data-dir {state} brings it back, addresses and all."
        )
    console.print()
    for line in lines:
        console.print(Text(line), soft_wrap=True)
