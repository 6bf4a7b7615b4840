"""Apache Kafka, one node on loopback, as one process of the stack: ``python -m dashboards.local.broker``.

Fetches and verifies Kafka's jars, formats its storage once, runs it and says ``READY`` when it answers. SIGTERM is
a controlled shutdown. Guarantee: the JVM never outlives this process, and what prevents a start is one sentence.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dashboards.local import jars, kafka_config
from dashboards.local.java import Java, runtime
from dashboards.local.jvm import Jvm, run_once
from dashboards.local.kafka_failure import sentence
from producers.process import Process, run
from schemas.errors import ConfigurationError, DestinationUnavailable, ScanstreamError
from schemas.logs import fields
from schemas.settings import BrokerSettings

log = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 25.0
PROBE_INTERVAL_S: Final = 0.05

#: Kafka protocol, ApiVersions v0 request (key 18), correlation id 1, no client id: any broker answers it.
_API_VERSIONS: Final = bytes.fromhex("0000000a 0012 0000 00000001 ffff")


@dataclass(frozen=True)
class Layout:
    """Where the broker keeps what under the data directory."""

    root: Path

    @property
    def home(self) -> Path:
        """Directory of the broker."""
        return self.root / "kafka"

    @property
    def data(self) -> Path:
        """Kafka's logs (the data)."""
        return self.home / "data"

    @property
    def properties(self) -> Path:
        """Kafka's configuration."""
        return self.home / "server.properties"

    @property
    def log4j2(self) -> Path:
        """Configuration of Kafka's own log."""
        return self.home / "log4j2.properties"

    @property
    def log_file(self) -> Path:
        """Kafka's own log."""
        return self.root / "logs" / "kafka.log"


def body(process: Process) -> None:
    """Run the broker until told to stop."""
    serve(process, BrokerSettings(), process.settings.data_dir)


def serve(process: Process, settings: BrokerSettings, data_dir: Path) -> None:
    """Run the broker until ``process.stop`` is set.

    Parameters
    ----------
    process
        Of :func:`producers.process.run`.
    settings
        Ports and heap.
    data_dir
        State directory of the stack.

    Raises
    ------
    ConfigurationError
        A port is in use, the data directory is held by another broker, the heap is too small, or a jar is missing
        or damaged.
    DestinationUnavailable
        Kafka ended by itself after it had worked.
    """
    layout = Layout(data_dir.absolute())
    with _held(layout.home):
        for port, name in (
            (settings.port, "SCANSTREAM_BROKER_PORT"),
            (settings.controller_port, "SCANSTREAM_BROKER_CONTROLLER_PORT"),
        ):
            require_free(port, name)
        java = runtime()
        class_path = jars.ensure(jars.locked("kafka"), jars.cache_directory(), java)
        _prepare(layout, settings, java, class_path)
        archive = _archive(class_path, java)
        arguments = kafka_config.jvm_arguments(
            class_path,
            layout.log4j2,
            settings.heap,
            archive if archive.is_file() else _unfinished(archive),
            archive_exists=archive.is_file(),
        )
        jvm = Jvm([str(java.executable), *arguments, "kafka.Kafka", str(layout.properties)], process.stop)
        try:
            _wait_until_answering(jvm, process.stop, settings, layout)
            if not process.stop.is_set():
                process.ready()
            process.stop.wait()
        finally:
            ended_by_itself = jvm.returncode is not None
            jvm.stop(STOP_TIMEOUT_S)
            _keep(archive)
        if ended_by_itself:
            raise DestinationUnavailable(sentence(jvm.returncode, jvm.tail(), settings, layout.log_file))


def _prepare(layout: Layout, settings: BrokerSettings, java: Java, class_path: list[Path]) -> None:
    layout.log_file.parent.mkdir(parents=True, exist_ok=True)
    layout.properties.write_text(kafka_config.server_properties(settings, layout.data), encoding="utf-8")
    layout.log4j2.write_text(kafka_config.log4j2_properties(layout.log_file), encoding="utf-8")
    if (layout.data / "meta.properties").is_file():
        return
    code, output = run_once(
        [
            str(java.executable),
            "-Xshare:auto",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={layout.log4j2}",
            "-cp",
            os.pathsep.join(str(path) for path in class_path),
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            "--cluster-id",
            _cluster_id(),
            "--config",
            str(layout.properties),
        ]
    )
    if code != 0:
        raise ConfigurationError(
            f"Kafka's storage in {layout.data} cannot be formatted ({output.strip().splitlines()[-1:]}): "
            "check that the directory is writable and has space"
        )
    log.info("storage formatted", extra=fields(directory=str(layout.data)))


def _cluster_id() -> str:
    """Random 16 bytes as Kafka writes them: URL-safe base64 without padding, not starting with a dash."""
    while (text := base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _wait_until_answering(jvm: Jvm, stop: threading.Event, settings: BrokerSettings, layout: Layout) -> None:
    for _ in range(int(START_TIMEOUT_S / PROBE_INTERVAL_S)):
        if jvm.returncode is not None:
            raise ConfigurationError(sentence(jvm.returncode, jvm.tail(), settings, layout.log_file))
        if stop.is_set() or answers(settings.port):
            return
        stop.wait(PROBE_INTERVAL_S)
    raise ScanstreamError(
        f"Kafka did not answer on {kafka_config.HOST}:{settings.port} in {START_TIMEOUT_S:.0f} s: "
        f"see {layout.log_file}"
    )


def answers(port: int) -> bool:
    """Whether a Kafka broker on this machine answers requests."""
    try:
        with socket.create_connection((kafka_config.HOST, port), timeout=1.0) as connection:
            connection.sendall(_API_VERSIONS)
            return len(connection.recv(8)) == 8
    except OSError:
        return False


def require_free(port: int, setting: str) -> None:
    """Raise when somebody listens on a port.

    Raises
    ------
    ConfigurationError
        Names the port and the setting that moves it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((kafka_config.HOST, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} on {kafka_config.HOST} cannot be opened ({error.strerror}): "
                f"end the program that uses it or set {setting}"
            ) from error


@contextmanager
def _held(home: Path) -> Iterator[None]:
    """Hold the broker's directory for this process alone."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        stream = (home / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{home} cannot be written ({error.strerror}): set SCANSTREAM_DATA_DIR to a directory of yours"
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.seek(0)
            raise ConfigurationError(
                f"{home} is in use by the broker with process id {stream.read().strip() or 'unknown'}: "
                "end it (scanstream down) or set SCANSTREAM_DATA_DIR"
            ) from error
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _archive(class_path: list[Path], java: Java) -> Path:
    """Ahead-of-time cache for exactly these jars (by time of arrival, as the JVM checks) and this runtime."""
    key = f"{java.home}:{java.version}:" + ":".join(f"{path}:{path.stat().st_mtime_ns}" for path in class_path)
    return class_path[0].parent / f"kafka-{hashlib.sha256(key.encode()).hexdigest()[:16]}.aot"


def _unfinished(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.{os.getpid()}")


def _keep(archive: Path) -> None:
    """Put a cache that the ended JVM wrote completely in its place; two brokers may do so at once."""
    unfinished = _unfinished(archive)
    configuration = unfinished.with_name(f"{unfinished.name}.config")
    if configuration.exists():  # the JVM was killed while it wrote
        configuration.unlink()
        unfinished.unlink(missing_ok=True)
    elif unfinished.exists():
        unfinished.replace(archive)


def main() -> int:
    """Process ``broker``."""
    return run("broker", body)


if __name__ == "__main__":
    sys.exit(main())
