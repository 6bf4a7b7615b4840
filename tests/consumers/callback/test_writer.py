"""The callback writer on a real Kafka, with real requesters."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from consumers.callback import signature
from consumers.callback.allowed import Allowed
from consumers.callback.client import CallbackClient
from consumers.callback.destination import CallbackDestination
from consumers.delivery.limits import Limits
from consumers.delivery.service import limits_of
from schemas.destinations import WriterSettings
from schemas.events import DeliveryStatus, InferenceResult, ResultOutcome
from schemas.headers import header
from schemas.settings import KafkaSettings
from tests.consumers.callback.requester import Came, Reply, Requester, requester
from tests.consumers.delivery.bench import Bench, fresh_study, result_of
from tests.consumers.delivery.items import adjudication
from tests.services import wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration

KEY = b"k" * 32


@pytest.fixture
def bench(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_settings.bootstrap_servers)
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)
    bench = Bench(kafka_settings)
    bench.name = f"callback-{bench.group[-12:]}"
    return bench


def destination(bench: Bench, *ports: int, timeout_s: float = 20.0) -> CallbackDestination:
    def loopback(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    client = CallbackClient("scanstream test", timeout_s, allow_private=True, resolver=loopback)
    made = CallbackDestination(client, Allowed([f"ris.example:{port}" for port in ports], allow_http=True), KEY)
    made.name = bench.name  # type: ignore[misc] # outcomes of this test must be told from others
    return made


def asked_by(port: int, study: str = "", revision: int = 1) -> InferenceResult:
    url = f"http://ris.example:{port}/results"
    return replace(result_of(study or fresh_study(), revision), callback_url=url)


def limits(made: CallbackDestination) -> Limits:
    delays = (0.3, 0.3, 0.3)
    return replace(
        limits_of(WriterSettings(), made), retry_delays_s=delays, probe_longest_s=0.2, probe_first_s=0.05
    )


def studies_of(server: Requester) -> list[str]:
    found = []
    for came in server.came:
        study = came.body.decode().partition('"study_instance_uid":"')[2].partition('"')[0]
        found.append(study)
    return found


def test_results_and_verdicts_are_told_signed_and_those_of_nobody_are_passed_over(bench: Bench) -> None:
    with requester() as server:
        made = destination(bench, server.port)
        result = asked_by(server.port)
        failed = replace(
            asked_by(server.port), outcome=ResultOutcome.COULD_NOT_RUN, findings=(), reason="slices are missing"
        )
        before = bench.committed()
        with bench.writer(made, limits(made)):
            bench.send(result_of(fresh_study()), result, failed)
            bench.judge(adjudication(result))
            outcomes = bench.wait_for_outcomes(3)
            wait_for(lambda: bench.committed() == before + 3, "the offsets")
    assert {outcome.status for outcome in outcomes} == {DeliveryStatus.STORED}
    assert len({outcome.event_id for outcome in outcomes}) == 3, "nothing is told of the one that nobody waits for"
    kinds = [b'"result.reviewed"' in came.body for came in server.came if result.task_id.encode() in came.body]
    assert kinds == [False, True]
    assert any(b"slices are missing" in came.body for came in server.came)
    for came in server.came:
        moment = datetime.fromtimestamp(int(came.headers["webhook-timestamp"]), UTC)
        expected = signature.headers(KEY, came.headers["webhook-id"], came.body, moment)
        assert came.headers["webhook-signature"] == expected["webhook-signature"]


def test_a_study_that_is_answered_500_is_dead_lettered_with_its_reason_and_the_rest_flows(bench: Bench) -> None:
    poison = fresh_study()

    def script(came: Came) -> Reply:
        return Reply(500) if poison in came.body.decode() else Reply()

    with requester(script) as server:
        made = destination(bench, server.port)
        healthy = [asked_by(server.port) for _ in range(20)]
        with bench.writer(made, limits(made)):
            bench.send(asked_by(server.port, poison), *healthy)
            outcomes = {one.study_instance_uid: one for one in bench.wait_for_outcomes(21)}
    assert (outcomes[poison].status, outcomes[poison].attempt) == (DeliveryStatus.FAILED, 4)
    assert {outcomes[one.study_instance_uid].attempt for one in healthy} == {1}
    (letter,) = bench.dead_letters()
    assert f"ris.example:{server.port} failed on this callback (500)" in str(
        header(letter.headers(), "scanstream_reason")
    )
    assert len({came.headers["webhook-id"] for came in server.came if poison in came.body.decode()}) == 1


def test_requesters_that_are_away_slow_or_not_allowed_hold_up_nobody_else(bench: Bench) -> None:
    away, stranger, never = free_port(), free_port(), threading.Event()
    with requester() as server, requester(lambda _: Reply(wait=never)) as slow:
        made = destination(bench, server.port, slow.port, away, timeout_s=30.0)
        waiting = [asked_by(port) for port in (away, slow.port) for _ in range(6)]
        refused = [asked_by(stranger) for _ in range(15)]
        healthy = [asked_by(server.port) for _ in range(20)]
        with bench.writer(made, limits(made)):
            bench.send(*waiting, *refused, *healthy)
            outcomes = {one.study_instance_uid: one for one in bench.wait_for_outcomes(35)}
            never.set()
            wait_for(lambda: len(slow.came) >= 6, "the slow one")
    assert {outcomes[one.study_instance_uid].status for one in healthy} == {DeliveryStatus.STORED}
    assert {outcomes[one.study_instance_uid].status for one in refused} == {DeliveryStatus.FAILED}
    assert {outcomes[one.study_instance_uid].attempt for one in refused} == {1}
    assert len(bench.dead_letters()) == 15, "so many in a row would stop another writer"
    assert len(server.came) == 20


def test_a_requester_that_comes_back_gets_everything_once_in_order(bench: Bench) -> None:
    busy = threading.Event()
    busy.set()
    study = fresh_study()

    def script(came: Came) -> Reply:
        return Reply(503, {"Retry-After": "0"}) if busy.is_set() else Reply()

    with requester(script) as server:
        made = destination(bench, server.port)
        with bench.writer(made, limits(made)):
            bench.send(*(asked_by(server.port, study, revision) for revision in range(1, 6)))
            wait_for(lambda: len(server.came) >= 3, "some attempts")
            assert bench.outcomes() == []
            busy.clear()
            before = len(server.came)
            outcomes = bench.wait_for_outcomes(5)
    revisions = [int(came.body.decode().partition('"revision":')[2][0]) for came in server.came[before:]]
    assert revisions[-5:] == [1, 2, 3, 4, 5]
    assert {outcome.attempt for outcome in outcomes} == {1}
    assert bench.dead_letters() == []
