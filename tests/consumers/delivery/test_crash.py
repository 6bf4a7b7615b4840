"""A writer that is killed between delivery and commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.settings import KafkaSettings
from tests.consumers.delivery.bench import Bench, fresh_study, result_of
from tests.services import module, wait_for

pytestmark = pytest.mark.integration


def test_a_killed_writer_delivers_again_and_tells_one_outcome(
    kafka_settings: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_settings.bootstrap_servers)
    bench = Bench(kafka_settings)
    notes = tmp_path / "delivered"
    notes.touch()
    study = fresh_study()

    def delivered() -> list[str]:
        return notes.read_text(encoding="utf-8").split()

    def arguments(mode: str) -> tuple[str, ...]:
        return "tests.consumers.delivery.slow_writer", bench.group, bench.name, str(notes), mode

    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka_settings.bootstrap_servers, "SCANSTREAM_NODE": bench.group}
    with module(*arguments("hang"), environment=environment, log=tmp_path / "killed.log") as child:
        bench.send(result_of(study))
        wait_for(lambda: delivered() == [study], "the first delivery")
        child.kill()
        child.wait(60)
    assert bench.outcomes() == []

    with module(*arguments("go"), environment=environment, log=tmp_path / "second.log"):
        bench.wait_for_outcomes(1)
    assert delivered() == [study, study], "delivered again, because nothing was committed"

    last = fresh_study()
    with module(*arguments("go"), environment=environment, log=tmp_path / "third.log"):
        bench.send(result_of(last))
        outcomes = bench.wait_for_outcomes(2)
    assert delivered() == [study, study, last]
    assert [outcome.study_instance_uid for outcome in outcomes] == [study, last], "one outcome each"
