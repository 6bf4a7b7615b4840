"""Verdicts over the API: once each, told with all that was decided before, and seen at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from dashboards.api.routes import adjudications
from dashboards.live.reviews import Place
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import Adjudication, Decision, Event, InferenceResult, Laterality, ResultOutcome
from schemas.ids import event_id
from schemas.topics import Topic
from tests.dashboards.api.conftest import Service
from tests.dashboards.story import Story

PROBLEM = "application/problem+json"


def with_two_findings(story: Story) -> InferenceResult:
    result = story.result()
    second = replace(result.findings[0], finding_id="second", tracking_uid="2.25.77")
    return replace(result, findings=(result.findings[0], second))


@pytest.fixture
def story(service: Service) -> Story:
    story = Story("1.2.3")
    service.read(story.ready(), story.task(), with_two_findings(story))
    return story


def body(story: Story, decision: str = "confirmed", **more: Any) -> dict[str, Any]:
    return {"task_id": story.task_id, "decision": decision, "reviewer": "o.шевченко", **more}


def told(service: Service) -> list[Adjudication]:
    found = [event for _, _, event in service.published]
    assert all(isinstance(event, Adjudication) for event in found)
    return [event for event in found if isinstance(event, Adjudication)]


async def test_a_verdict_is_told_to_every_destination(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    first = story.result().findings[0].finding_id
    answer = await client.post(f"/findings/{first}/adjudication", json=body(story, comment=" Так, Ґ "))
    assert answer.status_code == 201
    ((topic, key, event),) = service.published
    assert (topic, key) == (Topic.REVIEW, "1.2.3")
    assert isinstance(event, Adjudication)
    assert (event.decision, event.reviewer, event.comment) == (Decision.CONFIRMED, "o.шевченко", "Так, Ґ")
    assert event.result is not None
    assert [finding.decision for finding in event.result.findings] == [Decision.CONFIRMED, None]
    assert event.result.sop_instance_uids == story.result().sop_instance_uids
    assert answer.json()["event_id"] == event.event_id
    assert Codec().decode(Codec().encode(event)) == event


async def test_the_same_again_changes_nothing_and_verdicts_add_up(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    first = story.result().findings[0].finding_id
    answers = [
        await client.post(f"/findings/{name}/adjudication", json=body(story, decision))
        for name, decision in (
            (first, "confirmed"),
            (first, "confirmed"),
            ("second", "rejected"),
            (first, "rejected"),
            (first, "confirmed"),
        )
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 201, 201, 201]
    assert answers[0].json() == answers[1].json()
    events = told(service)
    assert len({event.event_id for event in events}) == 4
    assert [[f.decision for f in event.result.findings] for event in events if event.result] == [
        [Decision.CONFIRMED, None],
        [Decision.CONFIRMED, Decision.REJECTED],
        [Decision.REJECTED, Decision.REJECTED],
        [Decision.CONFIRMED, Decision.REJECTED],
    ]
    moments = [event.occurred_at for event in events if event.finding_id == first]
    assert moments == sorted(set(moments))


async def test_amended_values_are_told_and_seen(service: Service, client: httpx.AsyncClient, story: Story) -> None:
    amended = {
        "laterality": "left",
        "category": "urgent",
        "site": {"value": "12738006", "scheme": "SCT", "meaning": "Brain"},
        "measurements": [{"code": "118565006", "value": 900.5}],
    }
    request = body(story, "amended", amended=amended)
    for status in (201, 200):
        assert (await client.post("/findings/second/adjudication", json=request)).status_code == status
    (event,) = told(service)
    assert event.result is not None
    finding = event.result.findings[1]
    assert (finding.laterality, finding.measurements[0].value) == (Laterality.LEFT, 900.5)
    assert finding.measurements[0].unit == story.result().findings[0].measurements[0].unit
    task = (await client.get(f"/tasks/{story.task_id}")).json()
    before, after = task["result"]["findings"]
    assert before["verdict"] is None
    assert after["verdict"]["decision"] == "amended"
    assert (after["laterality"], after["site"], after["measurements"][0]["value"]) == ("left", "Brain", 900.5)
    study = (await client.get("/studies/1.2.3")).json()
    assert study["tasks"][0]["result"] == task["result"]


async def test_a_negative_answer_is_judged_by_its_result(service: Service, client: httpx.AsyncClient) -> None:
    story = Story("1.9")
    result = replace(story.result(), outcome=ResultOutcome.NO_FINDINGS, findings=())
    service.read(story.task(), result)
    shown = (await client.get(f"/tasks/{story.task_id}")).json()["result"]
    assert shown["result_id"] == result.event_id
    answer = await client.post(f"/findings/{shown['result_id']}/adjudication", json=body(story, "rejected"))
    assert answer.status_code == 201
    (event,) = told(service)
    assert event.result == replace(result, decision=Decision.REJECTED)
    shown = (await client.get(f"/tasks/{story.task_id}")).json()["result"]
    assert shown["verdict"]["decision"] == "rejected"
    amended = body(story, "amended", amended={"category": "urgent"})
    refused = await client.post(f"/findings/{result.event_id}/adjudication", json=amended)
    assert refused.status_code == 409


async def test_verdicts_of_another_process_count(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    first = story.result().findings[0]
    elsewhere = Adjudication(
        event_id=event_id("adjudication", "elsewhere"),
        occurred_at=service.now - timedelta(seconds=1),
        finding_id=first.finding_id,
        task_id=story.task_id,
        study_instance_uid="1.2.3",
        decision=Decision.REJECTED,
        reviewer="other",
        result=replace(with_two_findings(story), findings=(replace(first, decision=Decision.REJECTED),)),
    )
    older = replace(elsewhere, occurred_at=service.now - timedelta(hours=1), decision=Decision.CONFIRMED)
    service.read(elsewhere, older)
    assert (await client.post("/findings/second/adjudication", json=body(story))).status_code == 201
    (event,) = told(service)
    assert event.result is not None
    assert [one.decision for one in event.result.findings] == [Decision.REJECTED, Decision.CONFIRMED]


async def test_what_cannot_be_judged(service: Service, client: httpx.AsyncClient, story: Story) -> None:
    unknown = {**body(story), "task_id": "none"}
    for path, request, status in (
        ("/findings/none/adjudication", body(story), 404),
        ("/findings/second/adjudication", unknown, 404),
        ("/findings/second/adjudication", body(story, "perhaps"), 422),
        ("/findings/second/adjudication", body(story, "amended"), 422),
        ("/findings/second/adjudication", body(story, "amended", amended={}), 422),
        ("/findings/second/adjudication", body(story, amended={"category": "urgent"}), 422),
        ("/findings/second/adjudication", {**body(story), "reviewer": "Dr. Free Text"}, 422),
        ("/findings/second/adjudication", {**body(story), "more": 1}, 422),
        (
            "/findings/second/adjudication",
            body(story, "amended", amended={"measurements": [{"code": "none", "value": 1}]}),
            409,
        ),
    ):
        answer = await client.post(path, json=request)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), request
    waiting, failed = Story("1.4"), Story("1.5")
    could_not = replace(failed.result(), outcome=ResultOutcome.COULD_NOT_RUN, findings=(), reason="no")
    service.read(waiting.task(), failed.task(), could_not)
    for one in (waiting, failed):
        answer = await client.post("/findings/second/adjudication", json=body(one))
        assert (answer.status_code, answer.headers["content-type"]) == (409, PROBLEM)
    assert service.published == []


async def test_without_kafka_a_verdict_is_not_given(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    service.kafka_is_away = True
    answer = await client.post("/findings/second/adjudication", json=body(story))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    service.kafka_is_away = False
    assert (await client.post("/findings/second/adjudication", json=body(story))).status_code == 201


async def test_what_is_past_its_retention_cannot_be_judged(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    def gone(place: Place) -> Event:
        raise InvalidMessage(f"{place.topic}@{place.offset} is past its retention: run the task again")

    service.reader = gone
    answer = await client.post("/findings/second/adjudication", json=body(story))
    assert (answer.status_code, answer.headers["content-type"]) == (409, PROBLEM)
    assert "retention" in answer.json()["detail"]
    assert service.published == []


async def test_who_waits_too_long_for_others_is_told_so(
    client: httpx.AsyncClient, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adjudications, "_PATIENCE_S", 0.05)
    with adjudications._one_at_a_time:
        answer = await client.post("/findings/second/adjudication", json=body(story))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert (await client.post("/findings/second/adjudication", json=body(story))).status_code == 201


async def test_a_measurement_that_is_there_twice_is_not_amended_by_its_concept(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    result = with_two_findings(story)
    first, second = result.findings
    twice = replace(second, measurements=second.measurements[:1] * 2)
    service.read(replace(result, findings=(first, twice)))
    once = [{"code": twice.measurements[0].code.value, "value": 1}]
    for name, measurements in (("second", once), (first.finding_id, once * 2)):
        request = body(story, "amended", amended={"measurements": measurements})
        answer = await client.post(f"/findings/{name}/adjudication", json=request)
        assert (answer.status_code, answer.headers["content-type"]) == (409, PROBLEM)
        assert "more than once" in answer.json()["detail"]
    assert service.published == []


@pytest.mark.parametrize("text", ['"\\ud800"', "NaN", "1e999", '"a\\u0000b"', "[1]", '"' + "я" * 2001 + '"'])
async def test_texts_and_numbers_of_no_use_are_problems(
    service: Service, client: httpx.AsyncClient, story: Story, text: str
) -> None:
    for part in (f'"comment": {text}', f'"reviewer": {text}', f'"decision": {text}'):
        content = f'{{"task_id": "{story.task_id}", "decision": "confirmed", "reviewer": "o.koval", {part}}}'
        answer = await client.post(
            "/findings/second/adjudication", content=content, headers={"content-type": "application/json"}
        )
        if answer.status_code == 201 and "comment" in part:  # a control character in a comment is a text
            assert "u0000" in text
            continue
        assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
