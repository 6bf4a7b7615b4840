"""The subscribers of docs/subscribing.md, run as they stand there, see what was published."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import Finding
from schemas.ids import event_id
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.consumers.generated import generated
from tests.services import program, wait_for

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = (REPOSITORY / "docs" / "subscribing.md").read_text(encoding="utf-8")
TOPIC = Topic.FINDINGS_BRAIN_VOLUME


def block(language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    return str(code)


def published(settings: KafkaSettings, name: str) -> Finding:
    """A finding of a study of its own, on the log twice as after a failure."""
    study = f"1.2.826.0.1.3680043.8.498.{len(name)}"
    found = next(one for seed in range(50) for one in generated(seed).result.findings if one.measurements)
    finding = replace(found, event_id=event_id("subscribing", name), study_instance_uid=study, tracking_id="Ґедзь")
    publisher = EventPublisher(settings, Codec(), "/site-1/node-1/findings", Telemetry())
    for _ in range(2):
        publisher.publish(TOPIC, study, finding)
    publisher.flush()
    return finding


def test_the_python_subscriber_is_short_and_needs_nothing_of_this_project() -> None:
    code = block("python")
    lines = [line for line in code.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 22
    imported = set(re.findall(r"^(?:from|import) (.+?)(?: import .*)?$", code, re.MULTILINE))
    assert imported == {"io, json, pathlib, sys", "confluent_kafka", "fastavro"}


@pytest.mark.integration
def test_the_python_subscriber_reads_every_field_once(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    finding = published(kafka_settings, "python")
    script, log = tmp_path / "subscriber.py", tmp_path / "subscriber.log"
    script.write_text(block("python"), encoding="utf-8")
    released = REPOSITORY / "schemas" / "released"
    command = [sys.executable, "-I", str(script), kafka_settings.bootstrap_servers, TOPIC.value, str(released)]

    def seen() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line["event_id"] == finding.event_id]

    with program(command, environment={}, log=log) as child:
        wait_for(lambda: child.poll() is not None or bool(seen()), "the finding")
        # what comes after both copies is read after both of them
        last = published(kafka_settings, "and another")
        wait_for(lambda: child.poll() is not None or last.event_id in log.read_text(encoding="utf-8"), "the next")
    (read,) = seen()
    assert read["study_instance_uid"] == finding.study_instance_uid
    assert read["tracking_id"] == "Ґедзь"
    assert read["measurements"] == [asdict(measurement) for measurement in finding.measurements]
    assert set(read) == set(asdict(finding))


@pytest.mark.integration
def test_the_console_consumer_shows_headers_key_and_bytes(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    finding = published(kafka_settings, "console consumer")
    tool, *arguments = shlex.split(block("sh").replace("\\\n", " "))
    assert tool == "kafka-console-consumer.sh"
    arguments[arguments.index("127.0.0.1:9092")] = kafka_settings.bootstrap_servers
    command = [sys.executable, "-m", "dashboards.local.console_consumer", *arguments]
    log = tmp_path / "console.log"

    def lines() -> list[str]:
        text = log.read_text(encoding="utf-8")
        return [line for line in text.splitlines() if f"ce_id:{finding.event_id}" in line]

    with program(command, environment={}, log=log) as child:
        wait_for(lambda: child.poll() is not None or len(lines()) == 2, "the finding twice")
    headers, key, value = lines()[0].split("\t", 2)
    named = dict(header.split(":", 1) for header in headers.split(","))
    documented = set(re.findall(r"^\| `([a-z_-]+)` \|", DOCUMENT, re.MULTILINE))
    assert set(named) == documented - {"traceparent"}
    assert named["ce_type"] == "scanstream.v1.Finding"
    assert key == finding.study_instance_uid
    assert value.startswith(r"\xC3\x01")
    assert finding.finding_id in value
