"""``scanstream models``: what the model repository holds, and which versions serve."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashboards.terminal.options import Json

if TYPE_CHECKING:
    from engines.package import Installed

app = typer.Typer(help="Models: list, validate, pull, promote, rollback.", no_args_is_help=True)


class Role(StrEnum):
    """What a promoted version does."""

    SERVING = "serving"
    CANARY = "canary"
    SHADOW = "shadow"


Repository = Annotated[
    Path | None,
    typer.Option(
        "--repository",
        envvar="SCANSTREAM_WORKER_MODEL_REPOSITORY",
        help="Model repository; without it, the models of the release.",
        file_okay=False,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Model, as `scanstream models list` shows it.")]


@app.command("list")
def list_models(repository: Repository = None, as_json: Json = False) -> None:
    """List the versions of every model and what each of them may do."""
    from dataclasses import asdict

    from dashboards.terminal.models import rows
    from dashboards.terminal.output import emit_json, results

    found = rows(_root(repository))
    if as_json:
        emit_json([asdict(row) for row in found])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("model", no_wrap=True)
    table.add_column("no.", justify="right")
    table.add_column("version", no_wrap=True)
    table.add_column("role", no_wrap=True)
    table.add_column("sha256", no_wrap=True)
    table.add_column("use, or what is wrong")
    styles = {"serving": "green", "canary": "cyan", "shadow": "cyan", "refused": "red", "unknown": "red"}
    for row in found:
        role = row.role if row.share is None else f"{row.role} {row.share:.0%}"
        told = Text(row.problem or row.intended_use or "", style="red" if row.problem else "")
        table.add_row(
            row.name,
            str(row.number or ""),
            row.version or "",
            Text(role, style=styles.get(row.role, "dim")),
            (row.sha256 or "")[:12],
            told,
        )
    results().print(table)


@app.command()
def validate(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Model; all of them without it.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="Number or version; all without it.")] = None,
    repository: Repository = None,
    as_json: Json = False,
) -> None:
    """Load versions on this machine and let each answer its own validation set.

    Exit code 1 when one is refused.
    """
    from dashboards.terminal.models import folder_of, number_of
    from dashboards.terminal.output import emit_json, results
    from engines.repository import names, versions
    from schemas.errors import ConfigurationError

    root = _root(repository)
    if version is not None and name is None:
        raise ConfigurationError("--version is of one model: name the model too")
    folders = [folder_of(root, name)] if name is not None else [root / known for known in names(root)]
    answers = []
    for folder in folders:
        numbers = versions(folder) if version is None else (number_of(folder, version),)
        for number in numbers:
            problem, seconds, engine = _try(folder, number)
            answers.append(
                {
                    "name": folder.name,
                    "number": number,
                    "passed": problem is None,
                    "seconds": round(seconds, 3),
                    "engine": engine,
                    "problem": problem,
                }
            )
    if as_json:
        emit_json(answers)
    else:
        from rich.text import Text

        for answer in answers:
            told = f"{answer['name']} {answer['number']}: "
            told += f"passed on {answer['engine']}" if answer["passed"] else f"refused: {answer['problem']}"
            style = "green" if answer["passed"] else "red"
            results().print(Text(f"{told} ({answer['seconds']} s)", style=style), soft_wrap=True)
    if not all(answer["passed"] for answer in answers):
        raise typer.Exit(1)


@app.command()
def pull(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Folder, .zip or .tar file, or http(s) URL.")],
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="Digest of the file; required for a URL.", metavar="HEX")
    ] = None,
    repository: Repository = None,
    as_json: Json = False,
) -> None:
    """Put a model into the repository as its next version. Nothing serves that did not before."""
    from dataclasses import asdict

    from dashboards.terminal.output import emit_json, remark
    from dashboards.terminal.pulling import pull_model

    installed = pull_model(source, sha256, _root(repository))
    if as_json:
        shown = asdict(installed) | {"info": installed.info.model_dump(mode="json")}
        emit_json(shown)
        return
    remark(_pulled(installed))


@app.command()
def promote(
    name: Name,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number or version.")],
    role: Annotated[Role, typer.Option("--as", help="What the version shall do.")] = Role.SERVING,
    share: Annotated[float, typer.Option("--share", help="Of the tasks, for a canary.", min=0.0, max=1.0)] = 0.05,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Validate the version on this machine first.")
    ] = True,
    repository: Repository = None,
    as_json: Json = False,
) -> None:
    """Let a version serve, get a share of the tasks as canary, or run unseen as shadow.

    Workers take it up within seconds, each after the version passed its validation there.
    """
    from dashboards.terminal.models import folder_of, number_of
    from engines.package import check_writable
    from engines.repository import versions
    from engines.rollout import read_rollout, write_rollout
    from schemas.errors import ConfigurationError

    root = _root(repository)
    check_writable(root)
    folder = folder_of(root, name)
    number = number_of(folder, version)
    before = read_rollout(folder, versions(folder))
    if role is Role.SERVING:
        after = before.serve(number)
    elif before.serving is None or before.serving == number:
        raise ConfigurationError(
            f"version {number} of {name} can be no {role} "
            + ("before another one serves" if before.serving is None else "while it serves")
            + ": promote another one first"
        )
    elif role is Role.CANARY:
        if share <= 0:
            raise ConfigurationError("--share must be above 0: a canary gets a share of the tasks")
        after = before.try_on(number, share)
    else:
        after = before.watch(number)
    if check:
        problem, _, _ = _try(folder, number)
        if problem is not None:
            raise ConfigurationError(
                f"nothing changed, since version {number} would not serve on this machine: {problem}"
            )
    write_rollout(folder, after)
    _say_rollout(folder, as_json)


@app.command()
def rollback(name: Name, repository: Repository = None, as_json: Json = False) -> None:
    """End the canary; without one, let the previous version serve again."""
    from dashboards.terminal.models import folder_of
    from engines.package import check_writable
    from engines.repository import versions
    from engines.rollout import read_rollout, write_rollout

    root = _root(repository)
    check_writable(root)
    folder = folder_of(root, name)
    write_rollout(folder, read_rollout(folder, versions(folder)).back())
    _say_rollout(folder, as_json)


def _root(repository: Path | None) -> Path:
    from engines.repository import RELEASED

    return repository or RELEASED


def _try(folder: Path, number: int) -> tuple[str | None, float, str | None]:
    """What is wrong with a version on this machine, how long it took, and on which engine."""
    import time
    from functools import partial

    from dashboards.terminal.output import messages
    from engines.records import Records
    from engines.repository import load_version
    from engines.runtimes import engine_of, options_of
    from schemas.errors import ScanstreamError
    from schemas.settings import WorkerSettings

    options = options_of(WorkerSettings())
    started = time.monotonic()
    with messages().status(f"validating version {number} of {folder.name}"):
        try:
            model = load_version(folder, number, partial(engine_of, options=options), Records())
        except Exception as error:  # noqa: BLE001 - as in a worker: whatever a foreign graph does, it is refused
            problem = str(error) if isinstance(error, ScanstreamError) else f"{type(error).__name__}: {error}"
            return problem, time.monotonic() - started, None
    identity = model.engine.identity()
    model.engine.close()  # of many versions only one is in memory at a time
    return None, time.monotonic() - started, identity


def _pulled(installed: Installed) -> str:
    what = f"version {installed.number} ({installed.info.version}) of {installed.name}"
    serving = "nothing of it serves yet" if installed.is_new_model else "what served goes on"
    return (
        f"{what} is in the repository; {serving}.\n"
        f"Next: scanstream models validate {installed.name} --version {installed.number}, "
        f"then scanstream models promote {installed.name} {installed.number} (--as canary or shadow to try it)."
    )


def _say_rollout(folder: Path, as_json: bool) -> None:
    from dashboards.terminal.output import emit_json, remark
    from engines.repository import versions
    from engines.rollout import read_rollout

    rollout = read_rollout(folder, versions(folder))
    if as_json:
        emit_json({"name": folder.name} | rollout.model_dump(mode="json"))
        return
    told = f"{folder.name}: version {rollout.serving} serves"
    if rollout.previous is not None:
        told += f", {rollout.previous} takes over where it is refused"
    if rollout.canary is not None:
        told += f", {rollout.canary.version} gets {rollout.canary.share:.0%} of the tasks"
    if rollout.shadow:
        told += f", {', '.join(map(str, rollout.shadow))} run as shadow"
    remark(f"{told}. Workers take it up within seconds; scanstream models rollback {folder.name} undoes it.")
