"""The local broker as a process: it keeps its data, never outlives its parent, and refuses in one sentence."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from dashboards.local import jars
from dashboards.local.broker import answers
from dashboards.local.java import runtime
from producers.topic_admin import create_topics
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.services import kafka_broker, wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration


def refusal(directory: Path, **environment: str) -> str:
    """What a broker says that must not start."""
    ports = {
        "SCANSTREAM_BROKER_PORT": str(free_port()),
        "SCANSTREAM_BROKER_CONTROLLER_PORT": str(free_port()),
        "SCANSTREAM_DATA_DIR": str(directory),
    }
    done = subprocess.run(
        [sys.executable, "-m", "dashboards.local.broker"],
        env={**os.environ, **ports, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 78, done.stderr
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("scanstream broker: ")
    assert "Traceback" not in done.stderr
    return sentence


def test_data_stay_when_the_broker_comes_back_on_other_ports(tmp_path):
    with kafka_broker(tmp_path) as servers:
        create_topics(KafkaSettings(bootstrap_servers=servers))
        producer = Producer({"bootstrap.servers": servers})
        producer.produce(Topic.STUDIES, b"kept")
        assert producer.flush(30) == 0
    with kafka_broker(tmp_path) as again:
        assert again != servers
        consumer = Consumer({"bootstrap.servers": again, "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.subscribe([Topic.STUDIES])
        try:
            message = consumer.poll(60)
            assert message is not None
            assert message.value() == b"kept"
        finally:
            consumer.close()


def test_a_killed_broker_leaves_no_jvm_and_its_directory_is_free_again(tmp_path):
    port = free_port()
    environment = {
        **os.environ,
        "SCANSTREAM_DATA_DIR": str(tmp_path),
        "SCANSTREAM_BROKER_PORT": str(port),
        "SCANSTREAM_BROKER_CONTROLLER_PORT": str(free_port()),
    }
    child = subprocess.Popen([sys.executable, "-m", "dashboards.local.broker"], env=environment)
    try:
        wait_for(lambda: answers(port), "the broker")
        (jvm,) = psutil.Process(child.pid).children(recursive=True)
        assert "kafka.Kafka" in jvm.cmdline()
        assert refusal(tmp_path).startswith(
            f"scanstream broker: {tmp_path}/kafka is in use by the broker with process id {child.pid}: end it"
        )
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    wait_for(lambda: not jvm.is_running() or jvm.status() == psutil.STATUS_ZOMBIE, "the JVM to end")
    with kafka_broker(tmp_path) as servers:
        assert AdminClient({"bootstrap.servers": servers}).list_topics(timeout=30).brokers


def test_a_port_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"port {port} on 127.0.0.1" in refusal(tmp_path, SCANSTREAM_BROKER_PORT=str(port))
        sentence = refusal(tmp_path, SCANSTREAM_BROKER_CONTROLLER_PORT=str(port))
        assert sentence.endswith("or set SCANSTREAM_BROKER_CONTROLLER_PORT")


def test_a_heap_that_is_too_small_is_named(tmp_path):
    assert "heap of 16m is too small" in refusal(tmp_path, SCANSTREAM_BROKER_HEAP="16m")
    assert "BrokerSettings is wrong (heap:" in refusal(tmp_path, SCANSTREAM_BROKER_HEAP="huge")


def test_a_damaged_jar_is_named(tmp_path):
    cache = tmp_path / "cache" / "scanstream" / "jars"
    cache.mkdir(parents=True)
    for path in jars.ensure(jars.locked("kafka"), jars.cache_directory(), runtime()):
        shutil.copy2(path, cache)
    damaged = cache / jars.locked("kafka")[3].filename
    damaged.write_bytes(damaged.read_bytes()[:-1])
    sentence = refusal(tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert f"{damaged} is damaged" in sentence
    assert "delete that file and start again" in sentence


def test_a_directory_of_somebody_else_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert "set SCANSTREAM_DATA_DIR" in refusal(tmp_path / "file")
