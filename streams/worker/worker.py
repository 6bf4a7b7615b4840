"""``python -m streams.worker``: inference on this node.

The model libraries load in a thread of their own while the process joins its group, and tasks that arrive
meanwhile wait in the backlog. Ready means: models verified and warm, partitions assigned.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.process import Process, run
from producers.schema_registry import codec_from
from producers.topic_admin import wait_until_ready
from schemas.codec import Codec
from schemas.logs import fields
from schemas.settings import KafkaSettings, RegistrySettings, WorkerSettings
from schemas.topics import WORKER_GROUP
from streams.clock import system_clock
from streams.worker.backlog import Backlog
from streams.worker.intake import Answered, Intake
from streams.worker.ledger import Ledger

if TYPE_CHECKING:  # loaded beside the wait for Kafka, see _load
    from streams.worker.executor import Executor

log = logging.getLogger(__name__)

#: Seconds that a task in flight gets to finish after the process was told to stop.
GRACE_S: Final = 3.0


def body(process: Process) -> None:
    """Work until told to stop."""
    kafka, codec = KafkaSettings(), codec_from(RegistrySettings())
    backlog, answered = Backlog(time.monotonic), Answered()
    statuses = EventPublisher(kafka, codec, process.source, process.telemetry)
    pool = ThreadPoolExecutor(1, "load")
    loading = pool.submit(_load, process, WorkerSettings(), backlog, answered, statuses)
    pool.shutdown(wait=False)
    if not wait_until_ready(kafka, process.stop):
        return
    intake = _intake(process, kafka, codec, backlog, answered)
    intake.subscribe()
    try:
        _serve(process, intake, loading)
        _finish(intake, backlog)
    finally:
        backlog.close()
        intake.close()


def _serve(process: Process, intake: Intake, loading: Future[Executor]) -> None:
    executor: Executor | None = None
    ready = False
    while not process.stop.is_set():
        if executor is None and loading.done():
            executor = loading.result()
            executor.start()
        if not ready and executor is not None and intake.assigned:
            process.ready()
            ready = True
        intake.turn()


def _finish(intake: Intake, backlog: Backlog) -> None:
    """Let what runs end and be written; what takes longer is done again by whoever gets its partition."""
    backlog.close()
    deadline = time.monotonic() + GRACE_S
    while backlog.running() and time.monotonic() < deadline:
        intake.turn()


def _intake(process: Process, kafka: KafkaSettings, codec: Codec, backlog: Backlog, answered: Answered) -> Intake:
    def publisher() -> EventPublisher:
        return EventPublisher(kafka, codec, process.source, process.telemetry, process.instance, WORKER_GROUP)

    consumer = new_consumer(
        consumer_config(kafka, process.name, WORKER_GROUP, instance_id=process.instance, fetch_wait_ms=50)
    )
    ledger = Ledger(consumer, codec, process.source, system_clock)
    return Intake(consumer, publisher, ledger, codec, backlog, answered, process.telemetry)


def _load(
    process: Process, settings: WorkerSettings, backlog: Backlog, answered: Answered, statuses: EventPublisher
) -> Executor:
    """Verified, warm models and everything that computes with them.

    Raises
    ------
    ConfigurationError
        A model is missing, changed, or does not answer as recorded.
    """
    from engines import repository
    from engines.runtimes import EngineOptions, engine_of
    from producers.claim_check import ClaimCheck
    from streams.worker.announce import Announcer
    from streams.worker.executor import Executor
    from streams.worker.task_run import TaskRunner

    started = time.monotonic()
    root = settings.model_repository or repository.RELEASED
    options = EngineOptions(threads=settings.threads)
    models = {
        name: repository.load(root, name, lambda path, config: engine_of(path, config, options))
        for name in repository.names(root)
    }
    node = process.settings.node
    images = ClaimCheck(settings.fetch_timeout_s)
    runner = TaskRunner(models, images, node, process.telemetry, system_clock)
    log.info("models verified", extra=fields(models=sorted(models), seconds=round(time.monotonic() - started, 3)))
    announcer = Announcer(statuses, node, system_clock)
    return Executor(backlog, runner, announcer, answered, process.telemetry)


def main() -> int:
    """Process ``worker``."""
    return run("worker", body)
