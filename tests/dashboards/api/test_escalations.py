"""Alarms over the API: the list, the answer by JSON, and the page behind a link."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from urllib.parse import urljoin

import httpx
import pytest

from consumers.escalation import alarm
from consumers.escalation.link import AcknowledgementLink
from dashboards.live.alarms import Alarms
from schemas.events import EscalationAcknowledgement, EscalationStage, EscalationStep
from schemas.terminology import Language
from schemas.topics import Topic
from tests.consumers.escalation.findings import NOON, critical, three_contacts
from tests.dashboards.api.conftest import Service

ROOT = "http://api"


def told(name: str = "told") -> EscalationStep:
    result = critical(name, at=NOON)
    chain = three_contacts().chain("default")
    step = alarm.opened(result.findings[0], result, "default", chain, NOON, rehearsal=False)
    return alarm.taken(step, step.pending[0], chain, NOON)


@pytest.fixture
def step(service: Service) -> EscalationStep:
    service.now = NOON + timedelta(minutes=1)
    known = told()
    service.view.apply(known)
    return known


def link(
    service: Service, step: EscalationStep, language: Language = Language.UKRAINIAN, hours: float = 48
) -> str:
    expires = int((NOON + timedelta(hours=hours)).timestamp())
    assert service.link_secret is not None
    return AcknowledgementLink(step.escalation_id, "first", expires, language).url(ROOT, service.link_secret)


async def test_alarms_are_listed_with_what_a_person_needs(client: httpx.AsyncClient, step: EscalationStep) -> None:
    listed = (await client.get("/escalations")).json()
    assert listed["total"] == 1
    (row,) = listed["escalations"]
    assert (row["finding"], row["laterality"], row["stage"], row["contact"]) == (
        "Hemorrhage",
        "left",
        "notified",
        "first",
    )
    assert (await client.get(f"/escalations/{step.escalation_id}")).json() == row


async def test_unanswered_alarms_stand_first_and_can_be_asked_for(
    client: httpx.AsyncClient, service: Service, step: EscalationStep
) -> None:
    done = alarm.acknowledged(told("done"), "first", None, NOON + timedelta(hours=1))
    assert done is not None
    service.view.apply(done)
    both = (await client.get("/escalations")).json()
    assert [row["stage"] for row in both["escalations"]] == ["notified", "acknowledged"]
    assert (await client.get("/escalations?unanswered=true")).json()["total"] == 1


async def test_an_answer_by_json_is_published_for_its_study(
    client: httpx.AsyncClient, service: Service, step: EscalationStep
) -> None:
    answer = await client.post(
        f"/escalations/{step.escalation_id}/acknowledge", json={"actor": "o.koval", "comment": "Їду, Ґ 🚑"}
    )
    assert answer.status_code == 202
    ((topic, key, event),) = service.published
    assert (topic, key) == (Topic.ACKNOWLEDGEMENTS, step.study_instance_uid)
    assert isinstance(event, EscalationAcknowledgement)
    assert (event.actor, event.comment, event.escalation_id) == ("o.koval", "Їду, Ґ 🚑", step.escalation_id)


async def test_an_alarm_that_was_answered_takes_no_second_answer(
    client: httpx.AsyncClient, service: Service, step: EscalationStep
) -> None:
    done = alarm.acknowledged(step, "first", None, NOON)
    assert done is not None
    service.view.apply(done)
    answer = await client.post(f"/escalations/{step.escalation_id}/acknowledge", json={"actor": "late"})
    assert (answer.status_code, answer.json()["actor"]) == (202, "first")
    page = await client.post(link(service, step).replace("/acknowledge?", "/acknowledge/link?"))
    assert "Відповідальність уже взято" in page.text
    assert not service.published


@pytest.mark.parametrize(
    ("body", "status"), [({}, 422), ({"actor": "Koval Olha"}, 422), ({"actor": "a", "comment": "x" * 501}, 422)]
)
async def test_a_wrong_answer_is_refused_with_a_sentence(
    client: httpx.AsyncClient, service: Service, step: EscalationStep, body: dict[str, str], status: int
) -> None:
    answer = await client.post(f"/escalations/{step.escalation_id}/acknowledge", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert not service.published


async def test_another_site_cannot_answer_with_the_browser_of_a_person(
    client: httpx.AsyncClient, service: Service, step: EscalationStep
) -> None:
    for headers in ({"content-type": "text/plain"}, {}):
        content = b'{"actor":"mallory"}'
        url = f"/escalations/{step.escalation_id}/acknowledge"
        assert (await client.post(url, content=content, headers=headers)).status_code == 415
    assert not service.published


async def test_an_unknown_alarm_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/escalations/x")).status_code == 404
    assert (await client.post("/escalations/x/acknowledge", json={"actor": "a"})).status_code == 404


async def test_kafka_being_away_is_said_and_can_be_tried_again(
    client: httpx.AsyncClient, service: Service, step: EscalationStep
) -> None:
    service.kafka_is_away = True
    answer = await client.post(f"/escalations/{step.escalation_id}/acknowledge", json={"actor": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    page = await client.post(link(service, step).replace("/acknowledge?", "/acknowledge/link?"))
    assert page.status_code == 503
    assert "зателефонуйте" in page.text


async def test_opening_a_link_answers_nothing_and_its_button_does(
    client: httpx.AsyncClient, service: Service, step: EscalationStep
) -> None:
    url = link(service, step)
    page = await client.get(url)
    assert page.status_code == 200
    assert not service.published
    assert page.text.index("Критична знахідка") < page.text.index("Critical finding")
    assert "A-2026-0117" in page.text
    assert "script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    form = re.search(r'action="([^"]+)"', page.text)
    assert form is not None
    done = await client.post(urljoin(url, unescape(form[1])))
    assert "Дякуємо" in done.text
    ((topic, key, event),) = service.published
    assert (topic, key) == (Topic.ACKNOWLEDGEMENTS, step.study_instance_uid)
    assert isinstance(event, EscalationAcknowledgement) and event.actor == "first"


@pytest.mark.parametrize(
    "change", ["contact=third", "expires=99999999999", "lang=en", "signature=AAAA", "signature=ї"]
)
async def test_a_link_that_was_changed_is_refused(
    client: httpx.AsyncClient, service: Service, step: EscalationStep, change: str
) -> None:
    name = change.partition("=")[0]
    url = re.sub(rf"{name}=[^&]*", change, link(service, step))
    for answer in (await client.get(url), await client.post(url.replace("/acknowledge?", "/acknowledge/link?"))):
        assert answer.status_code == 403
    assert not service.published


async def test_a_link_of_one_alarm_does_not_answer_another(
    client: httpx.AsyncClient, service: Service, step: EscalationStep
) -> None:
    other = told("other")
    service.view.apply(other)
    url = link(service, step).replace(step.escalation_id, other.escalation_id)
    assert (await client.post(url.replace("/acknowledge?", "/acknowledge/link?"))).status_code == 403


async def test_a_link_whose_time_is_over_says_so(
    client: httpx.AsyncClient, service: Service, step: EscalationStep
) -> None:
    answer = await client.get(link(service, step, Language.ENGLISH, hours=0))
    assert answer.status_code == 410
    assert "no longer valid" in answer.text


async def test_a_link_to_an_alarm_that_is_not_known_yet_asks_to_try_again(
    client: httpx.AsyncClient, service: Service
) -> None:
    service.now = NOON
    assert (await client.get(link(service, told("unread")))).status_code == 503


def test_the_view_of_alarms_is_bounded_and_keeps_unanswered_ones_longest() -> None:
    alarms = Alarms(most=10)
    open_ = told("open")
    alarms.apply(open_)
    for number in range(30):
        step = replace(
            open_,
            escalation_id=f"over-{number}",
            stage=EscalationStage.ACKNOWLEDGED,
            occurred_at=NOON + timedelta(minutes=number),
        )
        alarms.apply(step)
    kept = alarms.list(unanswered=False)
    assert len(kept) <= 11
    assert kept[0] == open_
    assert kept[1].escalation_id == "over-29"
