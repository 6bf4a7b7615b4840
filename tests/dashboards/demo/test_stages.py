"""How far the demonstration's study is, judged from what the API says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dashboards.api import present
from dashboards.demo.stages import SPECS, first_missing, reached, trouble
from dashboards.live.view import LiveView
from schemas.events import TaskState
from tests.dashboards.story import START, Story, failed


def told(events: list[Any]) -> dict[str, Any]:
    """The API's answer after these events."""
    view = LiveView()
    for event in events:
        view.apply(event)
    study = view.study("1.2.3")
    assert study is not None
    return present.study(study, view.tasks_of(study), START, view.reviews.find).model_dump(mode="json")


def test_every_stage_of_a_finished_study():
    stages = reached(told(Story("1.2.3").whole()), START, START + timedelta(seconds=1.2))
    assert [(stage.name, stage.ms) for stage in stages] == [
        ("received", 0.0),
        ("durable", 1200.0),
        ("assembled", 2000.0),
        ("queued", 2100.0),
        ("fetched", 2620.0),
        ("inferred", 4500.0),
        ("result", 5000.0),
        ("stored: stow", 5400.0),
        ("stored: fhir", 5600.0),
    ]
    assert first_missing(stages) is None
    assert [spec.name for spec in SPECS[:-1]] == [stage.name for stage in stages]


@pytest.mark.parametrize(
    ("events", "missing", "process"),
    [
        (1, "queued", "streams"),
        (4, "fetched", "worker"),
        (5, "inferred", "worker"),
        (6, "result", "worker"),
        (8, "stored: stow", "writer-stow"),
        (9, "stored: fhir", "writer-fhir"),
    ],
)
def test_the_first_missing_stage_names_the_process_to_look_at(events: int, missing: str, process: str):
    study = told(Story("1.2.3").whole()[:events])
    spec = first_missing(reached(study, START, START))
    assert spec is not None
    assert (spec.name, spec.process) == (missing, process)


def test_before_the_study_is_known():
    assert reached(None, START, None) == []
    spec = first_missing(reached(None, START, START))
    assert spec is not None
    assert spec.name == "received"


def test_trouble_is_what_will_not_go_away_by_waiting():
    story = Story("1.2.3")
    assert trouble(None) is None
    assert trouble(told(story.whole())) is None
    assert trouble(told([story.ready(), story.task(), story.status(TaskState.FAILED, 4)])) == (
        "the task failed: no reason was given"
    )
    refused = told([story.result(), failed(story.delivered("stow", 5), "the PACS is full")])
    assert trouble(refused) == "stow said failed: the PACS is full"
