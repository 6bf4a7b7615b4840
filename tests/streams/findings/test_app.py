"""What the app does with one message, without Kafka: wait for a registry, pass over what nobody understands."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError  # type: ignore[import-untyped] # ships no types

from producers.process import Process
from schemas import registry
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, ScanstreamError
from schemas.settings import KafkaSettings, ProcessSettings
from schemas.topics import Topic
from streams.dead_letters import BRAKE
from streams.findings import app as findings_app
from streams.findings.app import Findings
from tests.consumers.results import result_with_findings, result_without_findings


class Registry:
    """A registry that does not answer the first questions."""

    def __init__(self, away: int) -> None:
        self.away, self.asked = away, 0

    def id_of(self, _: str) -> int:
        return 7

    def schema_of(self, _: int) -> registry.Schema:
        self.asked += 1
        if self.asked <= self.away:
            raise DestinationUnavailable("the schema registry does not answer: check that it is up")
        return registry.current("InferenceResult")


def message(value: bytes, offset: int = 0) -> Any:
    return SimpleNamespace(topic=Topic.RESULTS.value, partition=0, offset=offset, value=value, headers=[])


def made(directory: Path, codec: Codec) -> Findings:
    settings = ProcessSettings(node="node-1", data_dir=directory)
    return Findings(Process("findings", settings), KafkaSettings(), codec)


async def test_a_registry_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_app, "RETRY_S", 0.0)
    away = Registry(away=3)
    codec = Codec(away)
    await made(tmp_path, codec)._handle(message(codec.encode(result_without_findings())))
    assert away.asked == 4


async def test_a_client_that_has_died_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_app, "RETRY_S", 0.0)

    class Producer:
        tries = 0

        @property
        def has_died(self) -> bool:
            return self.tries == 3

        async def send(self, *_: object) -> None:
            self.tries += 1
            raise KafkaError

    findings = made(tmp_path, Codec())
    monkeypatch.setattr(findings.app, "_producer", Producer())
    with pytest.raises(KafkaError):
        await findings._handle(message(Codec().encode(result_with_findings())))
    assert findings.app.producer.tries == 3  # type: ignore[attr-defined] # the one above


async def test_many_messages_in_a_row_that_nobody_understands_end_the_process(tmp_path: Path) -> None:
    findings = made(tmp_path, Codec())
    for offset in range(BRAKE):
        await findings._handle(message(b"rubbish", offset))
    with pytest.raises(ScanstreamError, match=f"@{BRAKE}"):
        await findings._handle(message(b"rubbish", BRAKE))


async def test_a_good_message_releases_the_brake(tmp_path: Path) -> None:
    findings = made(tmp_path, Codec())
    for offset in range(2 * BRAKE):
        if offset == BRAKE:
            await findings._handle(message(Codec().encode(result_without_findings()), offset))
        await findings._handle(message(b"rubbish", offset))
