"""The ORU writer on a real Kafka: orders, outages and refusals of a listener."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from consumers.oru.destination import OruDestination
from consumers.oru.link import Link
from producers.hl7.client import Listener
from producers.hl7.mllp import frame
from producers.hl7.read import Message
from schemas.destinations import OruSettings
from schemas.events import Decision, DeliveryStatus, ResultOutcome
from schemas.headers import header
from schemas.ids import event_id
from schemas.settings import KafkaSettings
from schemas.terminology import Language
from tests.consumers.delivery.bench import QUICK, Bench, fresh_study, result_of
from tests.consumers.oru.cases import judged, obr_of
from tests.consumers.oru.listener import Answers, accept, ack, scripted
from tests.consumers.oru.test_destination import Known
from tests.services import wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_settings.bootstrap_servers)
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)
    bench = Bench(kafka_settings)
    bench.name = f"oru-{bench.group[-12:]}"
    return bench


@contextmanager
def destination(bench: Bench, port: int) -> Iterator[OruDestination]:
    link = Link(Listener("127.0.0.1", port, "SCANSTREAM_ORU"), 60.0)
    with closing(OruDestination(bench.name, link, Known(), OruSettings(), Language.ENGLISH)) as made:
        yield made


def study_and_status(payload: bytes) -> tuple[str, str]:
    message = Message.of(payload)
    return message.all("OBX")[0].value(5), obr_of(message).value(25)


def test_results_failures_and_verdicts_come_in_their_order(bench: Bench) -> None:
    study = fresh_study()
    result = result_of(study)
    failed = replace(
        result_of(fresh_study()), outcome=ResultOutcome.COULD_NOT_RUN, findings=(), reason="no slices"
    )
    failed = replace(failed, task_id=event_id("task", failed.study_instance_uid))
    with scripted() as listener, destination(bench, listener.port) as made, bench.writer(made):
        bench.send(result, failed)
        bench.judge(judged(result, 0, Decision.CONFIRMED))
        outcomes = bench.wait_for_outcomes(3)
    assert {outcome.status for outcome in outcomes} == {DeliveryStatus.STORED}
    told = [study_and_status(payload) for payload in listener.received]
    assert [status for uid, status in told if uid == study] == ["P", "F"]
    assert [status for uid, status in told if uid != study] == ["X"]
    assert {one.identifier for outcome in outcomes for one in outcome.objects} == {
        Message.of(payload).header.value(10) for payload in listener.received
    }


def test_a_listener_that_comes_back_gets_everything_in_order(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    study = fresh_study()
    with scripted() as first:
        port = first.port
    with destination(bench, port) as made, bench.writer(made):
        bench.send(*(result_of(study, revision) for revision in range(1, 6)))
        wait_for(lambda: "destination is away" in caplog.text, "an attempt")
        assert bench.outcomes() == []
        with scripted(port=port) as listener:
            outcomes = bench.wait_for_outcomes(5)
    assert [outcome.revision for outcome in outcomes] == [1, 2, 3, 4, 5]
    assert {outcome.attempt for outcome in outcomes} == {1}
    assert len(listener.received) == 5
    assert bench.dead_letters() == []


def test_a_study_that_is_refused_is_dead_lettered_with_its_reason_and_the_rest_flows(bench: Bench) -> None:
    refused, crashing = result_of(fresh_study()), result_of(fresh_study())

    def choosy(control_id: str) -> Answers:
        study = study_and_status(listener.received[-1])[0]
        if study == refused.study_instance_uid:
            yield frame(ack("AE", control_id, "204", said="unknown patient Ґалаґан"))
        elif study == crashing.study_instance_uid:
            yield None
        else:
            yield from accept(control_id)

    healthy = [result_of(fresh_study()) for _ in range(10)]
    with scripted() as listener, destination(bench, listener.port) as made:
        listener.answers = choosy
        with bench.writer(made, replace(QUICK, concurrency=1)):
            bench.send(*healthy[:5], refused, crashing, *healthy[5:])
            outcomes = {one.study_instance_uid: one for one in bench.wait_for_outcomes(12)}
    assert {outcomes[one.study_instance_uid].status for one in healthy} == {DeliveryStatus.STORED}
    assert {outcomes[one.study_instance_uid].attempt for one in healthy} == {1}
    assert outcomes[refused.study_instance_uid].attempt == 1
    assert outcomes[crashing.study_instance_uid].attempt == 4
    reasons = [str(header(letter.headers(), "scanstream_reason")) for letter in bench.dead_letters()]
    assert any("AE (204 unknown key identifier, PID-3, unknown patient …)" in reason for reason in reasons)
    assert any("closed the connection without an answer" in reason for reason in reasons)
    assert len(reasons) == 2
