"""The broker's directory: held by one process, configured, formatted once.

::

    <data dir>/kafka/lock                process id of the broker that works here
                     server.properties   written at each start
                     log4j2.properties   written at each start
                     data/               Kafka's logs; formatted when meta.properties is missing
    <data dir>/logs/kafka.log            Kafka's own log
"""

from __future__ import annotations

import base64
import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dashboards.local import kafka_config
from dashboards.local.java import Java
from dashboards.local.jvm import run_once
from schemas.errors import ConfigurationError
from schemas.logs import fields
from schemas.settings import BrokerSettings

log = logging.getLogger(__name__)


class KafkaHome:
    """Paths of one broker.

    Parameters
    ----------
    data_dir
        State directory of the stack.
    """

    def __init__(self, data_dir: Path) -> None:
        root = data_dir.absolute()
        self.home = root / "kafka"
        self.data = self.home / "data"
        self.properties = self.home / "server.properties"
        self.log4j2 = self.home / "log4j2.properties"
        self.log_file = root / "logs" / "kafka.log"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the directory for this process alone, until the block or the process ends.

        Raises
        ------
        ConfigurationError
            Another broker works there, or the directory cannot be written.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self.log_file.parent.mkdir(parents=True, exist_ok=True)
            stream = (self.home / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"{self.home} cannot be written ({error.strerror}): "
                "set SCANSTREAM_DATA_DIR to a directory of yours"
            ) from error
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                stream.seek(0)
                raise ConfigurationError(
                    f"{self.home} is in use by the broker with process id {stream.read().strip() or 'unknown'}: "
                    "end it (scanstream down) or set SCANSTREAM_DATA_DIR"
                ) from error
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            yield

    def configure(self, settings: BrokerSettings) -> None:
        """Write the configuration files."""
        self.properties.write_text(kafka_config.server_properties(settings, self.data), encoding="utf-8")
        self.log4j2.write_text(kafka_config.log4j2_properties(self.log_file), encoding="utf-8")

    def format(self, java: Java, class_path: Sequence[Path]) -> None:
        """Format the storage with Kafka's own tool, unless it is formatted.

        Raises
        ------
        ConfigurationError
            The tool refuses.
        """
        if (self.data / "meta.properties").is_file():
            return
        arguments = kafka_config.tool_arguments(class_path, self.log4j2)
        tool = ["kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", _cluster_id()]
        code, output = run_once([str(java.executable), *arguments, *tool, "--config", str(self.properties)])
        if code != 0:
            reason = (output.strip().splitlines() or ["no reason given"])[-1]
            raise ConfigurationError(
                f"Kafka's storage in {self.data} cannot be formatted ({reason}): "
                "check that the disk has space and the directory belongs to you"
            )
        log.info("storage formatted", extra=fields(directory=str(self.data)))


def _cluster_id() -> str:
    """Random 16 bytes as Kafka writes them: URL-safe base64 without padding, not starting with a dash."""
    while (text := base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text
