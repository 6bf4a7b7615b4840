"""The streams process: ``python -m streams.processor``.

::

    imaging.instances ──▶ Assembler ──▶ Router ──▶ imaging.studies
        (changelog imaging.assembly)          ├──▶ inference.tasks.p1 … p4
                 ▲                            ├──▶ inference.status
                 │                            ├──▶ inference.eligibility     which model runs, and why not
    clinical.context                          ├──▶ inference.commands        an order came late, or changed
        (a table, all of it)                  └──▶ audit.events              no model is routed
    scanstream.worker.retry ──▶ RetryScheduler ──▶ inference.tasks.p1 … p4, inference.status

What cannot be understood goes to ``scanstream.streams.dlq``. Every arrow leaves in the transaction that commits
what it was made from.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from producers.context_table import ContextReader
from producers.process import Process, run
from producers.schema_registry import codec_from
from producers.telemetry import Telemetry
from producers.topic_admin import wait_until_ready
from schemas.events import EligibilityDecision, InferenceTask, StudyReady, TaskCommand
from schemas.settings import KafkaSettings, RegistrySettings, StreamsSettings
from schemas.topics import STREAMS_GROUP, WORKER_GROUP, Topic, retry_topic
from streams.assembly import Assembler
from streams.clock import system_clock
from streams.context import ContextTable
from streams.partition import Output, Source
from streams.retry import RetryScheduler
from streams.routing import Router
from streams.rules_file import load_rules
from streams.transactions import StreamTask


def body(process: Process) -> None:
    """Assemble, join, route and reschedule until told to stop."""
    settings, kafka = StreamsSettings(), KafkaSettings()
    rules = load_rules(settings.rules_file)
    codec = codec_from(RegistrySettings())
    router = Router(rules, process.settings.site, process.settings.node)
    wait_until_ready(kafka, process.stop)
    contexts = ContextTable(settings.context_most, system_clock().monotonic + settings.context_wait_s)
    reader = ContextReader(kafka, codec_from(RegistrySettings()), process.instance, contexts)
    sources = (
        Source(
            Topic.INSTANCES,
            lambda latest, at: Assembler(rules, codec, router, contexts, latest, at),
            changelog=Topic.ASSEMBLY,
            waiting_metric="scanstream_studies_open",
        ),
        Source(retry_topic(WORKER_GROUP), lambda _latest, _at: RetryScheduler(rules.windowed)),
    )
    reader.start()
    try:
        StreamTask(
            process,
            kafka,
            codec,
            STREAMS_GROUP,
            sources,
            settings.commit_interval_s,
            lambda outputs: count(outputs, process.telemetry),
        ).run()
    finally:
        reader.close()


def count(outputs: Sequence[Output], telemetry: Telemetry) -> None:
    """Count what became visible; a task that is tried again is not new."""
    for output in outputs:
        match output.event:
            case StudyReady(reason=reason):
                telemetry.count("scanstream_studies_ready_total", reason=reason.value)
            case InferenceTask(attempt=1, priority=priority, model_name=model):
                telemetry.count("scanstream_tasks_created_total", priority=priority.value, model=model)
            case TaskCommand(kind=kind):
                telemetry.count("scanstream_task_commands_total", kind=kind.value)
            case EligibilityDecision(model_name=model, eligible=eligible):
                telemetry.count("scanstream_eligibility_total", model=model, eligible=str(eligible).lower())


def main() -> int:
    """Process ``streams``."""
    return run("streams", body)


if __name__ == "__main__":
    sys.exit(main())
