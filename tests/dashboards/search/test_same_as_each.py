"""Searches for workitems and FHIR Tasks over tasks at random find what looking at each by itself finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.fhir import query
from dashboards.fhir.alike import DECIDES, Alike, millis
from dashboards.fhir.live_task import live_task
from dashboards.fhir.matching import matching
from dashboards.fhir.parameters import PARAMETERS
from dashboards.fhir.store import FhirStore
from dashboards.fhir.tasks import Tasks
from dashboards.live.records import TaskView
from dashboards.orders.desk import Desk
from dashboards.ups import search
from dashboards.ups.identity import workitem_uid
from dashboards.ups.rendered import Rendered
from dashboards.ups.workitem import STATES, state_of, workitem
from schemas.events import Event
from tests.dashboards.crowd import histories, view_of
from tests.dashboards.story import START

NOW = START + timedelta(minutes=1)
FILTERS = (
    ("ProcedureStepLabel", "AI brain-test"),
    ("ProcedureStepLabel", "AI l*"),
    ("ProcedureStepLabel", "none*"),
    ("ProcedureStepState", "SCHEDULED"),
    ("ProcedureStepState", "IN PROGRESS"),
    ("ProcedureStepState", "COMPLETED"),
    ("ProcedureStepState", "CANCELED"),
    ("ScheduledProcedureStepPriority", "HIGH"),
    ("ScheduledProcedureStepPriority", ""),
    ("WorklistLabel", "scan?tream"),
    ("ScheduledWorkitemCodeSequence.CodeValue", "lung-test"),
    ("ScheduledStationNameCodeSequence.CodeValue", "another"),
    ("InputInformationSequence.StudyInstanceUID", "1.2.1"),
    ("InputInformationSequence.StudyInstanceUID", "1.2.1,1.2.2"),
    ("ReferencedRequestSequence.AccessionNumber", "A-1"),
    ("ScheduledProcedureStepStartDateTime", "20260115093004-"),
)
TASKS = (
    ("code", "brain-test"),
    ("code", "urn:scanstream:model|lung-test"),
    ("code", "none"),
    ("status", "requested,on-hold"),
    ("status", "completed"),
    ("business-status", "held,retry-wait"),
    ("owner:identifier", "urn:scanstream:model|brain-test"),
    ("focus:identifier", "urn:dicom:uid|urn:oid:1.2.1"),
    ("focus:identifier", "urn:dicom:uid|"),
    ("_tag", "x"),
    ("_lastUpdated", "gt2026-01-15T09:30:06Z"),
)


def mark_of(task: TaskView) -> tuple[object, str]:
    return task.created_at, task.task_id


@given(histories(), st.lists(st.sampled_from(FILTERS), max_size=3), st.integers(1, 12), st.data())
def test_workitems(events: list[Event], filters: list[tuple[str, str]], most: int, data: st.DataObject) -> None:
    view = view_of(events)
    known = sorted(view.tasks(), key=mark_of, reverse=True)
    if data.draw(st.booleans()):
        named = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=2))
        filters = [*filters, ("SOPInstanceUID", ",".join(map(workitem_uid, named)))]
    wanted = search.parse(filters)
    each = [task for task in known if search.matcher(wanted, NOW)(task)]
    assert search.find(view, wanted, NOW, most) == each[:most]


@given(histories())
def test_a_kind_has_every_state_that_one_of_its_workitems_has(events: list[Event]) -> None:
    for task in view_of(events).tasks():
        found = {state_of(task, NOW + wait) for wait in (timedelta(), timedelta(hours=2))}
        assert found <= set(STATES[task.state])


@given(histories(), st.lists(st.sampled_from(TASKS), min_size=1, max_size=3))
def test_tasks(events: list[Event], filters: list[tuple[str, str]]) -> None:
    wanted = query.parse("Task", filters)
    known = sorted(view_of(events).tasks(), key=mark_of, reverse=True)
    each = [task for task in known if matching(wanted, [(millis(task.updated_at), live_task(task))])]
    alike = Alike(wanted)
    assert [*alike.matching(known[:3]), *alike.matching(known[3:])] == each


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FhirStore]:
    with closing(FhirStore(tmp_path_factory.mktemp("fhir") / "fhir.sqlite")) as store:
        yield store


@given(events=histories(), one=st.sampled_from(TASKS))
def test_a_page_of_tasks(store: FhirStore, events: list[Event], one: tuple[str, str]) -> None:
    view, wanted = view_of(events), query.parse("Task", [one])
    known = sorted(view.tasks(), key=mark_of, reverse=True)
    each = [task for task in known if matching(wanted, [(millis(task.updated_at), live_task(task))])]
    page = Tasks(store, view, cast(Desk, None)).search(wanted)
    assert {item.resource_id for item in page.matches} == {task.task_id for task in each}
    assert page.total == len(each)


def test_what_decides_is_known_of_every_parameter() -> None:
    assert DECIDES.keys() == PARAMETERS["Task"].keys() | {"_id", "_lastUpdated"}


@given(histories(), st.lists(st.sampled_from((None, 3, 70)), min_size=3, max_size=3))
def test_a_workitem_that_is_kept_is_the_one_that_would_be_made(
    events: list[Event], expected: list[int | None]
) -> None:
    rendered, view = Rendered(most=5), view_of([])
    for event in events:
        view.apply(event)
        for task in view.tasks():
            for seconds, wait in zip(
                expected, (timedelta(), timedelta(minutes=5), timedelta(hours=2)), strict=True
            ):
                until = None if seconds is None else NOW + timedelta(seconds=seconds)
                made = orjson.dumps(workitem(task, NOW + wait, expected=until))
                assert rendered(task, NOW + wait, until) == made
