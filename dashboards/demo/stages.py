"""What the API says of a study → how far it is, stage by stage. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

Study = dict[str, Any]

DESTINATIONS: Final = ("stow", "fhir")


@dataclass(frozen=True)
class StageSpec:
    """A stage: its name, what it means, and the process that makes it happen."""

    name: str
    about: str
    process: str


SPECS: Final = (
    StageSpec("received", "first image arrived", "gateway"),
    StageSpec("durable", "every image on disk and in the outbox", "gateway"),
    StageSpec("assembled", "declared complete", "streams"),
    StageSpec("queued", "priority and deadline stamped, task created", "streams"),
    StageSpec("fetched", "images retrieved by the worker (WADO-RS)", "worker"),
    StageSpec("inferred", "model run", "worker"),
    StageSpec("result", "result and finding in one Kafka transaction", "worker"),
    StageSpec("stored: stow", "SEG and SR in the PACS (STOW-RS)", "writer-stow"),
    StageSpec("stored: fhir", "DiagnosticReport on the FHIR server", "writer-fhir"),
    StageSpec("audit", "every event in ClickHouse", "writer-audit"),
)


@dataclass(frozen=True)
class Reached:
    """A stage and when it was reached; ``ms`` counts from the first C-STORE request."""

    name: str
    ms: float


def reached(study: Study | None, started: datetime, durable: datetime | None) -> list[Reached]:
    """Stages reached so far, in the order of :data:`SPECS`; the audit stage is not the API's to tell.

    Parameters
    ----------
    study
        Answer of ``GET /studies/{uid}``, or ``None`` while the study is not known.
    started
        When the first image was sent.
    durable
        When the last image was confirmed.
    """
    times: dict[str, datetime] = {}
    if durable is not None:
        times["durable"] = durable
    if study is not None:
        times.update(_of_study(study))
    order = [spec.name for spec in SPECS]
    return [
        Reached(name, round((times[name] - started) / timedelta(milliseconds=1), 1))
        for name in order
        if name in times
    ]


def _of_study(study: Study) -> dict[str, datetime]:
    times = {}
    for name, field in (("received", "arrived_at"), ("assembled", "ready_at")):
        if study[field] is not None:
            times[name] = datetime.fromisoformat(study[field])
    task = the_task(study)
    if task is not None:
        times.update(_of_task(task))
    return times


def _of_task(task: dict[str, Any]) -> dict[str, datetime]:
    moments = {moment["name"]: datetime.fromisoformat(moment["at"]) for moment in task["timeline"]}
    times = {"queued": datetime.fromisoformat(task["created_at"])}
    stages = {} if task["result"] is None else {s["name"]: s["duration_ms"] for s in task["result"]["stages"]}
    if "preprocessing" in moments and "fetch" in stages:
        times["fetched"] = moments["preprocessing"] + timedelta(milliseconds=stages["fetch"])
    elif "inferring" in moments:
        # the worker tells how long fetching took together with the result; until then, this late at the latest
        times["fetched"] = moments["inferring"]
    # what the model gave is worked up from here on
    if "postprocessing" in moments:
        times["inferred"] = moments["postprocessing"]
    if "result" in moments:
        times["result"] = moments["result"]
    for destination in DESTINATIONS:
        if f"delivered:{destination}" in moments:
            times[f"stored: {destination}"] = moments[f"delivered:{destination}"]
    return times


def the_task(study: Study) -> dict[str, Any] | None:
    """The study's task; the demonstration series has one."""
    return study["tasks"][0] if study["tasks"] else None


def trouble(study: Study | None) -> str | None:
    """Why it will not go on, in one sentence; ``None`` while nothing is wrong."""
    task = None if study is None else the_task(study)
    if task is None:
        return None
    if task["state"] in ("failed", "cancelled"):
        return f"the task {task['state']}: {task['reason'] or 'no reason was given'}"
    for delivery in task["deliveries"]:
        if delivery["status"] != "stored":
            reason = delivery["reason"] or "no reason was given"
            return f"{delivery['destination']} said {delivery['status']}: {reason}"
    return None


def first_missing(known: Sequence[Reached]) -> StageSpec | None:
    """First stage that was not reached; ``None`` when all but the audit were."""
    names = {stage.name for stage in known}
    return next((spec for spec in SPECS[:-1] if spec.name not in names), None)
