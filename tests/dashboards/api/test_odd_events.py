"""Events that are allowed and make no sense: no door of the API closes because of them."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
from hypothesis import Phase, given, settings

from dashboards.api.app import create_app
from dashboards.api.routes.ups_channel import _Known
from dashboards.fhir.store import FhirStore
from dashboards.ups.identity import task_of, workitem_uid
from dashboards.ups.subscriptions import FILTERED, GLOBAL, Subscription, Subscriptions
from schemas.codec import Codec
from schemas.events import (
    Adjudication,
    DeliveryOutcome,
    EligibilityDecision,
    EscalationStep,
    Event,
    InferenceResult,
    InferenceTask,
    NodeHeartbeat,
    StudyReady,
    TaskCommand,
    TaskStatus,
)
from tests.dashboards.api.conftest import Service, context_of
from tests.schemas.odd_events import odd_events

KINDS = [
    StudyReady,
    InferenceTask,
    TaskStatus,
    TaskCommand,
    InferenceResult,
    DeliveryOutcome,
    EscalationStep,
    Adjudication,
    NodeHeartbeat,
    EligibilityDecision,
]
LISTS = [
    "/studies",
    "/tasks",
    "/v1/tasks",
    "/v1/nodes",
    "/v1/models",
    "/escalations",
    "/workitems",
    "/workitems?ScheduledProcedureStepPriority=HIGH&ProcedureStepState=SCHEDULED,COMPLETED",
    "/fhir/Task",
    "/fhir/Task?status=requested,completed&_total=accurate",
    "/metrics",
    "/health/ready",
]


# a smaller example is not worth minutes
@settings(max_examples=40, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(odd_events(KINDS, most=8))
def test_everything_can_still_be_asked_for(events: list[Event]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(FhirStore(Path(folder, "fhir"))) as store,
        closing(Subscriptions(Path(folder, "ups"))) as subscriptions,
    ):
        service = Service(store, subscriptions)
        service.read(*(Codec().decode(Codec().encode(event)) for event in events))
        asyncio.run(_ask_for_everything(service, events))
        subscriptions.add(Subscription("ALL", GLOBAL))
        subscriptions.add(Subscription("SOME", FILTERED, "ProcedureStepState=COMPLETED"))
        for aet in ("ALL", "SOME"):
            channel = _Known(context_of(service), aet)
            channel.all_open()
            channel.news({task.task_id for task in service.view.tasks()})


async def _ask_for_everything(service: Service, events: list[Event]) -> None:
    transport = httpx.ASGITransport(create_app(context_of(service), service.store))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        for path in [*LISTS, *_of_each(service, events)]:
            answer = await client.get(path)
            assert answer.status_code < 500, f"{path}: {answer.text}"


def _of_each(service: Service, events: list[Event]) -> list[str]:
    paths = []
    for task in service.view.tasks():
        assert task_of(service.view, workitem_uid(task)) == task
        own = quote(task.task_id, safe="")
        paths += [f"/tasks/{own}", f"/v1/tasks/{own}", f"/v1/tasks/{own}/results", f"/fhir/Task/{own}"]
        paths += [f"/workitems/{quote(workitem_uid(task), safe='')}"]
    for study, _ in service.view.worklist():
        uid = quote(study.study_instance_uid, safe="")
        paths += [f"/studies/{uid}", f"/v1/studies/{uid}/eligibility", f"/v1/tasks?study={uid}"]
    alarms = {event.escalation_id for event in events if isinstance(event, EscalationStep)}
    return paths + [f"/escalations/{quote(one, safe='')}" for one in alarms]
