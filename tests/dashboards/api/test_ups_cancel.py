"""What a request to cancel a workitem may say, and where it is seen afterwards (PS3.18 11.8, PS3.4 CC.2.2)."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from pydicom import Dataset
from websockets.sync.client import connect

from producers.dicomweb.native_xml import to_xml
from schemas.events import Code, TaskCommand, TaskState
from tests.dashboards.api.conftest import Service, served
from tests.dashboards.api.test_ups import GLOBAL, JSON, as_json, read
from tests.dashboards.story import Story

XML = {"content-type": "application/dicom+xml"}
DUPLICATE = Code("110510", "DCM", "Duplicate order")
LONG = Code("a code of ours that is longer than sixteen characters", "99SITE", "Не потрібно")
NAME, URI, WHY = "Ірина Бондар", "tel:+380441234567", "Замовлено двічі\nдзвоніть"


def coded(one: Code) -> Dataset:
    item = Dataset()
    setattr(item, "LongCodeValue" if len(one.value) > 16 else "CodeValue", one.value)
    item.CodingSchemeDesignator, item.CodeMeaning = one.scheme, one.meaning
    return item


def request(**more: Any) -> Dataset:
    item = Dataset()
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return item


def text(tag: str, kind: str, *values: object) -> dict[str, Any]:
    return {tag: {"vr": kind, "Value": list(values)}}


def whole() -> Dataset:
    return request(
        ReasonForCancellation=WHY,
        ProcedureStepDiscontinuationReasonCodeSequence=[coded(DUPLICATE), coded(LONG)],
        ContactDisplayName=NAME,
        ContactURI=URI,
    )


@pytest.fixture
def story(service: Service) -> Story:
    story = Story("1.2.3")
    service.read(story.task(), story.status(TaskState.INFERRING, 3))
    return story


async def path_of(client: httpx.AsyncClient, story: Story) -> str:
    return str((await client.get(f"/v1/tasks/{story.task_id}")).json()["links"]["ups"])


@pytest.mark.parametrize("kind", [JSON, XML])
async def test_all_of_it_is_kept_and_is_in_the_workitem_once_it_is_cancelled(
    service: Service, client: httpx.AsyncClient, story: Story, kind: dict[str, str]
) -> None:
    path = await path_of(client, story)
    body = as_json(whole()) if kind == JSON else to_xml(whole().to_json_dict())
    answer = await client.post(f"{path}/cancelrequest", content=body, headers=kind)
    assert (answer.status_code, "warning" in answer.headers) == (202, False), answer.text
    ((_, key, command),) = service.published
    assert isinstance(command, TaskCommand)
    assert key == story.task_id
    assert (command.reason, command.reason_codes) == (WHY, (DUPLICATE, LONG))
    assert (command.contact_name, command.contact_uri) == (NAME, URI)
    service.read(story.status(TaskState.CANCELLED, 4))
    [item] = read(await client.get(path))
    [progress] = item.ProcedureStepProgressInformationSequence
    assert (item.ProcedureStepState, progress.ReasonForCancellation) == ("CANCELED", WHY)
    first, second = progress.ProcedureStepDiscontinuationReasonCodeSequence
    assert Code(first.CodeValue, first.CodingSchemeDesignator, first.CodeMeaning) == DUPLICATE
    assert (second.LongCodeValue, second.CodeMeaning, "CodeValue" in second) == (LONG.value, LONG.meaning, False)
    assert "ContactURI" not in progress, "who asked is no contact of the performer"


async def test_a_task_that_failed_says_so_whatever_was_asked_for(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    path = await path_of(client, story)
    await client.post(f"{path}/cancelrequest", content=as_json(whole()), headers=JSON)
    service.read(story.status(TaskState.FAILED, 4))
    [item] = read(await client.get(path))
    [progress] = item.ProcedureStepProgressInformationSequence
    assert progress.ReasonForCancellation == "failed"
    assert [one.CodeValue for one in progress.ProcedureStepDiscontinuationReasonCodeSequence] == ["110501"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (whole(), {"ReasonForCancellation", "ContactURI", "ContactDisplayName"}),
        (request(ContactURI=URI), {"ContactURI"}),
        (request(ReasonForCancellation="", ContactDisplayName=NAME), {"ContactDisplayName"}),
        (request(), set()),
    ],
)
def test_subscribers_are_told_what_was_given_and_no_more(
    service: Service, story: Story, given: Dataset, told: set[str]
) -> None:
    with served(service) as address, httpx.Client(base_url=f"http://{address}") as http:
        path = http.get(f"/v1/tasks/{story.task_id}").json()["links"]["ups"]
        assert http.post(f"/workitems/{GLOBAL}/subscribers/RIS").status_code == 201
        with connect(f"ws://{address}/subscribers/RIS") as channel:
            assert Dataset.from_json(channel.recv(30)).ProcedureStepState == "IN PROGRESS"
            http.post(f"{path}/cancelrequest", content=as_json(given), headers=JSON)
            report = Dataset.from_json(channel.recv(30))
            assert (report.EventTypeID, report.RequestingAE) == (2, "ups")
            optional = ("ReasonForCancellation", "ContactURI", "ContactDisplayName")
            assert {keyword for keyword in optional if keyword in report} == told
            for keyword in told:
                assert report[keyword].value == given[keyword].value
            codes = "ProcedureStepDiscontinuationReasonCodeSequence"
            assert report.get(codes) == given.get(codes)
            service.read(story.status(TaskState.CANCELLED, 4))
            state = Dataset.from_json(channel.recv(30))
            assert (state.EventTypeID, state.ProcedureStepState) == (1, "CANCELED")
            expected = [one.get("CodeValue") for one in given.get(codes, [])] or ["110513"]
            assert [one.get("CodeValue") for one in state[codes]] == expected


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (text("0074100A", "UR", "call me"), "Contact URI (0074,100A)"),
        (text("0074100A", "UR", "+380441234567"), "with its scheme"),
        (text("0074100A", "UR", "tel:" + "1" * 2048), "2048 characters"),
        (text("0074100C", "LO", "Б" * 65), "64 characters"),
        (text("0074100C", "LO", "a\nb"), "one line"),
        (text("0074100C", "LO", "a", "b"), "one value"),
        (text("00741238", "LT", "a\x1b[31mb"), "control characters"),
        (text("00741238", "LT", 7), "one text"),
        (text("00741238", "DS", 7), "one text"),
        (text("00741238", "LT", "x" * 10_241), "10240 characters"),
        (text("00741238", "SQ", {}), "no sequence"),
        (text("0074100E", "LO", "110510"), "must be a sequence"),
        (text("0074100E", "SQ", {}), "Code Value, Coding Scheme Designator and Code Meaning"),
        (request(ProcedureStepDiscontinuationReasonCodeSequence=[coded(DUPLICATE)] * 11), "10 items"),
        (text("0074100E", "SQ", text("00080100", "SH", "1" * 17)), "16 characters"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_cancelled(
    service: Service, client: httpx.AsyncClient, story: Story, body: Any, said: str
) -> None:
    path = await path_of(client, story)
    content = as_json(body) if isinstance(body, Dataset) else orjson.dumps(body)
    answer = await client.post(f"{path}/cancelrequest", content=content, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["detail"]
    assert answer.headers["warning"].startswith("299 scanstream ")
    assert service.published == []


async def test_no_refusal_repeats_what_was_written(client: httpx.AsyncClient, story: Story) -> None:
    path = await path_of(client, story)
    secret = "Kovalenko-Olha"
    for tag, kind in (("0074100A", "UR"), ("0074100C", "LO"), ("00741238", "DA"), ("00741004", "DS")):
        body = orjson.dumps(text(tag, kind, f"{secret}\n" * 2000))
        answer = await client.post(f"{path}/cancelrequest", content=body, headers=JSON)
        assert answer.status_code == 400
        assert secret not in answer.text + str(answer.headers)


async def test_a_long_reason_is_shortened_and_the_requester_is_told(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    path = await path_of(client, story)
    body = as_json(request(ReasonForCancellation="x" * 600))
    answer = await client.post(f"{path}/cancelrequest", content=body, headers=JSON)
    assert (answer.status_code, "shortened to 500" in answer.headers["warning"]) == (202, True)
    ((_, _, command),) = service.published
    assert isinstance(command, TaskCommand)
    assert command.reason == "x" * 500


async def test_a_second_request_changes_nothing_and_says_so(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    path = await path_of(client, story)
    assert (await client.post(f"{path}/cancelrequest")).status_code == 202
    again = await client.post(f"{path}/cancelrequest", content=as_json(whole()), headers=JSON)
    assert (again.status_code, "asked for before" in again.headers["warning"]) == (202, True)
    silent = await client.post(f"{path}/cancelrequest")
    assert (silent.status_code, "warning" in silent.headers) == (202, False)
    assert len(service.published) == 1


async def test_what_is_over_is_answered_with_the_sentence_of_the_standard(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    path = await path_of(client, story)

    async def ask() -> tuple[int, str]:
        answer = await client.post(f"{path}/cancelrequest", content=as_json(whole()), headers=JSON)
        return answer.status_code, answer.headers.get("warning", "")

    service.read(story.result(), story.status(TaskState.COMPLETED, 5, progress=100))
    status, said = await ask()
    assert (status, "Performer chooses not to cancel." in said) == (409, True), "its objects are not known yet"
    service.read(story.delivered("stow", 6))
    status, said = await ask()
    assert (status, "The UPS is already COMPLETED." in said) == (409, True)
    other = Story("1.2.4")
    service.read(other.task(), other.status(TaskState.CANCELLED, 3))
    path = await path_of(client, other)
    status, said = await ask()
    assert (status, "The UPS is already in the requested state of CANCELED." in said) == (202, True)
    assert service.published == []


async def test_without_kafka_a_request_may_be_sent_again(
    service: Service, client: httpx.AsyncClient, story: Story
) -> None:
    path = await path_of(client, story)
    service.kafka_is_away = True
    answer = await client.post(f"{path}/cancelrequest", content=as_json(whole()), headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "check that the broker is up" in answer.headers["warning"]
    service.kafka_is_away = False
    assert (await client.post(f"{path}/cancelrequest", content=as_json(whole()), headers=JSON)).status_code == 202
    assert len(service.published) == 1
