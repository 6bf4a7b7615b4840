"""``scanstream api``: REST, FHIR and the worklist page."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from dashboards.api.app import create_app
from dashboards.api.context import ApiContext
from dashboards.api.server import listen, serving
from dashboards.live.follow import Follower
from dashboards.live.view import LiveView
from producers.process import Process, run
from schemas.codec import Codec
from schemas.settings import ApiSettings, KafkaSettings


def main() -> int:
    """Run until told to stop; returns the exit code."""
    return run("api", _body)


def _body(process: Process) -> None:
    settings = ApiSettings()
    listener = listen(settings.host, settings.port)
    view = LiveView()
    follower = Follower(KafkaSettings(), Codec(), view, process.telemetry)
    context = ApiContext(view, follower.missing, process.telemetry, lambda: datetime.now(UTC))
    follower.start()
    with serving(create_app(context), listener, time.sleep):
        while not process.stop.is_set() and not follower.wait_caught_up(0.1):
            pass
        if not process.stop.is_set():
            process.ready()
            process.stop.wait()
    follower.close()


if __name__ == "__main__":
    sys.exit(main())
