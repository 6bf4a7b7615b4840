"""The same stream with and without a schema registry: one log, both framings, every reader reads both."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
from confluent_kafka import TopicPartition

from producers.kafka import consumer_config, new_consumer
from producers.schema_registry import codec_from
from schemas.settings import KafkaSettings, RegistrySettings
from schemas.topics import Topic, spec_of
from tests.integration.census import delivered
from tests.integration.log_dump import dump
from tests.integration.rules import small_study_rules
from tests.integration.sender import send
from tests.integration.stack import LiveStack, live_stack, wait_for
from tests.studies import small_study

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def framings(bootstrap: str, topic: Topic) -> Counter[int]:
    """First byte of each value of a topic."""
    settings = KafkaSettings(bootstrap_servers=bootstrap)
    consumer = new_consumer(
        {**consumer_config(settings, "bytes", "bytes", fetch_wait_ms=20), "enable.partition.eof": True}
    )
    found: Counter[int] = Counter()
    try:
        ends = spec_of(topic).partitions
        consumer.assign([TopicPartition(topic.value, number, -2) for number in range(ends)])
        while ends:
            for message in consumer.consume(100, timeout=5.0):
                if message.error() is not None:
                    ends -= 1
                    continue
                found[bytes(message.value() or b"\xff")[0]] += 1
    finally:
        consumer.close()
    return found


def follow(stack: LiveStack, number: str, registry: RegistrySettings) -> None:
    """Send one study and wait until both destinations have confirmed it."""
    study = small_study(number, slices=4, size=32)
    host, _, port = stack.endpoint("gateway_dimse").rpartition(":")
    assert send(study, host, int(port)) is not None
    uid = study[0].StudyInstanceUID

    def arrived() -> bool:
        log = dump(stack.endpoint("kafka"), [Topic.DELIVERY], codec_from(registry))
        return delivered(log).get(uid, set()) >= {"stow", "fhir"}

    wait_for(arrived, 120, stack.log_tail)


def test_both_framings_on_one_log(apicurio: str, tmp_path: Path) -> None:
    rules = small_study_rules(tmp_path)
    registry = RegistrySettings(url=apicurio)
    with live_stack(tmp_path / "state", rules) as stack:
        follow(stack, "4000", RegistrySettings())
    with live_stack(tmp_path / "state", {**rules, "SCHEMA_REGISTRY_URL": apicurio}) as stack:
        follow(stack, "4001", registry)
        kafka = stack.endpoint("kafka")
        assert set(framings(kafka, Topic.RESULTS)) == {0x00, 0xC3}
        assert {entry.topic for entry in dump(kafka, codec=codec_from(registry))} >= {Topic.RESULTS, Topic.STUDIES}
        http = httpx.URL(stack.endpoint("clickhouse"))
        client = clickhouse_connect.get_client(host=http.host, port=http.port or 8123)

        def audited() -> list[tuple[int, int]]:
            sql = "SELECT countIf(record = 'DeliveryOutcome'), countIf(problem != '') FROM events"
            return list(client.query(sql).result_rows)

        wait_for(lambda: audited() == [(4, 0)], 60, stack.log_tail)
