"""The live view is the same whatever the order of topics, and stays within its bounds."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

from dashboards.live.view import Limits, LiveView
from schemas.events import ArrivalHint, CommandKind, HintKind, TaskCommand, TaskState
from schemas.topics import Priority
from tests.dashboards.story import START, Story


def test_the_whole_way_of_a_study():
    story, view = Story("1.2.3"), LiveView()
    for event in story.whole():
        view.apply(event)

    study = view.study("1.2.3")
    assert study is not None
    assert (study.arrived_at, study.ready_at) == (START, story.at(2))
    assert (study.instance_count, study.series_count, study.modalities) == (2, 1, ("MR",))
    [task] = view.tasks_of(study)
    assert task.state is TaskState.COMPLETED
    assert task.finished
    assert (task.priority_reason, task.rule_revision) == ("order says so", "abc123")
    assert [(moment.name, moment.at) for moment in task.moments] == [
        ("queued", story.at(2.1)),
        ("preprocessing", story.at(2.5)),
        ("inferring", story.at(3)),
        ("postprocessing", story.at(4.5)),
        ("result", story.at(5)),
        ("completed", story.at(5)),
        ("delivered:stow", story.at(5.4)),
        ("delivered:fhir", story.at(5.6)),
    ]
    assert task.result is not None
    assert task.result.findings[0].measurements[0].value == 1172.44
    assert [delivery.destination for delivery in task.deliveries] == ["fhir", "stow"]


def test_applying_twice_changes_nothing():
    story, once, twice = Story("1.2.3"), LiveView(), LiveView()
    for event in story.whole():
        once.apply(event)
        twice.apply(event)
    for event in (story.ready(), story.task(), story.result(), story.delivered("stow", 5.4)):
        twice.apply(event)
    assert once.study("1.2.3") == twice.study("1.2.3")
    assert once.task(story.task_id) == twice.task(story.task_id)


def test_topics_may_be_read_in_any_order():
    story = Story("1.2.3")
    expected = LiveView()
    for event in story.whole():
        expected.apply(event)
    statuses = [event for event in story.whole() if type(event).__name__ == "TaskStatus"]
    others = [event for event in story.whole() if type(event).__name__ != "TaskStatus"]
    for seed in range(20):
        chance, view = random.Random(seed), LiveView()
        shuffled = chance.sample(others, len(others))
        # statuses of one task share a partition, so they keep their order among themselves
        places = sorted(chance.choices(range(len(shuffled) + 1), k=len(statuses)))
        for shift, (place, status) in enumerate(zip(places, statuses, strict=True)):
            shuffled.insert(place + shift, status)
        for event in shuffled:
            view.apply(event)
        assert view.task(story.task_id) == expected.task(story.task_id), seed
        assert view.study("1.2.3") == expected.study("1.2.3"), seed


def test_a_second_attempt_is_seen_beside_the_first():
    story, view = Story("1.2.3"), LiveView()
    view.apply(story.status(TaskState.PREPROCESSING, 3))
    view.apply(story.status(TaskState.RETRY_WAIT, 4))
    view.apply(story.status(TaskState.PREPROCESSING, 9, attempt=2))
    task = view.task(story.task_id)
    assert task is not None
    assert (task.state, task.attempt) == (TaskState.PREPROCESSING, 2)
    assert [(moment.name, moment.attempt) for moment in task.moments] == [
        ("preprocessing", 1),
        ("retry_wait", 1),
        ("preprocessing", 2),
    ]


def test_a_task_that_only_gives_way_while_it_waits_is_not_shown_as_one_that_somebody_wants_to_end():
    story, view = Story("1.2.3"), LiveView()
    view.apply(story.task())
    command = TaskCommand("c", START, story.task_id, "1.2.3", CommandKind.CANCEL, "streams", "revision 2")
    view.apply(replace(command, unless_begun=True))
    assert view.task(story.task_id).cancelled is None
    view.apply(command)
    assert view.task(story.task_id).cancelled is not None


def test_an_older_revision_does_not_overwrite_a_newer_one():
    story, view = Story("1.2.3"), LiveView()
    view.apply(story.ready(20, revision=2))
    view.apply(story.ready(2, revision=1))
    study = view.study("1.2.3")
    assert study is not None
    assert (study.revision, study.ready_at) == (2, story.at(20))


def test_worklist_is_triaged():
    view = LiveView()
    routine = Story("1.1", Priority.P4_ROUTINE)
    late = Story("1.2", Priority.P2_URGENT, minutes=10)
    soon = Story("1.3", Priority.P2_URGENT, minutes=5)
    done = Story("1.4", Priority.P1_EMERGENCY)
    done_later = Story("1.5", Priority.P4_ROUTINE, start=START + timedelta(minutes=1))
    for story in (routine, late, soon):
        view.apply(story.ready())
        view.apply(story.task())
    for story in (done, done_later):
        for event in story.whole():
            view.apply(event)
    assert [study.study_instance_uid for study, _ in view.worklist()] == ["1.3", "1.2", "1.1", "1.5", "1.4"]
    assert [task.study_instance_uid for task in view.tasks(TaskState.QUEUED)] == ["1.3", "1.2", "1.1"]


def test_memory_is_bounded_and_open_studies_are_kept():
    view = LiveView(Limits(max_studies=50))
    unfinished = Story("1.0")
    view.apply(unfinished.ready())
    view.apply(unfinished.task())
    for number in range(1, 500):
        for event in Story(f"1.{number}", start=START + timedelta(minutes=number)).whole():
            view.apply(event)
    studies, tasks = view.sizes()
    assert studies <= 55
    assert tasks <= 55
    assert view.study("1.0") is not None
    assert view.study("1.499") is not None
    assert view.study("1.1") is None


def test_finished_studies_are_forgotten_after_their_time():
    view = LiveView(Limits(keep_finished=timedelta(hours=1)))
    for event in Story("1.1").whole():
        view.apply(event)
    view.apply(Story("1.2").task())
    assert view.sweep(START + timedelta(minutes=59)) == 0
    assert view.sweep(START + timedelta(hours=2)) == 1
    assert view.sizes() == (1, 1)


def test_deliveries_of_forgotten_tasks_do_not_pile_up():
    view = LiveView()
    for number in range(3000):
        view.apply(Story(f"1.{number}").delivered("stow", 5))
    assert view.sizes() == (0, 0)
    last = Story("1.2999")
    view.apply(last.result())
    task = view.task(last.task_id)
    assert task is not None
    assert [delivery.destination for delivery in task.deliveries] == ["stow"]


def test_events_of_other_topics_are_ignored():
    view = LiveView()
    view.apply(ArrivalHint("x", START, "1.2.3", "gw", HintKind.OPERATOR))
    assert view.sizes() == (0, 0)
