"""``scanstream api``: REST, FHIR and the worklist page."""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from dashboards.api.app import create_app
from dashboards.api.context import ApiContext
from dashboards.api.publish import Publish
from dashboards.api.server import listen, serving
from dashboards.fhir.store import FhirStore
from dashboards.live.ends import CatchUp
from dashboards.live.follow import Follower
from dashboards.live.recall import Recall
from dashboards.live.view import LiveView
from dashboards.orders.desk import Desk
from dashboards.orders.once import Output, Writer
from dashboards.orders.site import site_of_environment
from dashboards.ups.subscriptions import Subscriptions
from producers.kafka import EventPublisher
from producers.process import Process, run
from producers.schema_registry import codec_from
from schemas.destinations import EscalationSettings
from schemas.errors import ConfigurationError
from schemas.events import InferenceTask, TaskStatus
from schemas.settings import ApiSettings, KafkaSettings, RegistrySettings, secret_of


def main() -> int:
    """Run until told to stop; returns the exit code."""
    return run("api", _body)


def _body(process: Process) -> None:
    settings = ApiSettings()
    view = LiveView()
    follower = Follower(KafkaSettings(), codec_from(RegistrySettings()), view, process.telemetry)
    recall = Recall(KafkaSettings(), codec_from(RegistrySettings()))
    alarms = EscalationSettings()
    publish = Publish(
        EventPublisher(KafkaSettings(), codec_from(RegistrySettings()), process.source, process.telemetry)
    )
    folder = _folder(process)
    subscriptions = Subscriptions(folder / "ups.sqlite")
    context = ApiContext(
        view,
        follower.missing,
        process.telemetry,
        _now,
        publish,
        recall,
        Desk(view, follower.missing, recall, _once(process, follower, view), publish, site_of_environment(), _now),
        subscriptions,
        # with an empty one everybody could sign
        secret_of(alarms.link_secret, alarms.link_secret_file, "SCANSTREAM_ESCALATION_LINK_SECRET") or None,
        settings.public_url,
    )
    with (
        listen(settings.host, settings.port) as listener,
        closing(FhirStore(folder / "fhir.sqlite")) as store,
        closing(subscriptions),
        closing(follower),
        closing(recall),
    ):
        follower.start()
        with serving(create_app(context, store), listener, time.sleep):
            while not process.stop.is_set() and not follower.wait_caught_up(0.1):
                pass
            if not process.stop.is_set():
                _settle_memory()
                process.ready()
                process.stop.wait()


def _now() -> datetime:
    return datetime.now(UTC)


def _once(process: Process, follower: Follower, view: LiveView) -> Writer:
    def publisher(transactional_id: str) -> EventPublisher:
        codec = codec_from(RegistrySettings())
        return EventPublisher(KafkaSettings(), codec, process.source, process.telemetry, transactional_id)

    def learn(outputs: Sequence[Output]) -> None:
        match [event for _, _, event in outputs]:
            case [InferenceTask() as task, TaskStatus() as status]:
                view.learn(task, status)

    return Writer(publisher, CatchUp(KafkaSettings(), follower.has_read), learn, time.sleep, random.random)


def _settle_memory() -> None:
    """Spare requests the pauses of full garbage collections, up to 0.3 s with ten thousand studies.

    What was read so far is no cycle and stays; what comes is freed by its reference counts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def _folder(process: Process) -> Path:
    folder = process.settings.data_dir / "api"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the folder {folder} cannot be made ({error.strerror}): set SCANSTREAM_DATA_DIR to a writable place"
        ) from error
    return folder


if __name__ == "__main__":
    sys.exit(main())
