"""Settings of the local broker → Kafka's properties, log4j2's properties and the JVM's arguments. Pure.

One node, loopback only, made to start quickly and to stay small: few partitions of internal topics, a small buffer
for the log cleaner, a serial collector and the first compiler tier.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from schemas.settings import BrokerSettings
from schemas.topics import MAX_MESSAGE_BYTES

HOST: Final = "127.0.0.1"
HEAP_AT_START: Final = "64m"


def server_properties(settings: BrokerSettings, data: Path) -> str:
    """Kafka's configuration file.

    Parameters
    ----------
    settings
        Ports.
    data
        Directory for Kafka's logs (the data).
    """
    client, controller = f"{HOST}:{settings.port}", f"{HOST}:{settings.controller_port}"
    rows: dict[str, str | int] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": controller,
        "listeners": f"PLAINTEXT://{client},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{client},CONTROLLER://{controller}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 2,
        "group.initial.rebalance.delay.ms": 0,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "controlled.shutdown.enable": "true",
        # after a kill, Kafka waits until the session of its predecessor has expired (9 s by default)
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
    }
    return "".join(f"{key}={value}\n" for key, value in rows.items())


def log4j2_properties(log_file: Path) -> str:
    """Kafka's own log: warnings and errors, in files of at most 3 × 10 MB."""
    return f"""status=error
appender.file.type=RollingFile
appender.file.name=FILE
appender.file.fileName={log_file}
appender.file.filePattern={log_file}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{ISO8601}} %p %c %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
rootLogger.level=WARN
rootLogger.appenderRef.file.ref=FILE
"""


def broker_arguments(class_path: Sequence[Path], log4j2: Path, heap: str, archive: str) -> list[str]:
    """Arguments of ``java`` for the broker, up to the main class.

    Parameters
    ----------
    class_path
        Verified jars.
    log4j2
        File of :func:`log4j2_properties`.
    heap
        Largest heap in Java's notation, such as ``512m``.
    archive
        Option of :class:`dashboards.local.aot.Archive`.
    """
    return [
        f"-Xms{_smaller(HEAP_AT_START, heap)}",
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        archive,
        *tool_arguments(class_path, log4j2),
    ]


def tool_arguments(class_path: Sequence[Path], log4j2: Path) -> list[str]:
    """Arguments of ``java`` for a short-lived tool of Kafka, up to the main class."""
    return [
        "-XX:TieredStopAtLevel=1",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={log4j2}",
        "-cp",
        os.pathsep.join(str(path) for path in class_path),
    ]


def _smaller(first: str, second: str) -> str:
    return min(first, second, key=heap_bytes)


def heap_bytes(text: str) -> int:
    """Bytes of Java's notation, such as ``512m``."""
    return int(text[:-1]) << 10 * ("kmg".index(text[-1]) + 1)
