"""The topic table: which record travels on which topic, under which key, for how long.

This table is the only place where topics are described. Creating topics, the AsyncAPI document and the README
table are all made from it. Guarantee: a topic that is not in the table cannot be produced to by our clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

Cleanup = Literal["delete", "compact", "compact,delete"]

DAY_MS: Final = 24 * 3600 * 1000
PARTITIONS: Final = 6


class Priority(StrEnum):
    """Class of urgency; the order of the members is the order of service."""

    P1_EMERGENCY = "p1-emergency"
    P2_URGENT = "p2-urgent"
    P3_NORMAL = "p3-normal"
    P4_ROUTINE = "p4-routine"

    @property
    def rank(self) -> int:
        """1 for the most urgent class up to 4."""
        return int(self.value[1])


class Topic(StrEnum):
    """Name of a topic of the table."""

    INSTANCES = "imaging.instances"
    STUDIES = "imaging.studies"
    ASSEMBLY = "imaging.assembly"
    RELAY = "imaging.relay"
    CONTEXT = "clinical.context"
    TASKS_P1 = "inference.tasks.p1-emergency"
    TASKS_P2 = "inference.tasks.p2-urgent"
    TASKS_P3 = "inference.tasks.p3-normal"
    TASKS_P4 = "inference.tasks.p4-routine"
    COMMANDS = "inference.commands"
    ELIGIBILITY = "inference.eligibility"
    STATUS = "inference.status"
    RESULTS = "inference.results"
    SHADOW = "inference.shadow"
    PRIORS = "inference.priors"
    NODES = "inference.nodes"
    FINDINGS_BRAIN_VOLUME = "findings.brain-volume"
    FINDINGS_HYPERDENSITY = "findings.hyperdensity"
    FINDINGS_OTHER = "findings.other"
    DELIVERY = "delivery.outcomes"
    REVIEW = "review.adjudications"
    ESCALATIONS = "escalation.steps"
    ACKNOWLEDGEMENTS = "escalation.acknowledgements"
    AUDIT = "audit.events"


@dataclass(frozen=True)
class TopicSpec:
    """One row of the table.

    Attributes
    ----------
    topic
        Name on the broker.
    key
        What the message key is; messages of one key keep their order.
    records
        Avro record names that may appear, without namespace.
    written_by, read_by
        Processes on either side.
    cleanup
        Kafka ``cleanup.policy``.
    retention_ms
        Kafka ``retention.ms``; ``-1`` keeps for ever.
    partitions
        Number of partitions when we create the topic.
    about
        One sentence for people.
    """

    topic: Topic
    key: str
    records: tuple[str, ...]
    written_by: str
    read_by: str
    about: str
    cleanup: Cleanup = "delete"
    retention_ms: int = 14 * DAY_MS
    partitions: int = PARTITIONS

    def config(self) -> dict[str, str]:
        """Kafka topic configuration (names of the broker's documentation)."""
        config = {"cleanup.policy": self.cleanup, "max.message.bytes": str(MAX_MESSAGE_BYTES)}
        if "delete" in self.cleanup:
            config["retention.ms"] = str(self.retention_ms)
        if self.cleanup == "compact":
            # Only closed segments are compacted, and a changelog is read from its beginning at every start.
            config |= {"segment.bytes": str(64 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.1"}
        return config


#: A study of ten thousand instances lists its UIDs in about 0.7 MB; the broker's default of 1 MB is too close.
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024

_TASK_ABOUT = "Work for inference workers, one topic per class of urgency."


def _tasks(topic: Topic) -> TopicSpec:
    return TopicSpec(
        topic, "study_instance_uid", ("InferenceTask",), "streams, api, replay", "worker", _TASK_ABOUT
    )


TOPICS: Final[tuple[TopicSpec, ...]] = (
    TopicSpec(
        Topic.INSTANCES,
        "study_instance_uid",
        ("InstanceStored", "ArrivalHint"),
        "gateway, poller",
        "streams",
        "Every DICOM instance that became durable, and hints that a study may be complete.",
    ),
    TopicSpec(
        Topic.STUDIES,
        "study_instance_uid",
        ("StudyReady",),
        "streams",
        "api",
        "A study is complete; late instances make revision n + 1.",
    ),
    TopicSpec(
        Topic.ASSEMBLY,
        "study_instance_uid",
        ("AssemblyState",),
        "streams",
        "streams",
        "Changelog of the assembler: what is known of each study, restored after a restart.",
        cleanup="compact",
    ),
    TopicSpec(
        Topic.RELAY,
        "gateway / index id [/ urgent]",
        ("RelayPosition",),
        "gateway",
        "gateway",
        "How far each gateway's outbox is published, written in the transaction of the events.",
        cleanup="compact",
        partitions=1,
    ),
    TopicSpec(
        Topic.CONTEXT,
        "patient or accession",
        ("ClinicalContext",),
        "hl7",
        "gateway, streams, hl7",
        "Orders and admissions that decide priority, and the worklist for modalities.",
        cleanup="compact",
    ),
    _tasks(Topic.TASKS_P1),
    _tasks(Topic.TASKS_P2),
    _tasks(Topic.TASKS_P3),
    _tasks(Topic.TASKS_P4),
    TopicSpec(
        Topic.COMMANDS,
        "task_id",
        ("TaskCommand",),
        "streams, api",
        "worker, api",
        "Cancel, hold, release a task, or serve it sooner; every worker reads all of them.",
        partitions=1,
    ),
    TopicSpec(
        Topic.ELIGIBILITY,
        "study_instance_uid",
        ("EligibilityDecision",),
        "streams",
        "api",
        "Which model runs on which study, and why not.",
        retention_ms=90 * DAY_MS,
    ),
    TopicSpec(
        Topic.STATUS,
        "task_id",
        ("TaskStatus",),
        "whoever moves a task",
        "api",
        "State and progress of each task.",
        cleanup="compact,delete",
        retention_ms=30 * DAY_MS,
    ),
    TopicSpec(
        Topic.RESULTS,
        "study_instance_uid",
        ("InferenceResult",),
        "worker",
        "findings, writers",
        "What a model found in a study, with claim checks of its masks.",
        retention_ms=90 * DAY_MS,
    ),
    TopicSpec(
        Topic.FINDINGS_BRAIN_VOLUME,
        "study_instance_uid",
        ("Finding",),
        "findings",
        "subscribers",
        "Brain volume of a head MR.",
        retention_ms=90 * DAY_MS,
    ),
    TopicSpec(
        Topic.FINDINGS_HYPERDENSITY,
        "study_instance_uid",
        ("Finding",),
        "findings",
        "subscribers",
        "Hyperdensity inside the skull in a head CT.",
        retention_ms=90 * DAY_MS,
    ),
    TopicSpec(
        Topic.FINDINGS_OTHER,
        "study_instance_uid",
        ("Finding",),
        "findings",
        "subscribers",
        "Findings whose type has no topic of its own, such as those of a model that was added.",
        retention_ms=90 * DAY_MS,
    ),
    TopicSpec(
        Topic.SHADOW,
        "study_instance_uid",
        ("InferenceResult",),
        "worker",
        "analysts",
        "Results of versions that run unseen beside the one that serves; nothing delivers them.",
    ),
    TopicSpec(
        Topic.PRIORS,
        "patient_key / model",
        ("PriorResult",),
        "worker",
        "worker",
        "Newest measurements of each patient by each model, for comparison.",
        cleanup="compact",
        partitions=1,
    ),
    TopicSpec(
        Topic.NODES,
        "node",
        ("NodeHeartbeat",),
        "worker",
        "worker, api",
        "Which workers are alive, what they can run and how much waits there.",
        cleanup="compact,delete",
        retention_ms=DAY_MS,
        partitions=1,
    ),
    TopicSpec(
        Topic.DELIVERY,
        "task_id",
        ("DeliveryOutcome",),
        "writers",
        "api",
        "What each destination said to each object of a result.",
        retention_ms=90 * DAY_MS,
    ),
    TopicSpec(
        Topic.REVIEW,
        "study_instance_uid",
        ("Adjudication",),
        "api",
        "writers, api",
        "A radiologist's verdict on a finding.",
        retention_ms=365 * DAY_MS,
    ),
    TopicSpec(
        Topic.ESCALATIONS,
        "escalation_id",
        ("EscalationStep",),
        "escalation writer",
        "escalation writer, api, subscribers",
        "How the alarm about a critical finding moves; in the partition of its study.",
        cleanup="compact",
    ),
    TopicSpec(
        Topic.ACKNOWLEDGEMENTS,
        "study_instance_uid",
        ("EscalationAcknowledgement",),
        "api",
        "escalation writer",
        "Somebody took responsibility for a critical finding.",
        retention_ms=365 * DAY_MS,
    ),
    TopicSpec(
        Topic.AUDIT,
        "site",
        ("AuditEvent",),
        "everyone",
        "audit writer",
        "Security-relevant events (DICOM PS3.15 A.5).",
        retention_ms=365 * DAY_MS,
    ),
)

_BY_TOPIC: Final = {spec.topic: spec for spec in TOPICS}

TASK_TOPICS: Final[dict[Priority, Topic]] = {
    Priority.P1_EMERGENCY: Topic.TASKS_P1,
    Priority.P2_URGENT: Topic.TASKS_P2,
    Priority.P3_NORMAL: Topic.TASKS_P3,
    Priority.P4_ROUTINE: Topic.TASKS_P4,
}


def writer_group(destination: str) -> str:
    """Consumer group of a destination, such as ``stow`` or, for a second PACS, ``archive``."""
    return f"scanstream.writer.{destination}"


#: Consumer groups of the writers; each gets a retry topic and a dead-letter topic of its own.
WRITER_GROUPS: Final[dict[str, str]] = {
    name: writer_group(name) for name in ("stow", "fhir", "oru", "callback", "escalation", "audit")
}

#: Groups of the writers that every site runs; the others are run where they are configured.
DEFAULT_WRITERS: Final = tuple(WRITER_GROUPS[name] for name in ("stow", "fhir", "audit"))


def spec_of(topic: Topic) -> TopicSpec:
    """Row of the table for one topic."""
    return _BY_TOPIC[topic]


def finding_topic(finding_type: str) -> Topic:
    """Topic for findings of one type, such as ``brain-volume``; those without a topic of their own share one."""
    try:
        return Topic(f"findings.{finding_type}")
    except ValueError:
        return Topic.FINDINGS_OTHER


@dataclass(frozen=True)
class FailureTopic:
    """A ``<group>.retry`` or ``<group>.dlq`` topic: original bytes, failure told in headers."""

    name: str
    consumer_group: str
    retention_ms: int
    partitions: int

    def config(self) -> dict[str, str]:
        """Kafka topic configuration."""
        return {
            "cleanup.policy": "delete",
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "retention.ms": str(self.retention_ms),
        }


def retry_topic(consumer_group: str) -> str:
    """Name of the topic on which a group waits before it tries a message again."""
    return f"{consumer_group}.retry"


def dlq_topic(consumer_group: str) -> str:
    """Name of the topic on which a group puts what it will never process."""
    return f"{consumer_group}.dlq"


def failure_topics() -> Iterator[FailureTopic]:
    """Retry and dead-letter topics of every writer group and of the stream processors."""
    groups = [*WRITER_GROUPS.values(), STREAMS_GROUP, WORKER_GROUP]
    for group in groups:
        yield from failure_topics_of(group)


def failure_topics_of(group: str) -> Iterator[FailureTopic]:
    """Retry and dead-letter topic of one group, also of one that is not in the table (a second PACS)."""
    # a retry keeps the partitions of the results, so that the order of a study holds across it
    yield FailureTopic(retry_topic(group), group, 14 * DAY_MS, PARTITIONS)
    yield FailureTopic(dlq_topic(group), group, 365 * DAY_MS, 1)


STREAMS_GROUP: Final = "scanstream.streams"
FINDINGS_GROUP: Final = "scanstream.findings"
WORKER_GROUP: Final = "scanstream.worker"
