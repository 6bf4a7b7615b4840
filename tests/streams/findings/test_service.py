"""The findings process against a real Kafka: committed results only, each at least once, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest

from producers.topic_admin import create_topics
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.services import kafka_broker, stop, wait_for
from tests.streams.findings.running import Worker, Written, findings, result
from tests.tools import free_port

pytestmark = pytest.mark.integration


@dataclass
class Broker:
    """A Kafka of these tests alone, whose group of findings is theirs; it can be stopped and started again."""

    directory: Path
    port: int
    running: ExitStack

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.running.enter_context(kafka_broker(self.directory, self.port))

    def stop(self) -> None:
        self.running.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("kafka"), free_port(), ExitStack())
    with made.running:
        made.start()
        create_topics(KafkaSettings(bootstrap_servers=made.servers))
        yield made


@pytest.fixture
def written(broker: Broker) -> Iterator[Written]:
    made = Written(broker.servers, Topic.FINDINGS_BRAIN_VOLUME)
    yield made
    made.close()


def test_a_result_of_an_aborted_transaction_is_never_fanned_out(
    broker: Broker, written: Written, tmp_path: Path
) -> None:
    worker = Worker(broker.servers)
    # the first messages of the log are aborted: a new group begins before them
    aborted = [result(f"1.2.10.{study}") for study in range(12)]
    committed = [result(f"1.2.11.{study}") for study in range(12)]
    worker.fail(*aborted)
    with findings(broker.servers, tmp_path, "reader") as child:
        worker.finish(*committed[:6])
        worker.fail(*(result(one.study_instance_uid, 2) for one in aborted))
        worker.finish(*committed[6:])
        written.wait_for(*committed)
        written.poll()
        assert stop(child) == 0
    assert set(written.ids) == {one.study_instance_uid for one in committed}
    assert all(len(identifiers) == 1 for identifiers in written.ids.values())
    results = Written(broker.servers, Topic.RESULTS, uncommitted=True)
    wait_for(lambda: results.poll() or len(results.ids) == 24, "all results to be read")
    results.close()
    assert {study: written.partitions[study] for study in written.partitions} == {
        study: results.partitions[study] for study in written.partitions
    }


def test_a_new_process_goes_on_where_the_last_one_stopped(
    broker: Broker, written: Written, tmp_path: Path
) -> None:
    worker, first, second = Worker(broker.servers), result("1.2.20", 1), result("1.2.20", 2)
    with findings(broker.servers, tmp_path, "before") as child:
        worker.finish(first)
        written.wait_for(first)
        stop(child)
    worker.finish(second)
    with findings(broker.servers, tmp_path, "after"):
        written.wait_for(second)
    assert written.ids["1.2.20"] == [first.findings[0].event_id, second.findings[0].event_id]


def test_what_is_no_result_holds_nothing_up(broker: Broker, written: Written, tmp_path: Path) -> None:
    worker, good = Worker(broker.servers), result("1.2.3")
    for value in (b"", b"rubbish", b"\xc3\x01" + bytes(8)):
        worker.bytes(value)
    worker.finish(good)
    with findings(broker.servers, tmp_path, "patient") as child:
        written.wait_for(good)
        assert child.poll() is None
    log = (tmp_path / "patient.log").read_text()
    assert log.count("result not understood") == 3


def test_nothing_is_lost_when_workers_come_and_are_killed(
    broker: Broker, written: Written, tmp_path: Path
) -> None:
    worker = Worker(broker.servers)
    sent = []

    def send(rounds: range) -> None:
        for number in rounds:
            batch = [result(f"1.2.30.{study}", number) for study in range(10)]
            worker.finish(*batch)
            sent.extend(batch)

    with ExitStack() as stack:

        def start(node: str) -> Popen[bytes]:
            return stack.enter_context(findings(broker.servers, tmp_path, node, wait=False))

        one = start("one")
        send(range(1, 21))
        written.wait_for(*sent[:1])
        two = start("two")
        send(range(21, 61))
        wait_for(lambda: '"ready"' in (tmp_path / "two.log").read_text(), "the second worker")
        send(range(61, 101))
        one.kill()
        send(range(101, 121))
        start("three")
        send(range(121, 141))
        written.wait_for(*sent)
        assert two.poll() is None
    assert sum(len(written.ids[f"1.2.30.{study}"]) for study in range(10)) >= len(sent) == 1400
    for study in range(10):
        wanted = [one.findings[0].event_id for one in sent if one.study_instance_uid == f"1.2.30.{study}"]
        # in the order of the results, and whatever is written twice is recognised by its id
        assert list(dict.fromkeys(written.ids[f"1.2.30.{study}"])) == wanted


def test_a_broker_that_starts_again_is_waited_for(broker: Broker, written: Written, tmp_path: Path) -> None:
    before, after = result("1.2.40", 1), result("1.2.40", 2)
    with findings(broker.servers, tmp_path, "waiting") as child:
        Worker(broker.servers).finish(before)
        written.wait_for(before)
        broker.stop()
        broker.start()
        Worker(broker.servers).finish(after)
        written.wait_for(after)
        assert child.poll() is None
        assert stop(child) == 0
