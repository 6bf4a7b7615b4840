"""``scanstream task``: one inference task, and what may be asked of it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashboards.terminal.options import DEFAULT_DATA_DIR, DataDir, Json

if TYPE_CHECKING:
    from dashboards.terminal.client import Api

app = typer.Typer(
    name="task", help="See an inference task, or cancel, hold, release or upgrade it.", no_args_is_help=True
)

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Task id, as scanstream infer and study show it.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for whoever looks at the task.")]
Actor = Annotated[str, typer.Option("--actor", envvar="USER", help="Account name.")]


@app.command()
def show(task_id: TaskId, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show a task: its state, its place in the line, when it is likely to be done."""
    from schemas.errors import InvalidInput

    with _api(data_dir) as api:
        task = api.task(task_id)
    if task is None:
        raise InvalidInput(f"task {task_id} is not known: scanstream study UID shows the tasks of a study")
    _show(task, as_json=as_json)


@app.command()
def cancel(
    task_id: TaskId,
    reason: Reason = None,
    actor: Actor = "operator",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Ask for the end of a task, at any stage."""
    _ask(task_id, "cancel", {"actor": actor, "reason": reason}, data_dir, as_json)


@app.command()
def hold(
    task_id: TaskId,
    reason: Reason = None,
    actor: Actor = "operator",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Ask that a task waits until it is released."""
    _ask(task_id, "hold", {"actor": actor, "reason": reason}, data_dir, as_json)


@app.command()
def release(
    task_id: TaskId,
    reason: Reason = None,
    actor: Actor = "operator",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Let a task that was held go on."""
    _ask(task_id, "release", {"actor": actor, "reason": reason}, data_dir, as_json)


@app.command()
def upgrade(
    task_id: TaskId,
    priority: Annotated[str, typer.Argument(help="p1-emergency, p2-urgent or p3-normal.")] = "p1-emergency",
    reason: Reason = None,
    actor: Actor = "operator",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Give a task a more urgent class."""
    _ask(task_id, "upgrade", {"actor": actor, "reason": reason, "priority": priority}, data_dir, as_json)


def infer(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Name of the model.")],
    series: Annotated[list[str] | None, typer.Option("--series", help="Only these series.")] = None,
    priority: Annotated[str | None, typer.Option("--priority", help="Default: that of the study.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="The same key again is the same task.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the task has finished.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Ask for an inference on a study that is there."""
    import time

    asked = {
        "study_instance_uid": study,
        "model": model,
        "series_instance_uids": series or [],
        "priority": priority,
    }
    with _api(data_dir) as api:
        task = api.infer({name: value for name, value in asked.items() if value is not None}, key)
        while follow and task["status"] not in ("completed", "failed", "cancelled"):
            time.sleep(0.2)
            task = api.task(task["task_id"]) or task
    _show(task, as_json=as_json)


def _ask(task_id: str, action: str, body: dict[str, Any], data_dir: Path, as_json: bool) -> None:
    with _api(data_dir) as api:
        task = api.command(task_id, action, {name: value for name, value in body.items() if value is not None})
    _show(task, as_json=as_json)


def _api(data_dir: Path) -> closing[Api]:
    from dashboards.terminal.client import Api
    from dashboards.terminal.endpoints import resolve

    return closing(Api(resolve(data_dir).api))


def _show(task: dict[str, Any], *, as_json: bool) -> None:
    from dashboards.terminal.output import emit_json, results

    if as_json:
        emit_json(task)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None)
    for label, value in _lines(task):
        table.add_row(Text(label, style="dim"), Text(value))
    results().print(table)


def _lines(task: dict[str, Any]) -> list[tuple[str, str]]:
    """What a person wants to know of a task; what is not known is left out."""
    waits = {"worker": "for a worker", "retry": "for its next attempt", "release": "until it is released"}
    state = f"{task['status']} {task['progress']} %"
    if task["waiting_for"]:
        state += f", waits {waits[task['waiting_for']]}"
    if task["cancel_requested"] and task["status"] != "cancelled":
        state += ", to be cancelled"
    lines = [
        ("task", task["task_id"]),
        ("status", state),
        ("study", f"{task['study_instance_uid']} revision {task['revision']}"),
        ("model", f"{task['model']} {task['model_version'] or ''}".strip()),
        ("priority", f"{task['priority']} ({task['priority_reason'] or 'no reason known'})"),
        ("place in line", task["queue_position"]),
        ("likely done", task["estimated_completion"]),
        ("deadline", task["deadline"] + (" (missed)" if task["overdue"] else "")),
        ("node", task["node"]),
        ("outcome", task["outcome"]),
        ("reason", task["reason"]),
        *[("remark", remark) for remark in task["remarks"]],
    ]
    return [(label, str(value)) for label, value in lines if value is not None]
