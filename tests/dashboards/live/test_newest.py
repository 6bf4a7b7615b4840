"""A search that passes over kinds of tasks finds what one finds that looks at each, in the same order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.live import view as live_view
from dashboards.live.catalogue import Kind, Mark
from dashboards.live.records import TaskView
from schemas.events import Event, TaskState
from schemas.topics import Priority
from tests.dashboards.crowd import MODELS, histories, view_of
from tests.dashboards.story import START


def mark_of(task: TaskView) -> Mark:
    return task.created_at, task.task_id


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_view, "PIECE", 3)
        yield


@given(
    histories(),
    st.sets(st.sampled_from(MODELS)),
    st.sets(st.sampled_from(Priority)),
    st.sets(st.sampled_from(TaskState)),
    st.integers(1, 14),
    st.integers(0, 8),
    st.booleans(),
)
def test_kinds_change_nothing_but_the_time(
    events: list[Event],
    models: set[str],
    classes: set[Priority],
    states: set[TaskState],
    most: int,
    seconds: int,
    forget: bool,
) -> None:
    view = view_of(events)
    if forget:
        view.sweep(START + timedelta(hours=72, seconds=10))

    def of_kind(one: Kind | TaskView) -> bool:
        return one.model_name in models and one.priority in classes and one.state in states

    def wanted(task: TaskView) -> bool:
        return of_kind(task) and task.updated_at.second % 2 == 0

    before = (START + timedelta(seconds=seconds), "")
    for mark in (None, before):
        known = sorted(view.tasks(), key=mark_of, reverse=True)
        plain = [task for task in known if wanted(task) and (mark is None or mark_of(task) < mark)]
        assert view.newest(wanted, mark, most, kinds=of_kind) == plain[:most]
        assert view.newest(wanted, mark, most) == plain[:most]
        of_study = [task for task in plain if task.study_instance_uid == "1.2.1"]
        assert view.newest(wanted, mark, most, "1.2.1", of_kind) == of_study[:most]


@given(histories(most=20), st.integers(1, 4))
def test_pages_of_a_kind_hold_each_task_once(events: list[Event], limit: int) -> None:
    view = view_of(events)

    def of_kind(one: Kind | TaskView) -> bool:
        return one.model_name == MODELS[0]

    found, mark = list[TaskView](), None
    while page := view.newest(of_kind, mark, limit, kinds=of_kind):
        found += page
        mark = mark_of(page[-1])
    assert found == sorted(filter(of_kind, view.tasks()), key=mark_of, reverse=True)
