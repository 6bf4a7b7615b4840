from __future__ import annotations

import uuid

import pytest
from confluent_kafka.admin import AdminClient

from consumers.delivery.service import ADDRESSES_AT_ONCE, limits_of
from consumers.writer import main
from producers.topic_admin import create_failure_topics
from schemas.destinations import WriterSettings
from schemas.settings import KafkaSettings
from schemas.topics import PARTITIONS, dlq_topic, retry_topic, writer_group
from tests.consumers.delivery.bench import Scripted


class Addressed(Scripted):
    """A destination with many addresses."""

    def address(self, result: object) -> str:
        return "somebody:1"


def test_width_and_rate_come_from_the_settings() -> None:
    limits = limits_of(WriterSettings(concurrency=3, per_second=0.5), Scripted("archive"))
    assert (limits.concurrency, limits.per_second, limits.per_source) == (3, 0.5, None)
    assert limits.source_patience_s is None, "gateways are waited for without limit"


def test_one_of_many_addresses_leaves_room_for_others() -> None:
    limits = limits_of(WriterSettings(concurrency=3), Addressed("callback"))
    assert (limits.concurrency, limits.per_source) == (3 * ADDRESSES_AT_ONCE, 3)
    assert limits.source_patience_s is not None


@pytest.mark.parametrize("name", ["fhir", "audit", "Archive", "a b", ""])
def test_a_name_that_another_writer_has_or_no_topic_can_have_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCANSTREAM_WRITER_NAME", name)
    assert main(["stow"]) == 78
    said = capsys.readouterr().err
    assert said.startswith("scanstream writer-stow: ")
    assert "name" in said.lower()


@pytest.mark.integration
def test_a_second_destination_of_a_kind_gets_its_own_topics(kafka_settings: KafkaSettings) -> None:
    group = writer_group(f"archive-{uuid.uuid4().hex[:8]}")
    for _ in range(2):
        create_failure_topics(kafka_settings, group)
    found = AdminClient(dict(kafka_settings.librdkafka())).list_topics(timeout=30).topics
    assert len(found[retry_topic(group)].partitions) == PARTITIONS
    assert len(found[dlq_topic(group)].partitions) == 1
