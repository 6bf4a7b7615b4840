"""The writer as it runs: real Kafka, real HTTP, real processes that are killed."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from schemas.events import Decision, EscalationStage
from schemas.ids import dicom_uid, event_id
from schemas.settings import KafkaSettings
from tests.consumers.escalation.findings import answer, critical, three_contacts, verdict
from tests.consumers.escalation.receiver import Receiver, receiver
from tests.consumers.escalation.running import Steps, publish, rewind, writer
from tests.tools import free_port

pytestmark = pytest.mark.integration

OPENED, NOTIFIED, FAILED = EscalationStage.OPENED, EscalationStage.NOTIFIED, EscalationStage.NOTIFY_FAILED


def fresh(name: str) -> str:
    return f"{name}-{time.time_ns()}"


def uid(name: str) -> str:
    return dicom_uid("study", name)


@pytest.fixture
def people() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def steps(kafka_settings: KafkaSettings) -> Iterator[Steps]:
    reader = Steps(kafka_settings)
    yield reader
    reader.close()


def test_contacts_are_told_in_turn_until_somebody_answers(
    kafka_settings: KafkaSettings, people: Receiver, steps: Steps, tmp_path: Path
) -> None:
    silent, answered, rejected = fresh("silent"), fresh("answered"), fresh("rejected")
    port = free_port()
    with writer(kafka_settings, three_contacts(people.url, wait_s=2), tmp_path, SCANSTREAM_METRICS_PORT=str(port)):
        results = {name: critical(name) for name in (silent, answered, rejected)}
        publish(kafka_settings, *results.values())
        opened = steps.wait(uid(answered), NOTIFIED)
        publish(kafka_settings, answer(opened), verdict(results[rejected], Decision.REJECTED))

        over = steps.wait(uid(silent), EscalationStage.EXHAUSTED)
        told = people.of(uid(silent))
        assert [(one.json["contact"], one.path) for one in told] == [
            ("first", "sms"),
            ("second", "mail"),
            ("third", "pager"),
        ]
        assert [later.at - earlier.at > 1.9 for earlier, later in itertools.pairwise(told)] == [
            True,
            True,
        ]
        assert len({one.headers["idempotency-key"] for one in told}) == 3
        assert over.reason is not None and over.reason.startswith("nobody acknowledged")
        assert steps.stages(uid(silent)) == [OPENED, NOTIFIED, NOTIFIED, NOTIFIED, EscalationStage.EXHAUSTED]

        assert [one.json["contact"] for one in people.of(uid(answered))] == ["first"]
        done = steps.wait(uid(answered), EscalationStage.ACKNOWLEDGED)
        assert (done.actor, done.reason) == ("neurosurgeon-on-call", "Беру на себе")
        gone = steps.wait(uid(rejected), EscalationStage.WITHDRAWN)
        assert (gone.actor, gone.reason) == ("reader-1", "verdict: rejected")
        assert len(people.of(uid(rejected))) == 1

        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert re.search(r'^scanstream_escalations_total\{stage="exhausted"\} [1-9]', metrics, re.MULTILINE)
        assert re.search(r"^scanstream_escalation_notice_seconds_count [3-9]", metrics, re.MULTILINE)
        assert re.search(r"^scanstream_escalations_open [0-9]", metrics, re.MULTILINE)
    assert "Крововилив" in told[0].json["subject"] or "крововилив" in told[0].json["subject"]
    assert told[0].json["acknowledge_url"].startswith("http://127.0.0.1:8080/escalations/")


def test_a_channel_that_is_away_or_refuses_makes_the_next_be_told_at_once(
    kafka_settings: KafkaSettings, people: Receiver, steps: Steps, tmp_path: Path
) -> None:
    study = fresh("away")
    people.answers |= {"sms": 503, "pager": 404}
    with writer(kafka_settings, three_contacts(people.url, retry_after_s=(1, 2)), tmp_path):
        publish(kafka_settings, critical(study))
        people.wait(uid(study), 5)
        told = [(one.json["contact"], one.path) for one in people.of(uid(study))]
        assert told == [
            ("first", "sms"),
            ("first", "pager"),
            ("second", "mail"),
            ("first", "sms"),
            ("first", "sms"),
        ]
        keys = [one.headers["idempotency-key"] for one in people.of(uid(study)) if one.path == "sms"]
        assert len(set(keys)) == 1
        step = steps.wait(uid(study), FAILED, count=4)
        assert step.reason is not None and "503" in step.reason
        first, third = people.of(uid(study))[0].at, people.of(uid(study))[2].at
        assert third - first < 5
        assert steps.wait(uid(study), NOTIFIED).contact == "second"


def test_a_writer_killed_between_opening_and_notice_tells_after_its_restart(
    kafka_settings: KafkaSettings, people: Receiver, steps: Steps, tmp_path: Path
) -> None:
    study = fresh("killed")
    people.answers["sms"] = None  # takes the request and never answers: the notice is never noted
    routes = three_contacts(people.url)
    with writer(kafka_settings, routes, tmp_path) as child:
        publish(kafka_settings, critical(study))
        people.wait(uid(study), 1)
        child.kill()
        child.wait()
    assert steps.stages(uid(study)) == [OPENED]
    people.answers["sms"] = 204
    with writer(kafka_settings, routes, tmp_path):
        first, again = people.wait(uid(study), 2)
        assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
        steps.wait(uid(study), NOTIFIED)
    assert steps.stages(uid(study)) == [OPENED, NOTIFIED]


def test_neither_a_replay_from_the_beginning_nor_a_second_run_alarms_twice(
    kafka_settings: KafkaSettings, people: Receiver, steps: Steps, tmp_path: Path
) -> None:
    open_, answered, marker = fresh("open"), fresh("done"), fresh("marker")
    routes = three_contacts(people.url)
    with writer(kafka_settings, routes, tmp_path):
        publish(kafka_settings, critical(open_), critical(answered))
        steps.wait(uid(open_), NOTIFIED)
        publish(kafka_settings, answer(steps.wait(uid(answered), NOTIFIED)))
        steps.wait(uid(answered), EscalationStage.ACKNOWLEDGED)
    rewind(kafka_settings)
    with writer(kafka_settings, routes, tmp_path):
        publish(kafka_settings, critical(open_, run="again"), critical(answered, revision=2))
        publish(kafka_settings, critical(open_), critical(marker))
        people.wait(uid(marker), 1)
        # the marker's partition is not everyone's: wait until each study's second result is behind the writer
        for name in (open_, answered):
            publish(kafka_settings, critical(name, site=None))
            people.wait(uid(name), 2)
    for name in (open_, answered):
        assert steps.stages(uid(name)).count(OPENED) == 2  # one about the brain, one about no site
        assert len({step.escalation_id for step in steps.of(uid(name))}) == 2


def test_a_second_process_takes_over_alarms_of_one_that_is_killed(
    kafka_settings: KafkaSettings, people: Receiver, steps: Steps, tmp_path: Path
) -> None:
    names = [fresh(f"shared-{number}") for number in range(12)]
    routes = three_contacts(people.url, wait_s=4)
    with writer(kafka_settings, routes, tmp_path, "esc-a"), writer(kafka_settings, routes, tmp_path, "esc-b") as b:
        publish(kafka_settings, *(critical(name) for name in names))
        for name in names:
            steps.wait(uid(name), NOTIFIED)
        b.kill()
        for name in names:
            told = people.wait(uid(name), 2)
            assert [one.json["contact"] for one in told[:2]] == ["first", "second"]
    partitions = {partition for partition, step in steps.read if step.study_instance_uid in map(uid, names)}
    assert len(partitions) > 1
    for name in names:
        keys = [one.headers["idempotency-key"] for one in people.of(uid(name))]
        assert len(set(keys)) == len({(one.json["level"], one.path) for one in people.of(uid(name))})


def test_a_rehearsal_says_so_and_does_not_silence_the_real_alarm(
    kafka_settings: KafkaSettings, people: Receiver, steps: Steps, tmp_path: Path
) -> None:
    study = fresh("rehearsal")
    routes = three_contacts(people.url)
    with writer(kafka_settings, routes, tmp_path, SCANSTREAM_ESCALATION_REHEARSAL="true"):
        publish(kafka_settings, critical(study))
        (told,) = people.wait(uid(study), 1)
        assert told.json["rehearsal"] is True
        assert told.json["subject"].startswith("НАВЧАННЯ")
        assert steps.wait(uid(study), NOTIFIED).rehearsal
    with writer(kafka_settings, routes, tmp_path):
        publish(kafka_settings, critical(study))
        _, real = people.wait(uid(study), 2)
        assert real.json["rehearsal"] is False
    assert event_id("x") != real.json["id"] != told.json["id"]
