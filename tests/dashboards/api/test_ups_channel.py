"""Subscriptions to workitems and what is sent for them (PS3.18 11.10 to 11.13, PS3.4 CC.2.3 and CC.2.4)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydicom import Dataset
from websockets.sync.client import ClientConnection, connect

from dashboards.api.routes import ups_channel
from dashboards.live.records import TaskView
from dashboards.ups.identity import workitem_uid
from dashboards.ups.reports import is_wanted
from dashboards.ups.search import parse_filter
from dashboards.ups.subscriptions import FILTERED, GLOBAL, Subscription, Subscriptions
from schemas.events import TaskState
from schemas.topics import Priority
from tests.dashboards.api.conftest import Service, served
from tests.dashboards.story import Story


def heard(channel: ClientConnection) -> tuple[str, str]:
    report = Dataset.from_json(channel.recv(30))
    return report.AffectedSOPInstanceUID, report.get("ProcedureStepState", str(report.EventTypeID))


def uid_of(service: Service, story: Story) -> str:
    task = service.view.task(story.task_id)
    assert task is not None
    return workitem_uid(task)


def test_whoever_subscribes_late_to_a_workitem_hears_that_it_is_over(service: Service) -> None:
    over, running = Story("1.2.3"), Story("1.2.4")
    service.read(over.task(), over.status(TaskState.FAILED, 3), running.task())
    with served(service) as address, httpx.Client(base_url=f"http://{address}") as http:
        http.post(f"/workitems/{uid_of(service, over)}/subscribers/RIS")
        with connect(f"ws://{address}/subscribers/RIS") as channel:
            assert heard(channel) == (uid_of(service, over), "CANCELED")
            # a global subscription is told of what is open, and what it was told it is not told again
            http.post(f"/workitems/{GLOBAL}/subscribers/RIS")
            assert heard(channel) == (uid_of(service, running), "SCHEDULED")


def test_what_was_asked_for_is_told_first_however_many_others_are_open(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ups_channel, "_INITIAL", 1)
    old, low = Story("1.2.3"), Story("1.2.4", Priority.P4_ROUTINE)
    for number in range(5):
        service.read(Story(f"1.3.{number}", start=old.at(3600)).task())
    service.read(old.task(), low.task())
    with served(service) as address, httpx.Client(base_url=f"http://{address}") as http:
        http.post(f"/workitems/{uid_of(service, old)}/subscribers/RIS")
        query = {"filter": "ScheduledProcedureStepPriority=LOW"}
        http.post(f"/workitems/{FILTERED}/subscribers/RIS", params=query)
        with connect(f"ws://{address}/subscribers/RIS") as channel:
            told = {heard(channel) for _ in range(2)}
    assert told == {(uid_of(service, story), "SCHEDULED") for story in (old, low)}


def test_subscriptions_to_what_is_forgotten_are_dropped_once_the_log_was_read(service: Service) -> None:
    story = Story("1.2.3")
    service.read(story.task())
    for uid in ("9.9", uid_of(service, story), GLOBAL):
        service.subscriptions.add(Subscription("RIS", uid))
    service.subscriptions.add(Subscription("PACS", "9.9"))
    for missing, kept in ((["the log is not read yet"], 3), ([], 2)):
        service.missing = missing
        with served(service) as address, connect(f"ws://{address}/subscribers/RIS") as channel:
            assert heard(channel) == (uid_of(service, story), "SCHEDULED")
            assert len(service.subscriptions.of("RIS")) == kept
    assert len(service.subscriptions.of("PACS")) == 1


def test_a_final_state_is_entered_from_in_progress_and_reports_are_numbered(service: Service) -> None:
    story = Story("1.2.3")
    service.read(story.task())
    with served(service) as address, httpx.Client(base_url=f"http://{address}") as http:
        http.post(f"/workitems/{GLOBAL}/subscribers/RIS")
        with connect(f"ws://{address}/subscribers/RIS") as channel:
            reports = [Dataset.from_json(channel.recv(30))]
            service.read(story.status(TaskState.CANCELLED, 3))
            reports += [Dataset.from_json(channel.recv(30)) for _ in range(2)]
    assert [one.ProcedureStepState for one in reports] == ["SCHEDULED", "IN PROGRESS", "CANCELED"], (
        "PS3.4 CC.2.2.3"
    )
    assert [one.MessageID for one in reports] == [1, 2, 3]
    assert ["ReasonForCancellation" in one for one in reports] == [False, False, True]


def test_a_workitem_that_leaves_the_filter_is_still_reported(service: Service) -> None:
    story, other = Story("1.2.3", Priority.P1_EMERGENCY), Story("1.2.4", Priority.P4_ROUTINE)
    service.read(story.task(), other.task())
    with served(service) as address, httpx.Client(base_url=f"http://{address}") as http:
        query = {"filter": "ScheduledProcedureStepPriority=HIGH,ProcedureStepState=SCHEDULED"}
        assert http.post(f"/workitems/{FILTERED}/subscribers/RIS", params=query).status_code == 201
        wrong = http.post(f"/workitems/{FILTERED}/subscribers/RIS", params={"filter": "Priority=HIGH,Nonsense=1"})
        assert wrong.status_code == 400
        with connect(f"ws://{address}/subscribers/RIS") as channel:
            uid = uid_of(service, story)
            assert heard(channel) == (uid, "SCHEDULED")
            service.read(other.status(TaskState.INFERRING, 3), story.status(TaskState.INFERRING, 3))
            assert (heard(channel), heard(channel)) == ((uid, "IN PROGRESS"), (uid, "3")), "and its progress"
            # who ends the subscription hears no more of it, and of what was asked for instead
            assert http.delete(f"/workitems/{FILTERED}/subscribers/RIS").status_code == 200
            http.post(f"/workitems/{uid_of(service, other)}/subscribers/RIS")
            assert heard(channel) == (uid_of(service, other), "IN PROGRESS")
            service.read(story.status(TaskState.FAILED, 4), other.status(TaskState.FAILED, 4))
            assert heard(channel) == (uid_of(service, other), "CANCELED")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ProcedureStepState=SCHEDULED", [("ProcedureStepState", "SCHEDULED")]),
        (
            "00741000=SCHEDULED&00741204=AI, *",
            [("ProcedureStepState", "SCHEDULED"), ("ProcedureStepLabel", "AI, *")],
        ),
        (
            "InputInformationSequence.StudyInstanceUID=1.2,1.3,WorklistLabel=a%3Db",
            [("InputInformationSequence.StudyInstanceUID", "1.2,1.3"), ("WorklistLabel", "a=b")],
        ),
    ],
)
def test_keys_of_a_filter_stand_between_commas(text: str, keys: list[tuple[str, str]]) -> None:
    assert parse_filter(text).keys == tuple(keys)


@pytest.fixture
def subscriptions(tmp_path: Path) -> Subscriptions:
    return Subscriptions(tmp_path / "subscriptions")


def wanted(subscriptions: Subscriptions, task: TaskView) -> bool:
    return is_wanted(task, subscriptions.of("RIS"), task.updated_at)


def test_the_end_of_one_workitem_counts_beside_a_global_subscription(
    service: Service, subscriptions: Subscriptions
) -> None:
    first, second = Story("1.2.3"), Story("1.2.4")
    service.read(first.task(), second.task())
    one, other = service.view.task(first.task_id), service.view.task(second.task_id)
    assert one is not None
    assert other is not None
    uid = workitem_uid(one)
    with closing(subscriptions):
        assert not subscriptions.remove("RIS", uid, known=True), "nothing was subscribed to"
        subscriptions.add(Subscription("RIS", GLOBAL))
        assert subscriptions.remove("RIS", uid, known=True)
        assert (wanted(subscriptions, one), wanted(subscriptions, other)) == (False, True)
        assert not subscriptions.remove("RIS", uid, known=True), "it has ended"
        subscriptions.add(Subscription("RIS", uid))
        assert wanted(subscriptions, one)
        assert subscriptions.remove("RIS", uid, known=True)
        assert not wanted(subscriptions, one)
        assert subscriptions.remove("RIS", GLOBAL)
        assert subscriptions.of("RIS") == []


@pytest.mark.parametrize(("workitem", "text"), [(GLOBAL, ""), (FILTERED, "WorklistLabel=scanstream")])
def test_a_suspended_subscription_is_of_what_was_there_before(
    service: Service, subscriptions: Subscriptions, workitem: str, text: str
) -> None:
    before, after = Story("1.2.3"), Story("1.2.4")
    after.start = before.at(3600)
    service.read(before.task(), after.task())
    old, new = service.view.task(before.task_id), service.view.task(after.task_id)
    assert old is not None
    assert new is not None
    with closing(subscriptions):
        assert not subscriptions.suspend("RIS", workitem, before.at(60))
        subscriptions.add(Subscription("RIS", workitem, text))
        assert (wanted(subscriptions, old), wanted(subscriptions, new)) == (True, True)
        assert subscriptions.suspend("RIS", workitem, before.at(60))
        assert (wanted(subscriptions, old), wanted(subscriptions, new)) == (True, False)
        assert not subscriptions.suspend("RIS", workitem, before.at(9999)), "it is suspended already"
        subscriptions.add(Subscription("RIS", workitem, text))
        assert (wanted(subscriptions, old), wanted(subscriptions, new)) == (True, True)


def test_a_file_of_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "subscriptions"
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(
            "CREATE TABLE subscription (aet TEXT NOT NULL, workitem TEXT NOT NULL, filter TEXT NOT NULL, "
            "deletion_lock INTEGER NOT NULL, PRIMARY KEY (aet, workitem)) WITHOUT ROWID"
        )
        file.execute("INSERT INTO subscription VALUES ('RIS', ?, '', 0)", (GLOBAL,))
    for _ in range(2):
        with closing(Subscriptions(path)) as subscriptions:
            assert subscriptions.of("RIS") == [Subscription("RIS", GLOBAL)]
    with closing(Subscriptions(path)) as subscriptions:
        assert subscriptions.suspend("RIS", GLOBAL, datetime(2026, 1, 15, tzinfo=UTC))
    with closing(Subscriptions(path)) as subscriptions:
        assert subscriptions.of("RIS")[0].until == datetime(2026, 1, 15, tzinfo=UTC)
