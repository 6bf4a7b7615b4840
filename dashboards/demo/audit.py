"""The study's events on Kafka and its rows in ClickHouse → the same numbers, or the stage that is missing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import SecretStr

from dashboards.demo import ledger
from dashboards.demo.failure import DemoFailed
from dashboards.terminal.clickhouse import ask
from dashboards.terminal.endpoints import Endpoints
from schemas.errors import DestinationUnavailable
from schemas.events import Event
from schemas.topics import TASK_TOPICS, TOPICS, Topic

#: Changelogs hold state, not events, and are not audited.
_CHANGELOGS: Final = {"AssemblyState", "RelayPosition"}
AUDITED: Final = tuple(spec.topic.value for spec in TOPICS if not _CHANGELOGS & set(spec.records))

TIMEOUT_S: Final = 30.0
INTERVAL_S: Final = 0.1
#: The gateway's clock may be behind ours.
CLOCK_SLACK: Final = timedelta(minutes=1)

_ROWS: Final = """
SELECT topic, count(), toUnixTimestamp64Milli(max(inserted_at))
FROM events WHERE study_instance_uid = {uid:String} GROUP BY topic ORDER BY topic
"""


@dataclass(frozen=True)
class Audit:
    """What both sides hold.

    Attributes
    ----------
    on_kafka, in_clickhouse
        Number per topic; equal.
    complete_at
        When the last row was written.
    """

    on_kafka: dict[str, int]
    in_clickhouse: dict[str, int]
    complete_at: datetime


def logged(study_instance_uid: str, images: int, since: datetime, endpoints: Endpoints) -> list[tuple[str, Event]]:
    """The study's events on Kafka, once everything that a completed study has is there.

    Parameters
    ----------
    study_instance_uid
        The study.
    images
        How many were sent.
    since
        When sending began.
    endpoints
        Where Kafka is.

    Raises
    ------
    DemoFailed
        Events are missing after a bounded time.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            events = ledger.events_of(study_instance_uid, AUDITED, since - CLOCK_SLACK, endpoints.kafka)
        except DestinationUnavailable as error:
            raise DemoFailed("result", str(error), "broker") from error
        wanting = missing(ledger.counts(events), images)
        if wanting is None:
            return events
        if time.monotonic() > deadline:
            raise DemoFailed("result", wanting, "gateway")
        time.sleep(INTERVAL_S)


def audit(study_instance_uid: str, images: int, since: datetime, endpoints: Endpoints) -> Audit:
    """Wait until every event of the study is a row of the audit store, and count both.

    Parameters
    ----------
    study_instance_uid, images, since, endpoints
        As for :func:`logged`.

    Raises
    ------
    DemoFailed
        Rows are missing after a bounded time.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        on_kafka = ledger.counts(logged(study_instance_uid, images, since, endpoints))
        try:
            rows, complete_at = _rows(endpoints.clickhouse, study_instance_uid)
        except DestinationUnavailable as error:
            raise DemoFailed("audit", str(error), "writer-audit") from error
        if rows == on_kafka:
            return Audit(on_kafka, rows, complete_at)
        if time.monotonic() > deadline:
            held = f"{sum(rows.values())} of {sum(on_kafka.values())} events are in the audit store"
            raise DemoFailed("audit", held, "writer-audit")
        time.sleep(INTERVAL_S)


def missing(on_kafka: dict[str, int], images: int) -> str | None:
    """What a completed study has on Kafka and this one has not (yet), in one sentence. Pure."""
    tasks = sum(on_kafka.get(topic, 0) for topic in TASK_TOPICS.values())
    # SEG and SR come back into the gateway's own store, so they are instances too
    wanted = (
        (Topic.INSTANCES.value, on_kafka.get(Topic.INSTANCES, 0), images + 2),
        (Topic.STUDIES.value, on_kafka.get(Topic.STUDIES, 0), 1),
        ("inference.tasks.*", tasks, 1),
        (Topic.STATUS.value, on_kafka.get(Topic.STATUS, 0), 2),
        (Topic.RESULTS.value, on_kafka.get(Topic.RESULTS, 0), 1),
        (Topic.FINDINGS_BRAIN_VOLUME.value, on_kafka.get(Topic.FINDINGS_BRAIN_VOLUME, 0), 1),
        (Topic.DELIVERY.value, on_kafka.get(Topic.DELIVERY, 0), 2),
    )
    for topic, found, least in wanted:
        if found < least:
            return f"{topic} holds {found} events of the study where at least {least} are expected"
    return None


def _rows(address: SecretStr, study_instance_uid: str) -> tuple[dict[str, int], datetime]:
    answer = ask(address, _ROWS, {"uid": study_instance_uid})
    last = max((int(row[2]) for row in answer.rows), default=0)
    return {str(row[0]): int(row[1]) for row in answer.rows}, datetime.fromtimestamp(last / 1000, UTC)
