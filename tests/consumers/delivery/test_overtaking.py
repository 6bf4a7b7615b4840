"""Urgent results, verdicts and a large backlog, on a real Kafka."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from producers.process import Process
from schemas.events import DeliveryStatus, InferenceResult, ObjectOutcome
from schemas.headers import header
from schemas.settings import KafkaSettings
from schemas.topics import Priority
from tests.consumers.delivery.bench import QUICK, STORED, Bench, Reviewed, Scripted, fresh_study, result_of
from tests.consumers.delivery.items import adjudication
from tests.services import wait_for

pytestmark = pytest.mark.integration

BACKLOG = 10_000


@pytest.fixture
def bench(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_settings.bootstrap_servers)
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)
    return Bench(kafka_settings)


def read(process: Process) -> int:
    """How many results a writer has read."""
    consumed = "scanstream_messages_consumed_total"
    return int(process.telemetry.registry.get_sample_value(consumed, {"topic": "inference.results"}) or 0)


def test_an_emergency_is_delivered_at_once_behind_ten_thousand_routine_results(bench: Bench) -> None:
    """Only a small part of them fits into the memory that is allowed."""
    gate = threading.Semaphore(0)

    def script(result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        assert gate.acquire(timeout=120)
        return STORED

    routine = result_of(fresh_study(), priority=Priority.P4_ROUTINE)
    limits = replace(QUICK, held_bytes=1024 * 1024, drain_s=0.2)
    bench.send(*(replace(routine, study_instance_uid=fresh_study()) for _ in range(BACKLOG)))
    destination, urgent = Scripted(bench.name, script), [fresh_study() for _ in range(3)]
    with bench.writer(destination, limits) as process:
        wait_for(lambda: read(process) == BACKLOG, "the backlog to be known")
        for number, study in enumerate(urgent):
            bench.send(result_of(study, priority=Priority.P1_EMERGENCY))
            consumed = (
                f'scanstream_messages_consumed_total{{topic="inference.results"}} {BACKLOG + number + 1:.1f}'
            )
            wait_for(lambda known=consumed: known in process.telemetry.exposition().decode(), "it to be known")
            before = len(destination.delivered)
            for _ in range(limits.concurrency + 1):
                gate.release()
            wait_for(lambda known=before: len(destination.delivered) > known + limits.concurrency, "deliveries")
            assert (study, 1) in destination.delivered[before:], "it waited only for those under way"
    seen = len(destination.delivered)
    again = Scripted(bench.name)
    with bench.writer(again, limits):
        wait_for(lambda: len(again.delivered) >= 500, "the backlog to go on")
    assert not {study for study, _ in again.delivered} & set(urgent)
    assert len({*destination.delivered, *again.delivered}) >= seen + 500 - limits.concurrency


def test_what_does_not_fit_into_memory_is_read_again_and_delivered_once_in_order(bench: Bench) -> None:
    studies = [fresh_study() for _ in range(25)]
    sent = [result_of(study, revision) for revision in range(1, 13) for study in studies]
    bench.send(*sent)
    destination = Scripted(bench.name)
    with bench.writer(destination, replace(QUICK, held_bytes=10_000)):
        wait_for(lambda: len(destination.delivered) >= len(sent), "all deliveries")
        bench.wait_for_outcomes(len(sent))
    assert len(destination.delivered) == len(sent)
    for study in studies:
        assert [revision for uid, revision in destination.delivered if uid == study] == list(range(1, 13))


def test_reading_ahead_has_an_end_and_goes_on_behind_it(bench: Bench) -> None:
    gate = threading.Semaphore(0)

    def script(result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        assert gate.acquire(timeout=120)
        return STORED

    routine = result_of(fresh_study())
    bench.send(*(replace(routine, study_instance_uid=fresh_study()) for _ in range(3000)))
    destination = Scripted(bench.name, script)
    with bench.writer(destination, replace(QUICK, read_ahead=20)) as process:
        wait_for(lambda: read(process) >= 20, "the first")
        gate.release()
        wait_for(lambda: len(destination.delivered) == 1, "one delivery")
        assert read(process) < 2000, "only what was at hand already"
        for _ in range(3000):
            gate.release()
        wait_for(lambda: len(destination.delivered) == 3000, "all")
    assert len(set(destination.delivered)) == 3000


def test_verdicts_follow_their_results_also_out_of_a_backlog(bench: Bench) -> None:
    studies = [fresh_study() for _ in range(20)]
    for revision in (1, 2):
        results = [result_of(study, revision) for study in studies]
        bench.send(*results)
        time.sleep(0.002)  # Kafka's timestamps are of milliseconds
        bench.judge(*(adjudication(result) for result in results))
        time.sleep(0.002)
    destination = Reviewed(bench.name)
    with bench.writer(destination):
        outcomes = bench.wait_for_outcomes(80)
        live = result_of(fresh_study(), 3)
        bench.send(live)
        bench.judge(adjudication(live))
        bench.wait_for_outcomes(82)
    for study in studies:
        assert [what for uid, what in destination.delivered if uid == study] == [1, -1, 2, -2]
    assert [what for uid, what in destination.delivered if uid == live.study_instance_uid] == [3, -3]
    assert len({outcome.event_id for outcome in outcomes}) == 80
    assert {outcome.status for outcome in outcomes} == {DeliveryStatus.STORED}


def test_a_verdict_without_its_result_is_dead_lettered(bench: Bench) -> None:
    healthy = result_of(fresh_study())
    with bench.writer(Reviewed(bench.name)):
        bench.judge(replace(adjudication(healthy), result=None))
        bench.send(healthy)
        bench.wait_for_outcomes(1)
        wait_for(lambda: len(bench.dead_letters()) == 1, "the dead letter")
    (letter,) = bench.dead_letters()
    assert header(letter.headers(), "scanstream_topic") == "review.adjudications"
    assert "without its result" in str(header(letter.headers(), "scanstream_reason"))


def test_a_limited_writer_keeps_its_rate(bench: Bench) -> None:
    destination = Scripted(bench.name)
    with bench.writer(destination, replace(QUICK, per_second=10.0)):
        bench.send(*(result_of(fresh_study()) for _ in range(20)))
        bench.wait_for_outcomes(20)
    # twenty at ten per second, of which at most ten at once after an idle moment
    assert destination.times[-1] - destination.times[0] >= 0.9


def test_what_is_under_way_when_the_writer_must_stop_is_still_committed(bench: Bench) -> None:
    started = threading.Event()

    def script(result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        started.set()
        time.sleep(0.5)
        return STORED

    destination = Scripted(bench.name, script)
    with bench.writer(destination, replace(QUICK, drain_s=30.0, concurrency=1)) as process:
        bench.send(*(result_of(fresh_study()) for _ in range(3)))
        assert started.wait(60)
        process.stop.set()
    assert len(destination.delivered) == len(bench.outcomes()) == 1, "it ends, and nothing new begins"
