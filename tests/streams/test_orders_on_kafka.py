"""Orders and studies on a real Kafka: commands once though the process is killed, windows, single series."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.events import (
    ClinicalContext,
    CommandKind,
    EligibilityDecision,
    InferenceTask,
    StudyReady,
    TaskCommand,
)
from schemas.topics import Priority, Topic
from streams.rules_file import DEFAULT_FILE
from tests.streams.running import Seen, Sender, processor
from tests.streams.samples import context, instance, new_study
from tests.streams.test_processor import settle

pytestmark = pytest.mark.integration

TOPICS = (
    Topic.STUDIES,
    Topic.TASKS_P1,
    Topic.TASKS_P2,
    Topic.TASKS_P3,
    Topic.TASKS_P4,
    Topic.COMMANDS,
    Topic.ELIGIBILITY,
)
IMAGES = 12


class Hospital:
    """Its orders and its scanners."""

    def __init__(self, servers: str) -> None:
        self.sender = Sender(servers)
        self._run = random.randrange(10**12)

    def accession(self, study: str) -> str:
        return f"A{self._run}-{study[-8:]}"

    def order(self, study: str, **said: object) -> ClinicalContext:
        accession = self.accession(study)
        event = context(f"patient-{study}", accession_number=accession, **said)
        self.sender.send_to(Topic.CONTEXT, accession, event)
        return event

    def images(self, study: str, count: int = IMAGES, first: int = 0, **more: object) -> None:
        keys = {"accession_number": self.accession(study), "patient_key": f"patient-{study}"}
        self.sender.send(*(instance(study, first + number, **keys, **more) for number in range(count)))  # type: ignore[arg-type] # forwarded as is


def commands(seen: Seen, study: str) -> list[TaskCommand]:
    return [event for event in seen.of(study, TaskCommand) if isinstance(event, TaskCommand)]


def tasks(seen: Seen, study: str) -> list[InferenceTask]:
    return [event for event in seen.of(study, InferenceTask) if isinstance(event, InferenceTask)]


def test_a_late_order_upgrades_once_though_the_process_is_killed_around_it(kafka: str, tmp_path: Path) -> None:
    hospital, chance = Hospital(kafka), random.Random(11)
    studies = [new_study() for _ in range(19)]
    away, early = studies[:8], studies[8:]
    with Seen(kafka, *TOPICS) as seen:
        with processor(kafka, tmp_path / "one", node="n1") as child:
            for study in studies:
                hospital.images(study)
            seen.wait_for(studies, InferenceTask)
            child.kill()
            child.wait()
        for study in away:
            hospital.order(study, order_priority="S")
        # killed while it reads and decides
        for kill in range(2):
            with processor(kafka, tmp_path / f"kill{kill}", node="n1", wait=kill > 0) as child:
                for study in early[kill * 5 : kill * 5 + 5]:
                    hospital.order(study, order_priority="S")
                settle(seen, chance.uniform(0.0, 1.5) + (2.0 if kill == 0 else 0.0))
                child.kill()
                child.wait()
        with processor(kafka, tmp_path / "last", node="n1"):
            hospital.order(early[-1], order_priority="S")
            seen.wait_for(studies, TaskCommand)
            for study in studies:
                hospital.order(study, order_priority="S", patient_location="ICU")
            settle(seen, 2.0)
        for study in studies:
            (task,) = tasks(seen, study)
            (command,) = commands(seen, study)
            assert (command.kind, command.task_id) == (CommandKind.UPGRADE, task.task_id)
            assert (task.priority, command.priority) == (Priority.P3_NORMAL, Priority.P1_EMERGENCY)


def test_an_order_that_is_cancelled_held_and_released_commands_the_tasks(kafka: str, tmp_path: Path) -> None:
    hospital = Hospital(kafka)
    cancelled, held, never = (new_study() for _ in range(3))
    hospital.order(never, order_status="cancelled")
    hospital.order(held, order_status="held")
    with processor(kafka, tmp_path / "log", node="n1"), Seen(kafka, *TOPICS) as seen:
        for study in (cancelled, held, never):
            hospital.images(study)
        seen.wait_for([cancelled, held], InferenceTask)
        seen.wait_for([held], TaskCommand)
        seen.wait_for([never], EligibilityDecision)
        hospital.order(cancelled, order_status="cancelled")
        hospital.order(held, order_status="active")
        seen.wait_for([cancelled], TaskCommand)
        seen.wait_for([held], TaskCommand, 2)
        settle(seen)
        assert [(one.kind, one.actor) for one in commands(seen, cancelled)] == [(CommandKind.CANCEL, "order")]
        assert [one.kind for one in commands(seen, held)] == [CommandKind.HOLD, CommandKind.RELEASE]
        assert tasks(seen, never) == commands(seen, never) == []
        verdicts = [
            event for event in seen.of(never, EligibilityDecision) if isinstance(event, EligibilityDecision)
        ]
        assert {verdict.reasons[0] for verdict in verdicts} == {"the order was cancelled"}
        assert {verdict.eligible for verdict in verdicts} == {False}


def test_a_series_of_an_emergency_starts_first_and_routine_work_waits_for_its_hours(
    kafka: str, tmp_path: Path
) -> None:
    hospital = Hospital(kafka)
    emergency, routine = new_study(), new_study()
    now = datetime.now(UTC)
    begin, end = (f"{(now + timedelta(hours=hours)):%H:%M}" for hours in (2, 4))
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        DEFAULT_FILE.read_text(encoding="utf-8").replace(
            "windows: []", f'windows: [{{ priority: [p4-routine], begin: "{begin}", end: "{end}" }}]'
        ),
        encoding="utf-8",
    )
    hospital.order(emergency, order_priority="S")
    hospital.order(routine, order_priority="R", patient_class="O")
    with processor(kafka, tmp_path / "log", node="n1", rules=rules), Seen(kafka, *TOPICS) as seen:
        hospital.images(routine)
        hospital.images(emergency)
        number = 0
        while not tasks(seen, emergency):
            assert number < 600, "no series started"
            hospital.images(emergency, 1, first=number, series=2, modality="CT")
            number += 1
            settle(seen, 0.1)
        seen.wait_for([emergency], StudyReady, 2)
        seen.wait_for([routine], InferenceTask)
        settle(seen)
        assert [(ready.revision, ready.complete) for ready in seen.studies(emergency)] == [(1, False), (2, True)]
        (task,) = tasks(seen, emergency)
        assert (task.partial, task.priority) == (True, Priority.P1_EMERGENCY)
        (waits,) = tasks(seen, routine)
        assert waits.not_before is not None
        assert f"{waits.not_before:%H:%M}" == begin
        assert timedelta(0) < waits.not_before - now <= timedelta(hours=2)
        assert waits.deadline == waits.not_before + timedelta(hours=4)


def test_a_late_image_withdraws_the_older_task_with_its_own_and_once_over_a_kill(
    kafka: str, tmp_path: Path
) -> None:
    hospital, study, node = Hospital(kafka), new_study(), f"n{random.randrange(10**9)}"
    with Seen(kafka, *TOPICS) as seen:
        with processor(kafka, tmp_path / "one", node=node) as child:
            hospital.images(study)
            seen.wait_for([study], InferenceTask)
            hospital.images(study, 1, first=IMAGES)
            seen.wait_for([study], InferenceTask, 2)
            # the command is of the same transaction as the task
            seen.wait_for([study], TaskCommand)
            child.kill()
            child.wait()
        with processor(kafka, tmp_path / "two", node=node):
            settle(seen)
    first, second = sorted(tasks(seen, study), key=lambda task: task.revision)
    (command,) = commands(seen, study)
    assert (command.kind, command.task_id, command.unless_begun) == (CommandKind.CANCEL, first.task_id, True)
    assert second.deadline == first.deadline
