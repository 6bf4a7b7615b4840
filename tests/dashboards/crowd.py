"""Tasks at random, of a few models, classes, states and studies: what properties of searches are tried with."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st

from dashboards.live.view import LiveView
from schemas.events import CommandKind, Event, InferenceTask, TaskCommand, TaskState, TaskStatus
from schemas.ids import event_id
from schemas.topics import Priority
from tests.dashboards.story import START, Story

MODELS = ("brain-test", "lung-test", "a-model-whose-name-is-longer-than-a-code")


@st.composite
def histories(draw: st.DrawFn, most: int = 12) -> list[Event]:
    """Events of up to so many tasks, each in its order; some say that a class was upgraded or a task held."""
    told: list[list[Event]] = []
    for number in range(draw(st.integers(1, most))):
        # some are made in the same millisecond
        story = Story(f"1.2.{number % 4}", draw(st.sampled_from(Priority)), START + timedelta(seconds=number // 2))
        model = draw(st.sampled_from(MODELS))
        task_id = str(uuid.UUID(int=draw(st.integers(0, 2**128 - 1))))
        accession = draw(st.sampled_from((None, "A-1", "A-2")))

        def own(event: InferenceTask | TaskStatus, model: str = model, task_id: str = task_id) -> Event:
            return replace(event, model_name=model, task_id=task_id)

        events = [own(replace(story.task(), accession_number=accession))] if draw(st.booleans()) else []
        states = draw(st.lists(st.sampled_from(TaskState), min_size=1, max_size=4))
        events += [own(story.status(state, 3 + at)) for at, state in enumerate(states)]
        if draw(st.booleans()):
            events.append(replace(story.delivered("stow", 9), task_id=task_id))
        kind = draw(st.sampled_from((None, CommandKind.HOLD, CommandKind.UPGRADE)))
        if kind is not None:
            upgrade = Priority.P1_EMERGENCY if kind is CommandKind.UPGRADE else None
            name = event_id("task-command", task_id, kind.value)
            events.append(TaskCommand(name, story.at(8), task_id, story.uid, kind, "o.koval", priority=upgrade))
        told.append(events)
    order = draw(st.permutations([index for index, events in enumerate(told) for _ in events]))
    rests = [iter(events) for events in told]
    return [next(rests[index]) for index in order]


def view_of(events: list[Event]) -> LiveView:
    """What is known after them."""
    view = LiveView()
    for event in events:
        view.apply(event)
    return view
