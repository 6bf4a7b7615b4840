"""Kafka's files and arguments follow the settings; its last words become a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from dashboards.local.kafka_config import broker_arguments, heap_bytes, log4j2_properties, server_properties
from dashboards.local.kafka_failure import Failure, explain
from schemas.settings import BrokerSettings

SETTINGS = BrokerSettings(port=1, controller_port=2, heap="16m")
LOG = Path("/state/logs/kafka.log")


def test_the_broker_listens_on_loopback_only():
    rows = dict(row.split("=", 1) for row in server_properties(SETTINGS, Path("/data")).splitlines())
    assert rows["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert rows["auto.create.topics.enable"] == "false"
    assert rows["log.dirs"] == "/data"
    assert {rows[name] for name in rows if name.endswith("replication.factor")} == {"1"}


def test_its_log_is_bounded():
    text = log4j2_properties(LOG)
    assert f"fileName={LOG}\n" in text
    assert "size.size=10MB" in text


@pytest.mark.parametrize(("heap", "least"), [("16m", "16m"), ("1g", "64m")])
def test_the_heap_never_starts_larger_than_it_may_grow(heap, least):
    arguments = broker_arguments([Path("a.jar"), Path("b.jar")], Path("l"), heap, "-XX:AOTCache=x")
    assert {f"-Xms{least}", f"-Xmx{heap}"} <= set(arguments)
    assert arguments[-1] == "a.jar:b.jar"


def test_heap_sizes():
    assert (heap_bytes("3k"), heap_bytes("2m"), heap_bytes("1g")) == (3 << 10, 2 << 20, 1 << 30)
    with pytest.raises(ValidationError):
        BrokerSettings(heap="lots")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("java.lang.OutOfMemoryError: Java heap space", "heap of 16m is too small for Kafka"),
        ("archived heap objects cannot be loaded. Try increasing your heap size.", "heap of 16m is too small"),
        ("KafkaException: Socket server failed to bind to 127.0.0.1:1", "port 1 or 2 was taken"),
        ("java.io.IOException: No space left on device", "the disk of /state is full"),
        ("KafkaException: Failed to acquire lock on file .lock", "another Kafka works in /state"),
        ("a.b.ConfigException: x\nCaused by: c.d.OddError: why\n", r"ended with code 3 \(OddError: why\): see"),
        ("", "it gave no reason"),
    ],
)  # fmt: skip
def test_last_words_become_a_sentence(text, sentence):
    assert re.search(sentence, explain(3, text, SETTINGS, LOG))


def test_a_signal_is_named():
    assert explain(-9, "x.OddError: earlier", SETTINGS, LOG).startswith("Kafka was ended by SIGKILL")


def test_words_of_an_earlier_run_do_not_count(tmp_path):
    log = tmp_path / "kafka.log"
    log.write_text("java.lang.OutOfMemoryError: yesterday\n")
    failure = Failure(SETTINGS, log)
    with log.open("a") as stream:
        stream.write("x.OddError: today\n")
    assert "OddError: today" in failure.sentence(1, [])
    log.write_text("y.OtherError: rotated\n")
    assert "OtherError: rotated" in failure.sentence(1, [])
