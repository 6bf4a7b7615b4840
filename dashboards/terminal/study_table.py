"""What the API says of a study → tables for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

#: Writers that answer for a result with a delivery.
DESTINATIONS: Final = frozenset({"stow", "fhir"})
TASK_MAY_FOLLOW: Final = timedelta(seconds=2)
FINAL_STATES: Final = frozenset({"completed", "failed", "cancelled"})

_STYLES: Final = {
    "completed": "green",
    "stored": "green",
    "failed": "red",
    "partial": "yellow",
    "cancelled": "yellow",
}


def finished(study: dict[str, Any] | None, now: datetime) -> bool:
    """Every task has ended, and every result was answered by every destination.

    A study without a task is finished a little after it was complete: its task travels on another topic.
    """
    if study is None or study["ready_at"] is None:
        return False
    if not study["tasks"]:
        return now - datetime.fromisoformat(study["ready_at"]) > TASK_MAY_FOLLOW
    return all(_task_finished(task) for task in study["tasks"])


def _task_finished(task: dict[str, Any]) -> bool:
    if task["state"] not in FINAL_STATES:
        return False
    return task["state"] != "completed" or {d["destination"] for d in task["deliveries"]} >= DESTINATIONS


def waiting(uid: str, study: dict[str, Any] | None) -> RenderableType:
    """What ``--follow`` shows while the study is on its way."""
    if study is None:
        return Spinner("dots", f"waiting for study {uid} to be complete")
    states = ", ".join(f"{task['model']} {task['state']} {task['progress']} %" for task in study["tasks"])
    return Group(timeline_table(study), Spinner("dots", states or "complete, no task yet"))


def study_tables(study: dict[str, Any]) -> RenderableType:
    """Everything that there is to show."""
    parts: list[RenderableType] = [_head(study), timeline_table(study)]
    for task in study["tasks"]:
        parts.extend(_findings(task))
    if not study["tasks"] and study["ready_at"] is not None:
        parts.append(Text("No model applies to this study.", style="yellow"))
    return Group(*parts)


def _head(study: dict[str, Any]) -> Text:
    facts = [
        study["study_description"] or "Study",
        "/".join(study["modalities"]),
        "" if study["instance_count"] is None else f"{study['instance_count']} images",
        f"revision {study['revision']}",
    ]
    text = Text(" · ".join(fact for fact in facts if fact), style="bold")
    for task in study["tasks"]:
        style = _STYLES.get(task["state"], "cyan")
        text.append(f"\n{task['model']}: ", style="not bold")
        text.append(task["state"], style=f"not bold {style}")
        text.append(f", {task['priority']}", style="not bold")
        if task["overdue"]:
            text.append(", deadline missed", style="not bold red")
        if task["reason"]:
            text.append(f" ({task['reason']})", style="not bold")
    return text


def timeline_table(study: dict[str, Any]) -> Table:
    """Stages with clock time, time since the first image, and time since the stage before."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stage")
    table.add_column("time")
    table.add_column("since arrival", justify="right")
    table.add_column("step", justify="right")
    before: datetime | None = None
    for stage in study["timeline"]:
        at = datetime.fromisoformat(stage["at"])
        step = "" if before is None else milliseconds((at - before).total_seconds() * 1000)
        since = stage["since_arrival_ms"]
        table.add_row(
            stage_name(stage),
            f"{at.astimezone():%H:%M:%S}.{at.microsecond // 1000:03d}",
            "" if since is None else milliseconds(since),
            step,
        )
        before = at
    return table


def stage_name(stage: dict[str, Any]) -> str:
    """Name of a stage for people."""
    name = str(stage["name"]).replace("delivered:", "stored: ").replace("_", " ")
    attempt = stage["attempt"] or 1
    return name if attempt == 1 else f"{name} (attempt {attempt})"


def _findings(task: dict[str, Any]) -> Iterator[Text]:
    result = task["result"]
    if result is None:
        return
    if result["outcome"] == "no_findings":
        yield Text("nothing found", style="green")
    if result["outcome"] == "could_not_run":
        yield Text(f"could not run: {result['reason']}", style="red")
    for finding in result["findings"]:
        numbers = ", ".join(f"{item['value']:.1f} {item['unit']}" for item in finding["measurements"])
        yield Text(f"found: {finding['name']} {numbers}", style="bold")
    remarks = list(result["warnings"])
    for finding in result["findings"]:
        remarks += [warning for warning in finding["warnings"] if warning not in remarks]
    for remark in remarks:
        yield Text(f"note: {remark}", style="yellow")


def objects_text(study: dict[str, Any]) -> Text:
    """Objects made of the study: what became of each, and its address in one piece."""
    text = Text()
    for item in study["objects"]:
        text.append(f"{item['name']:<18}", style="dim")
        text.append(item["status"], style=_STYLES.get(item["status"], ""))
        text.append(f" by {item['destination']}\n")
        text.append(f"{'':<18}{item['url'] or item['reason'] or item['identifier']}\n")
    text.rstrip()
    return text


def milliseconds(value: float) -> str:
    """Duration for people."""
    return f"{value:.0f} ms" if abs(value) < 10_000 else f"{value / 1000:.1f} s"
