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


@dataclass
class Reader:
    """The findings process that the tests share, since each start takes seconds."""

    broker: Broker
    directory: Path
    running: ExitStack
    child: Popen[bytes] | None = None
    log: Path = Path()
    starts: int = 0

    def started(self) -> Popen[bytes]:
        """The process, ready."""
        if self.child is None or self.child.poll() is not None:
            self.starts += 1
            node = f"reader-{self.starts}"
            self.log = self.directory / f"{node}.log"
            self.child = self.running.enter_context(findings(self.broker.servers, self.directory, node))
        return self.child


@pytest.fixture(scope="module")
def reader(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with ExitStack() as running:
        yield Reader(broker, tmp_path_factory.mktemp("readers"), running)


@pytest.fixture
def written(broker: Broker) -> Iterator[Written]:
    made = Written(broker.servers, Topic.FINDINGS_BRAIN_VOLUME)
    yield made
    made.close()


def test_a_result_of_an_aborted_transaction_is_never_fanned_out(
    broker: Broker, reader: Reader, written: Written
) -> None:
    worker = Worker(broker.servers)
    # the first messages of the log are aborted: a new group begins before them
    aborted = [result(f"1.2.10.{study}") for study in range(12)]
    committed = [result(f"1.2.11.{study}") for study in range(12)]
    worker.fail(*aborted)
    reader.started()
    worker.finish(*committed[:6])
    worker.fail(*(result(one.study_instance_uid, 2) for one in aborted))
    worker.finish(*committed[6:])
    written.wait_for(*committed)
    written.poll()
    assert set(written.ids) == {one.study_instance_uid for one in committed}
    assert all(len(identifiers) == 1 for identifiers in written.ids.values())
    results = Written(broker.servers, Topic.RESULTS, uncommitted=True)
    wait_for(lambda: results.poll() or len(results.ids) == 24, "all results to be read")
    results.close()
    assert {study: written.partitions[study] for study in written.partitions} == {
        study: results.partitions[study] for study in written.partitions
    }


def test_what_is_no_result_holds_nothing_up(broker: Broker, reader: Reader, written: Written) -> None:
    child, worker, good = reader.started(), Worker(broker.servers), result("1.2.3")
    for value in (b"", b"rubbish", b"\xc3\x01" + bytes(8)):
        worker.bytes(value)
    worker.finish(good)
    written.wait_for(good)
    assert child.poll() is None
    assert reader.log.read_text().count("result not understood") == 3


def test_a_new_process_goes_on_where_the_last_one_stopped(
    broker: Broker, reader: Reader, written: Written
) -> None:
    worker, first, second = Worker(broker.servers), result("1.2.20", 1), result("1.2.20", 2)
    before = reader.started()
    worker.finish(first)
    written.wait_for(first)
    assert stop(before) == 0
    worker.finish(second)
    assert reader.started() is not before
    written.wait_for(second)
    assert written.ids["1.2.20"] == [first.findings[0].event_id, second.findings[0].event_id]


def test_a_broker_that_starts_again_is_waited_for(broker: Broker, reader: Reader, written: Written) -> None:
    child, before, after = reader.started(), result("1.2.40", 1), result("1.2.40", 2)
    Worker(broker.servers).finish(before)
    written.wait_for(before)
    broker.stop()
    broker.start()
    Worker(broker.servers).finish(after)
    written.wait_for(after)
    assert child.poll() is None


def test_nothing_is_lost_when_workers_come_and_are_killed(
    broker: Broker, reader: Reader, written: Written, tmp_path: Path
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

        one = reader.started()
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
        assert stop(two) == 0
    assert sum(len(written.ids[f"1.2.30.{study}"]) for study in range(10)) >= len(sent) == 1400
    for study in range(10):
        wanted = [one.findings[0].event_id for one in sent if one.study_instance_uid == f"1.2.30.{study}"]
        # in the order of the results, and whatever is written twice is recognised by its id
        assert list(dict.fromkeys(written.ids[f"1.2.30.{study}"])) == wanted
