"""The delivery runtime on a real Kafka."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from consumers.delivery.brake import BrakeApplied
from consumers.destination import SourceUnavailable
from schemas.errors import DestinationUnavailable, InvalidMessage, PermanentRejection, TransientFailure
from schemas.events import DeliveryStatus, InferenceResult, ObjectOutcome, ResultOutcome
from schemas.headers import header
from schemas.settings import KafkaSettings
from schemas.topics import Priority
from tests.consumers.delivery.bench import QUICK, STORED, Bench, Scripted, fresh_study, result_of
from tests.services import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_settings.bootstrap_servers)
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)
    return Bench(kafka_settings)


def failing(error: Exception, times: int) -> Callable[[InferenceResult], tuple[ObjectOutcome, ...]]:
    """A script that raises ``times`` times for each study and then stores."""
    seen: dict[str, int] = {}

    def script(result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        seen[result.study_instance_uid] = seen.get(result.study_instance_uid, 0) + 1
        if seen[result.study_instance_uid] <= times:
            raise error
        return STORED

    return script


def test_results_are_delivered_once_in_order_with_one_outcome_each(bench: Bench) -> None:
    destination = Scripted(bench.name)
    studies = [fresh_study() for _ in range(4)]
    sent = [result_of(study, revision) for revision in (1, 2, 3) for study in studies]
    before = bench.committed()
    with bench.writer(destination):
        bench.send(*sent)
        outcomes = bench.wait_for_outcomes(12)
    assert len(outcomes) == 12
    assert {outcome.status for outcome in outcomes} == {DeliveryStatus.STORED}
    for study in studies:
        assert [revision for uid, revision in destination.delivered if uid == study] == [1, 2, 3]
    assert bench.committed() == before + 12, "offsets are committed with the outcomes"
    with bench.writer(destination) as process:
        bench.send(result_of(studies[0], 4))
        bench.wait_for_outcomes(13)
        metrics = process.telemetry.exposition().decode()
    assert len(destination.delivered) == 13, "a restart repeats nothing"
    assert f'scanstream_deliveries_total{{destination="{bench.name}",status="stored"}} 1.0' in metrics


def test_away_then_back_delivers_everything_once_in_order(bench: Bench) -> None:
    away = threading.Event()
    away.set()

    def check() -> None:
        if away.is_set():
            raise DestinationUnavailable("the PACS does not answer: start it")

    def script(result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        check()
        return STORED

    destination = Scripted(bench.name, script, check)
    study = fresh_study()
    with bench.writer(destination) as process:
        bench.send(*(result_of(study, revision) for revision in range(1, 6)))
        wait_for(lambda: destination.probes >= 3, "three probes")
        assert destination.delivered == []
        up = f'scanstream_destination_up{{destination="{bench.name}"}}'
        assert f"{up} 0.0" in process.telemetry.exposition().decode()
        bench.send(*(result_of(study, revision) for revision in range(6, 9)))
        away.clear()
        outcomes = bench.wait_for_outcomes(8)
        wait_for(lambda: f"{up} 1.0" in process.telemetry.exposition().decode(), "the gauge to rise")
    assert destination.delivered == [(study, revision) for revision in range(1, 9)]
    assert [outcome.attempt for outcome in outcomes] == [1] * 8, "waiting is not an attempt"
    assert bench.dead_letters() == []


def test_a_destination_that_answers_probes_but_takes_nothing_is_waited_for(bench: Bench) -> None:
    destination = Scripted(bench.name, failing(DestinationUnavailable("busy: wait", 0.01), 4))
    with bench.writer(destination):
        bench.send(result_of(fresh_study()))
        (outcome,) = bench.wait_for_outcomes(1)
    assert (outcome.status, outcome.attempt) == (DeliveryStatus.STORED, 1)
    assert destination.probes >= 4


def test_a_gateway_that_is_gone_holds_up_only_its_own_results(bench: Bench) -> None:
    gone = threading.Event()
    gone.set()

    def script(result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        if "gone" in result.retrieve_url and gone.is_set():
            raise SourceUnavailable("the gateway does not answer: start it")
        return STORED

    destination = Scripted(bench.name, script)
    waiting = [
        replace(result_of(fresh_study()), retrieve_url="http://gone:1/dicom-web/studies/1") for _ in range(5)
    ]
    others = [result_of(fresh_study()) for _ in range(20)]
    with bench.writer(destination):
        bench.send(*waiting, *others)
        outcomes = bench.wait_for_outcomes(20)
        assert {one.study_instance_uid for one in outcomes} == {one.study_instance_uid for one in others}
        gone.clear()
        outcomes = bench.wait_for_outcomes(25)
    assert {outcome.attempt for outcome in outcomes} == {1}
    assert destination.probes == 0


def test_a_transient_failure_is_retried_and_its_study_keeps_its_order(bench: Bench) -> None:
    study, other = fresh_study(), fresh_study()

    def script(result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        if result.study_instance_uid == study and result.revision == 1:
            return first(result)
        return STORED

    first = failing(TransientFailure("not now: wait"), 2)
    destination = Scripted(bench.name, script)
    with bench.writer(destination):
        bench.send(result_of(study, 1), result_of(study, 2), result_of(other, 1))
        outcomes = bench.wait_for_outcomes(3)
    assert [revision for uid, revision in destination.delivered if uid == study] == [1, 2]
    assert destination.delivered[0] == (other, 1), "others do not wait for it"
    attempts = {(outcome.study_instance_uid, outcome.revision): outcome.attempt for outcome in outcomes}
    assert attempts == {(study, 1): 3, (study, 2): 1, (other, 1): 1}
    assert bench.dead_letters() == []


def test_a_retry_survives_a_restart_and_still_comes_first(bench: Bench) -> None:
    study = fresh_study()
    refusing = Scripted(bench.name, failing(TransientFailure("not now: wait"), 1))
    slow = replace(QUICK, retry_delays_s=(2.0,))
    before = bench.committed()
    with bench.writer(refusing, slow):
        bench.send(result_of(study, 1))
        wait_for(lambda: bench.committed() == before + 1, "the retry to be committed")
    bench.send(result_of(study, 2))
    destination = Scripted(bench.name)
    with bench.writer(destination, slow):
        bench.wait_for_outcomes(2)
    assert destination.delivered == [(study, 1), (study, 2)]


def test_poison_ends_in_the_dead_letter_topic_after_its_attempts(bench: Bench) -> None:
    poison, healthy = fresh_study(), fresh_study()

    def script(result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        if result.study_instance_uid == poison:
            raise ZeroDivisionError("Patient Ivanov divided by zero")
        return STORED

    with bench.writer(Scripted(bench.name, script)):
        bench.send(result_of(poison), result_of(healthy))
        outcomes = {outcome.study_instance_uid: outcome for outcome in bench.wait_for_outcomes(2)}
    assert outcomes[healthy].status is DeliveryStatus.STORED
    assert (outcomes[poison].status, outcomes[poison].attempt) == (DeliveryStatus.FAILED, 4)
    (letter,) = bench.dead_letters()
    told = letter.headers()
    assert header(told, "scanstream_topic") == "inference.results"
    assert header(told, "scanstream_attempt") == "4"
    assert header(told, "ce_type") == "scanstream.v1.InferenceResult"
    reason = header(told, "scanstream_reason") or ""
    assert "ZeroDivisionError at test_runtime.py" in reason
    assert "Ivanov" not in reason + str(outcomes[poison].reason), "the text of a defect may quote the patient"


@pytest.mark.parametrize(
    "error", [InvalidMessage("the mask does not fit: run again"), PermanentRejection("refused: ask the PACS", 409)]
)
def test_what_can_never_succeed_is_not_retried(bench: Bench, error: Exception) -> None:
    with bench.writer(Scripted(bench.name, failing(error, 99))):
        bench.send(result_of(fresh_study()))
        (outcome,) = bench.wait_for_outcomes(1)
    assert (outcome.status, outcome.attempt) == (DeliveryStatus.FAILED, 1)
    assert str(error) in str(outcome.reason)
    assert len(bench.dead_letters()) == 1


def test_bytes_that_are_no_event_are_dead_lettered_and_the_next_result_delivered(bench: Bench) -> None:
    with bench.writer(Scripted(bench.name)):
        bench.send_bytes(b"not Avro at all")
        bench.send(result_of(fresh_study()))
        (outcome,) = bench.wait_for_outcomes(1)
        wait_for(lambda: len(bench.dead_letters()) == 1, "the dead letter")
    assert outcome.status is DeliveryStatus.STORED
    (letter,) = bench.dead_letters()
    assert letter.value() == b"not Avro at all"
    assert header(letter.headers(), "scanstream_error") == "InvalidMessage"


def test_a_partly_refused_result_says_so_and_can_be_replayed(bench: Bench) -> None:
    refused = ObjectOutcome("1.2", "1.4", DeliveryStatus.FAILED, status_code=0x0122, reason="refused: enable it")
    with bench.writer(Scripted(bench.name, lambda _: (*STORED, refused))):
        bench.send(result_of(fresh_study()))
        (outcome,) = bench.wait_for_outcomes(1)
    assert outcome.status is DeliveryStatus.PARTIAL
    assert outcome.objects == (*STORED, refused)
    assert len(bench.dead_letters()) == 1


def test_a_run_that_could_not_run_is_skipped_with_its_reason(bench: Bench) -> None:
    destination = Scripted(bench.name, lambda _: ())
    could_not_run = replace(
        result_of(fresh_study()), outcome=ResultOutcome.COULD_NOT_RUN, findings=(), reason="slices are missing"
    )
    unwanted = result_of(fresh_study())
    with bench.writer(destination):
        bench.send(could_not_run, unwanted)
        outcomes = {outcome.study_instance_uid: outcome for outcome in bench.wait_for_outcomes(2)}
    assert {outcome.status for outcome in outcomes.values()} == {DeliveryStatus.SKIPPED}
    assert "slices are missing" in str(outcomes[could_not_run.study_instance_uid].reason)
    assert destination.delivered == [(unwanted.study_instance_uid, 1)]


def test_an_emergency_overtakes_the_backlog_and_survives_a_restart_without_a_second_delivery(
    bench: Bench,
) -> None:
    """Its offset lies behind those it overtook; the book of finished offsets travels with the commit."""
    gate, urgent = threading.Semaphore(0), fresh_study()

    def script(result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        assert gate.acquire(timeout=60)
        return STORED

    routine = [result_of(fresh_study(), priority=Priority.P4_ROUTINE) for _ in range(30)]
    destination = Scripted(bench.name, script)
    narrow = replace(QUICK, concurrency=1, drain_s=0.2)
    bench.send(*routine, result_of(urgent, priority=Priority.P1_EMERGENCY))
    with bench.writer(destination, narrow) as process:
        consumed = 'scanstream_messages_consumed_total{topic="inference.results"} 31.0'
        wait_for(lambda: consumed in process.telemetry.exposition().decode(), "all results to be read")
        gate.release()
        gate.release()
        bench.wait_for_outcomes(2)
    assert (urgent, 1) in destination.delivered[:2], "it waited at most for the one under way"

    again = Scripted(bench.name)
    with bench.writer(again):
        outcomes = bench.wait_for_outcomes(31)
    assert (urgent, 1) not in again.delivered
    assert len(outcomes) == len({outcome.event_id for outcome in outcomes}) == 31


def test_the_brake_stops_a_writer_that_only_makes_dead_letters_and_keeps_the_rest(bench: Bench) -> None:
    limits = replace(QUICK, max_consecutive_dead=3, concurrency=1)
    destination = Scripted(bench.name, failing(PermanentRejection("refused: ask the PACS"), 99))
    before = bench.committed()
    with (
        pytest.raises(BrakeApplied, match="3 results in a row"),
        bench.writer(destination, limits) as process,
    ):
        bench.send(*(result_of(fresh_study()) for _ in range(8)))
        assert process.stop.wait(60)
    assert len(bench.dead_letters()) == 3
    assert bench.committed() <= before + 3
    healed = Scripted(bench.name)
    with bench.writer(healed):
        bench.wait_for_outcomes(8)
    assert len(healed.delivered) == 5, "what was not dead-lettered is still there"


def test_a_second_writer_takes_its_share_and_nothing_is_delivered_twice(bench: Bench) -> None:
    first, second = Scripted(bench.name), Scripted(bench.name)
    studies = [fresh_study() for _ in range(40)]
    with bench.writer(first, place="1"):
        bench.send(*(result_of(study) for study in studies[:20]))
        bench.wait_for_outcomes(20)
        with bench.writer(second, place="2"):

            def both_work() -> bool:
                bench.send(result_of(fresh_study()))
                return bool(second.delivered)

            wait_for(both_work, "the second writer to get a partition")
            bench.send(*(result_of(study) for study in studies[20:]))
            wait_for(lambda: set(studies) <= {one.study_instance_uid for one in bench.outcomes()}, "all outcomes")
            outcomes = bench.outcomes()
    assert first.delivered
    assert len(outcomes) == len({outcome.event_id for outcome in outcomes})
