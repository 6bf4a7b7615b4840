"""``python -m streams.worker``: inference on this node.

This process speaks to Kafka and decides the order; it starts another one that computes. Ready means: models
verified and warm there, partitions assigned here, commands heard.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from confluent_kafka.admin import AdminClient

from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.process import Process, run
from producers.schema_registry import codec_from
from producers.topic_admin import wait_until_ready
from producers.waiting import TimeLeft
from schemas.codec import Codec
from schemas.settings import KafkaSettings, RegistrySettings, WorkerSettings
from schemas.topics import WORKER_GROUP, Priority, Topic
from streams.clock import Instant, system_clock
from streams.worker import child
from streams.worker.announce import Announcer
from streams.worker.child import ChildLink, Setup
from streams.worker.commits import Commits
from streams.worker.conductor import STOP_S, CommandQueue, Conductor
from streams.worker.desk import Desk
from streams.worker.follow import Follower
from streams.worker.giving_away import EMERGENCIES_ONLY, Owners, destination
from streams.worker.heartbeat import Heart
from streams.worker.intake import Intake
from streams.worker.job import Job, Partition
from streams.worker.ledger import Ledger
from streams.worker.nodes import Nodes
from streams.worker.partitions import Partitions
from streams.worker.priors import Priors
from streams.worker.supervisor import Patience, Supervisor
from streams.worker.surroundings import Surroundings

#: Pause before the broker is asked again who has which partition, in seconds.
_ASK_AGAIN_S: Final = 0.2


def body(process: Process, start: Callable[[Setup], ChildLink] = child.start) -> None:
    """Work until told to stop; ``start`` begins the computing process."""
    kafka, settings, codec = KafkaSettings(), WorkerSettings(), codec_from(RegistrySettings())
    setup = Setup(
        settings, process.settings.node, process.settings.log_level, process.settings.data_dir / "validations"
    )
    patience = Patience(settings.start_timeout_s, settings.step_timeout_s, settings.step_timeouts_s)
    supervisor = Supervisor(lambda: start(setup), patience, time.monotonic)
    try:
        supervisor.begin()  # the models load while Kafka is waited for
        if wait_until_ready(kafka, process.stop):
            _serve(process, kafka, settings, codec, supervisor)
    finally:
        supervisor.close()


def _serve(
    process: Process, kafka: KafkaSettings, settings: WorkerSettings, codec: Codec, supervisor: Supervisor
) -> None:
    node, telemetry, clock = process.settings.node, process.telemetry, system_clock
    started_at = clock().utc
    priors, nodes, commands = Priors(), Nodes(), CommandQueue()
    listeners = {
        Topic.COMMANDS: commands.hear,
        Topic.NODES: nodes.hear,
        Topic.PRIORS: priors.hear,
    }
    follower = Follower(kafka, codec, f"{process.name}-follower", listeners)
    only_emergencies = settings.mode == "emergency-only"
    member = process.instance + (EMERGENCIES_ONLY if only_emergencies else "")
    consumer = new_consumer(
        consumer_config(kafka, process.name, WORKER_GROUP, instance_id=member, fetch_wait_ms=50)
    )
    left = TimeLeft(process.stop, STOP_S)
    # what is only told, and told again, never holds up the loop
    live = EventPublisher(kafka, codec, process.source, telemetry, time_left=left, place_s=0)
    announcer = Announcer(live)
    owners = Owners(
        lambda: AdminClient(dict(kafka.librdkafka())),
        WORKER_GROUP,
        process.instance.removeprefix(node),
        time.monotonic,
    )

    def elsewhere(job: Job, now: Instant) -> Partition | float | None:
        others = nodes.others_for(job.task, node, now.utc)
        if not others:
            return None
        known = owners.get()
        if known is None:
            return now.monotonic + _ASK_AGAIN_S
        return destination(job.task, others, known, job.received.given_away)

    around = Surroundings(
        tell=supervisor.send,
        settle=lambda settlement, job: commits.add(settlement, job),
        announce=announcer,
        identity=supervisor.identity,
        computing=lambda: supervisor.computing,
        prior=lambda job: priors.of(job.task),
        vanished=lambda name: nodes.vanished(name, node, started_at),
        elsewhere=elsewhere,
    )
    one_at_a_time = settings.mode == "emergency-first"
    desk = Desk(node, around, telemetry, settings.prefetch, one_at_a_time=one_at_a_time)
    classes = (Priority.P1_EMERGENCY,) if only_emergencies else tuple(Priority)
    partitions = Partitions(consumer, classes, lambda: desk, lambda jobs: conductor.let_go(jobs), process.stop)
    publisher = EventPublisher(kafka, codec, process.source, telemetry, process.instance, WORKER_GROUP, left)
    commits = Commits(
        partitions,
        Ledger(consumer, codec, process.source, clock),
        publisher,
        announcer.settle,
        time.monotonic,
        left,
    )
    heart = Heart(live, telemetry, node, started_at, lambda: desk)
    conductor = Conductor(
        process,
        desk,
        supervisor,
        partitions,
        commits,
        announcer,
        heart,
        commands,
        lambda: follower.caught_up,
        settings.drain_s,
        left,
        clock,
    )
    intake = Intake(
        consumer, partitions, codec, telemetry, conductor.on_job, conductor.on_unreadable, time.monotonic
    )
    follower.start()
    try:
        conductor.run(intake)
    finally:
        follower.close()
        consumer.close()


def main() -> int:
    """Process ``worker``."""
    return run("worker", body)
