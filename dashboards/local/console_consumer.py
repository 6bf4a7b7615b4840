"""Kafka's console consumer from the jars of the local broker: ``python -m dashboards.local.console_consumer``.

Takes the arguments of ``kafka-console-consumer.sh``, which a machine with a Kafka distribution has anyway. Its one
jar is fetched and verified like those of the broker.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from dashboards.local import jars
from dashboards.local.java import runtime
from producers.process import refuse
from schemas.errors import ConfigurationError

MAIN_CLASS: Final = "org.apache.kafka.tools.consumer.ConsoleConsumer"


def main(arguments: list[str]) -> int:
    """Become the console consumer; returns only where it cannot be started."""
    try:
        java = runtime()
        files = jars.locked("kafka") + jars.locked("console")
        class_path = jars.ensure(files, jars.cache_directory(), java)
    except ConfigurationError as error:
        return refuse("console-consumer", str(error))
    command = [str(java.executable), "-Xmx256m", "-cp", os.pathsep.join(map(str, class_path)), MAIN_CLASS]
    sys.stdout.flush()
    return os.execv(command[0], command + arguments)  # noqa: S606 # no shell: the program's own arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
