"""Apache Kafka, one node on loopback, as one process of the stack: ``python -m dashboards.local.broker``.

Fetches and verifies Kafka's jars, formats its storage once, runs it and says ``READY`` when it answers. SIGTERM is
a controlled shutdown. Guarantee: the JVM never outlives this process, and what prevents a start is one sentence.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

from dashboards.local import jars, kafka_config
from dashboards.local.aot import archive_for
from dashboards.local.java import runtime
from dashboards.local.jvm import Jvm
from dashboards.local.kafka_failure import Failure
from dashboards.local.kafka_home import KafkaHome
from producers.process import Process, run
from schemas.errors import ConfigurationError, DestinationUnavailable, ScanstreamError
from schemas.settings import BrokerSettings

START_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 25.0
PROBE_INTERVAL_S: Final = 0.05

#: Kafka protocol, ApiVersions v0 request (key 18), correlation id 1, no client id: any broker answers it.
_API_VERSIONS: Final = bytes.fromhex("0000000a 0012 0000 00000001 ffff")


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
    home = KafkaHome(data_dir)
    with home.held():
        require_free(settings.port, "SCANSTREAM_BROKER_PORT")
        require_free(settings.controller_port, "SCANSTREAM_BROKER_CONTROLLER_PORT")
        java = runtime()
        class_path = jars.ensure(jars.locked("kafka"), jars.cache_directory(), java)
        home.configure(settings)
        home.format(java, class_path)
        archive = archive_for(class_path, java)
        failure = Failure(settings, home.log_file)
        arguments = kafka_config.broker_arguments(class_path, home.log4j2, settings.heap, archive.option())
        jvm = Jvm([str(java.executable), *arguments, "kafka.Kafka", str(home.properties)], process.stop)
        try:
            _wait_until_answering(jvm, process.stop, settings.port, failure)
            if not process.stop.is_set():
                process.ready()
            process.stop.wait()
        finally:
            code = jvm.returncode  # None: it still runs, so the end is ours
            jvm.stop(STOP_TIMEOUT_S)
            archive.keep()
        if code is not None:
            raise DestinationUnavailable(failure.sentence(code, jvm.tail()))


def _wait_until_answering(jvm: Jvm, stop: threading.Event, port: int, failure: Failure) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        stop.wait(PROBE_INTERVAL_S)  # also set when the JVM ends
        code = jvm.returncode
        if code is not None:
            raise ConfigurationError(failure.sentence(code, jvm.tail()))
        if stop.is_set() or answers(port):
            return
    raise ScanstreamError(
        f"Kafka did not answer on {kafka_config.HOST}:{port} in {START_TIMEOUT_S:.0f} s: see {failure.log_file}"
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


def main() -> int:
    """Process ``broker``."""
    return run("broker", lambda process: serve(process, BrokerSettings(), process.settings.data_dir))


if __name__ == "__main__":
    sys.exit(main())
