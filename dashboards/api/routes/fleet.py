"""What can be asked for: models and the nodes that have them, and which model the rules choose for a study."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from dashboards.api.context import ApiContext, Context
from dashboards.api.inference_models import (
    EligibilityList,
    EligibilityModel,
    LoadModel,
    ModelList,
    ModelModel,
    NodeList,
    NodeModel,
    VersionModel,
)
from dashboards.api.problems import NOT_FOUND
from dashboards.live.nodes import is_alive

router = APIRouter(prefix="/v1", tags=["inference"])


@router.get("/models")
async def models(context: Context) -> ModelList:
    """Models that workers know, with their versions on each node."""
    known = context.view.nodes.models()
    return ModelList(models=[_model(name, context) for name in known])


@router.get("/models/{name}", responses=NOT_FOUND)
async def model(name: str, context: Context) -> ModelModel:
    """One model."""
    if not context.view.nodes.versions(name):
        raise HTTPException(404, f"no worker has a model {name[:64]!r}: GET /v1/models lists those that are known")
    return _model(name, context)


@router.get("/nodes")
async def nodes(context: Context) -> NodeList:
    """Nodes of workers by their newest heartbeats."""
    now = context.now()
    return NodeList(
        nodes=[
            NodeModel(
                node=one.node,
                alive=is_alive(one, now),
                state=one.state,
                heard_at=one.occurred_at,
                started_at=one.started_at,
                engine=one.engine,
                models=sorted({model.name for model in one.models}),
                load=[
                    LoadModel(
                        priority=load.priority,
                        waiting=load.waiting,
                        running=load.running,
                        oldest_waiting_s=load.oldest_waiting_s,
                    )
                    for load in one.load
                ],
                problems=list(one.problems),
                memory_bytes=one.memory_bytes,
            )
            for one in context.view.nodes.all()
        ]
    )


@router.get("/studies/{study_instance_uid}/eligibility", responses=NOT_FOUND)
async def eligibility(study_instance_uid: str, context: Context) -> EligibilityList:
    """Which models the rules choose for a study, and why not the others."""
    decisions = context.view.decisions.of(study_instance_uid)
    if not decisions and context.view.study(study_instance_uid) is None:
        raise HTTPException(
            404,
            f"nothing is known of study {study_instance_uid[:64]}: check the UID, or wait until it is complete",
        )
    return EligibilityList(
        study_instance_uid=study_instance_uid,
        decisions=[
            EligibilityModel(
                model=one.model_name,
                eligible=one.eligible,
                reasons=list(one.reasons),
                revision=one.revision,
                series_instance_uid=one.series_instance_uid,
                task_id=one.task_id,
                rule_revision=one.rule_revision,
                decided_at=one.occurred_at,
            )
            for one in decisions
        ],
    )


def _model(name: str, context: ApiContext) -> ModelModel:
    now = context.now()
    return ModelModel(
        name=name,
        available=context.view.nodes.answering(name, now) > 0,
        usual_duration_s=context.view.usual_s(name),
        versions=[
            VersionModel(
                node=node.node,
                node_alive=is_alive(node, now),
                version=one.version,
                state=one.state,
                sha256=one.sha256,
                reason=one.reason,
            )
            for node, one in context.view.nodes.versions(name)
        ],
    )
