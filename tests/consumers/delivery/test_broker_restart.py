"""A writer whose broker restarts while it commits: a pause, after which everything has its outcome.

Its consumer may be ended by such a restart (see ``producers.poll_errors``), so it has a supervisor, as everywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from producers.topic_admin import create_topics
from schemas.settings import KafkaSettings
from tests.consumers.delivery.bench import Bench, fresh_study, result_of
from tests.services import kafka_broker, module, wait_for

pytestmark = pytest.mark.integration

RESULTS = 4000


@contextmanager
def kept_alive(*arguments: str, environment: Mapping[str, str], logs: Path) -> Iterator[None]:
    """A module that is started again when it ends by itself, until the block ends; each life has its log."""
    over = threading.Event()

    def keep() -> None:
        life = 0
        while not over.is_set():
            life += 1
            with module(*arguments, environment=environment, log=logs / f"life-{life}.log") as child:
                while child.poll() is None and not over.wait(0.1):
                    pass
            over.wait(0.5)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def distinct(bench: Bench) -> int:
    return len({outcome.event_id for outcome in bench.outcomes()})


def test_a_broker_that_restarts_in_the_middle_of_commits_is_a_pause(tmp_path: Path) -> None:
    directory, notes = tmp_path / "kafka", tmp_path / "delivered"
    directory.mkdir()
    notes.touch()
    studies = [fresh_study() for _ in range(RESULTS)]

    def delivered() -> list[str]:
        return notes.read_text(encoding="utf-8").split()

    with ExitStack() as stack:
        with kafka_broker(directory) as servers:
            port = int(servers.rpartition(":")[2])
            settings = KafkaSettings(bootstrap_servers=servers)
            create_topics(settings)
            bench = Bench(settings)
            bench.send(*(result_of(study) for study in studies))
            environment = {"KAFKA_BOOTSTRAP_SERVERS": servers, "SCANSTREAM_NODE": bench.group}
            arguments = ("tests.consumers.delivery.slow_writer", bench.group, bench.name, str(notes), "go")
            stack.enter_context(kept_alive(*arguments, environment=environment, logs=tmp_path))
            wait_for(lambda: len(delivered()) > RESULTS / 6, "deliveries")
        with kafka_broker(directory, port):
            seen = len(delivered())
            wait_for(lambda: len(delivered()) > seen + RESULTS / 6, "deliveries after the first restart", 300)
        with kafka_broker(directory, port):
            wait_for(lambda: distinct(bench) >= RESULTS, "all outcomes", 300)
            outcomes = bench.outcomes()
    assert {outcome.study_instance_uid for outcome in outcomes} == set(studies)
    # twice only where the broker itself lost a commit (see EventPublisher.start), and then under the same id
    assert len({outcome.event_id for outcome in outcomes}) == RESULTS, "one outcome each"
