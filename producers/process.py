"""One process: settings → logs, metrics, signals and an exit code that a supervisor understands.

Every ``main()`` of the system goes through :func:`run`. SIGTERM and SIGINT set :attr:`Process.stop`; the body ends
its work and returns. A wrong setting ends the process with one sentence and exit code 78 (``EX_CONFIG`` of
``sysexits.h``), so a supervisor knows that a restart will not help.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from producers.telemetry import Telemetry
from schemas import logs
from schemas.errors import ConfigurationError, ScanstreamError
from schemas.settings import ProcessSettings

log = logging.getLogger(__name__)

EXIT_CONFIGURATION: Final = 78
EXIT_FAILURE: Final = 1


@dataclass(frozen=True)
class Process:
    """What the body of a process works with.

    Attributes
    ----------
    name
        Such as ``writer-stow``; unique on this node.
    settings
        Identity, state directory, logs, metrics.
    telemetry
        Metrics of this process.
    stop
        Set when the process must end.
    """

    name: str
    settings: ProcessSettings
    telemetry: Telemetry = field(default_factory=Telemetry)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def source(self) -> str:
        """CloudEvents ``source`` of this process."""
        return f"/{self.settings.site}/{self.settings.node}/{self.name}"

    @property
    def instance(self) -> str:
        """Stable name of this place of work, for static membership and transactional ids."""
        return f"{self.settings.node}.{self.name}"

    def ready(self) -> None:
        """Tell a supervisor that this process does its work now (sd_notify protocol)."""
        log.info("ready")
        notify("READY=1")


def notify(message: str) -> None:
    """Send one state message to ``$NOTIFY_SOCKET``, if a supervisor gave one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    # a supervisor that is gone by now needs no answer
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, suppress(OSError):
        channel.sendto(f"{message}\nMAINPID={os.getpid()}".encode(), address)


def run(name: str, body: Callable[[Process], None]) -> int:
    """Run a process until it is told to stop.

    Parameters
    ----------
    name
        Name of the process.
    body
        Does the work; returns soon after ``process.stop`` is set.

    Returns
    -------
    int
        Exit code: 0 stopped on request, 78 wrong configuration, 1 anything else.
    """
    try:
        settings = ProcessSettings()
    except ValidationError as error:
        return refuse(name, sentence_of(error))
    logs.configure(name, settings.log_level)
    process = Process(name, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop.set())
    try:
        process.telemetry.serve(settings.metrics_host, settings.metrics_port)
        body(process)
    except ValidationError as error:
        return refuse(name, sentence_of(error))
    except ConfigurationError as error:
        return refuse(name, str(error))
    except ScanstreamError as error:
        log.error("stopped", extra=logs.fields(error=type(error).__name__, reason=str(error)))  # noqa: TRY400
        return EXIT_FAILURE
    except Exception:
        log.exception("stopped by an error that nobody expected")
        return EXIT_FAILURE
    log.info("stopped")
    return 0


def refuse(name: str, sentence: str) -> int:
    """Say in one sentence why a process does not start, and return the exit code for it."""
    sys.stderr.write(f"scanstream {name}: {sentence}\n")
    return EXIT_CONFIGURATION


def sentence_of(error: ValidationError) -> str:
    """One sentence that names each wrong setting by its environment variable."""
    problems = [
        f"{'.'.join(str(part) for part in item['loc']) or error.title}: {item['msg']}" for item in error.errors()
    ]
    return f"{error.title} is wrong ({'; '.join(problems)}): correct the environment variable and start again"
