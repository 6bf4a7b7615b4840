"""A writer whose broker restarts while it commits: a pause, after which everything has its outcome."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from producers.topic_admin import create_topics
from schemas.settings import KafkaSettings
from tests.consumers.delivery.bench import Bench, fresh_study, result_of
from tests.services import kafka_broker, module, wait_for

pytestmark = pytest.mark.integration

RESULTS = 4000


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
            stack.enter_context(module(*arguments, environment=environment, log=tmp_path / "writer.log"))
            wait_for(lambda: len(delivered()) > RESULTS / 6, "deliveries")
        with kafka_broker(directory, port):
            seen = len(delivered())
            wait_for(lambda: len(delivered()) > seen + RESULTS / 6, "deliveries after the first restart")
        with kafka_broker(directory, port):
            outcomes = bench.wait_for_outcomes(RESULTS)
    assert {outcome.study_instance_uid for outcome in outcomes} == set(studies)
    assert len(outcomes) == RESULTS, "one outcome each"
