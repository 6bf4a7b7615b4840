"""Nodes and a study that an inference can be asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from schemas.events import ModelState, NodeHeartbeat, NodeState, StudyReady, VersionState
from schemas.ids import event_id
from tests.dashboards.story import MODEL, START, Story

MR = "1.2.840.10008.5.1.4.1.1.4"
SR = "1.2.840.10008.5.1.4.1.1.88.33"


def heartbeat(
    at: datetime,
    node: str = "worker-1",
    model: str = MODEL,
    version: str = "1",
    state: VersionState = VersionState.SERVING,
    reason: str | None = None,
) -> NodeHeartbeat:
    return NodeHeartbeat(
        event_id=event_id("heartbeat", node, at.isoformat()),
        occurred_at=at,
        node=node,
        started_at=START,
        state=NodeState.READY,
        engine="onnxruntime-cpu",
        models=(ModelState(model, version, "0" * 64, state, reason),),
    )


def study(story: Story) -> StudyReady:
    """A study of two MR series and one report, complete."""
    first = replace(story.series[0], sop_class_uid=MR)
    second = replace(
        first,
        series_instance_uid=f"{story.uid}.2",
        sop_instance_uids=(f"{story.uid}.2.1",),
        series_description="SAG",
    )
    report = replace(first, series_instance_uid=f"{story.uid}.3", sop_class_uid=SR, modality="SR")
    return replace(story.ready(), series=(first, second, report), patient_key="key", patient_age_years=7.5)
