"""From a critical result on the log to the first notice in somebody's hands, behind a backlog of routine results.

The routine results are written at once, as when a worker farm catches up after an outage; a critical one comes
after each hundredth of them and as many again at the end. A latency runs from the time in the result event, taken
just before it is written, to the receipt of the first request by a local web server. Once with the writer running,
and once with everything waiting on the log, from the start of its process.

Peer, in the same run and with a broker of its own: ``benchmarks/bare_alarm.py``, a consumer that decodes and
posts: no state, no transaction, no second contact.

    python -m benchmarks.escalation
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.report import Row, arguments, percentile, publish
from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from schemas.codec import Codec
from schemas.ids import dicom_uid
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.consumers.escalation.findings import critical, three_contacts
from tests.consumers.escalation.receiver import Receiver, receiver
from tests.consumers.escalation.running import writer
from tests.consumers.results import result_with_findings
from tests.services import kafka_broker, program, wait_for

#: A critical result after so many routine ones.
EVERY: Final = 100
NODE: Final = "bench"

Contender = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Figures:
    """Seconds from result to first notice, from the start of the process to the last one, and requests in all."""

    running: list[float]
    started: list[float]
    requests: int


def burst(kafka: KafkaSettings, routine: int, name: str) -> dict[str, float]:
    """Write the backlog; returns when each critical result was made, by study, in seconds since 1970."""
    codec = Codec()
    template = result_with_findings()
    payloads = []
    for number in range(routine):
        uid = dicom_uid("routine", name, number)
        payloads.append((uid.encode(), codec.encode(replace(template, study_instance_uid=uid))))
    publisher = EventPublisher(kafka, codec, "/bench/escalation", Telemetry())
    made: dict[str, float] = {}

    def alarm() -> None:
        result = critical(f"{name}-{len(made)}", at=datetime.now(UTC))
        made[result.study_instance_uid] = time.time()
        publisher.publish(Topic.RESULTS, result.study_instance_uid, result)

    for number, (key, value) in enumerate(payloads, 1):
        publisher.publish_raw(Topic.RESULTS, key, value, [])
        if number % EVERY == 0:
            alarm()
    for _ in range(routine // EVERY):
        alarm()
    publisher.flush()
    return made


def first_notices(server: Receiver, made: dict[str, float]) -> dict[str, float]:
    """When the first notice of each study came, in seconds since 1970; waits for all."""
    studies = set(made)
    wait_for(lambda: studies <= {one.study for one in server.got}, "a notice of every critical result", 300)
    time.sleep(1)  # for what should not come
    first: dict[str, float] = {}
    for one in server.got:
        first.setdefault(one.study, one.at)
    return {study: first[study] for study in studies}


def measure(kafka: KafkaSettings, server: Receiver, contender: Contender, routine: int, name: str) -> Figures:
    """Both cases for one contender."""
    server.got.clear()
    with contender():
        made = burst(kafka, routine, f"{name}-running-{time.time_ns()}")
        came = first_notices(server, made)
        running = [came[study] - made[study] for study in made]
    waiting = burst(kafka, routine, f"{name}-waiting-{time.time_ns()}")
    begun = time.time()
    with contender():
        came = first_notices(server, waiting)
    return Figures(running, [came[study] - begun for study in waiting], len(server.got))


@contextmanager
def bare(kafka: KafkaSettings, url: str, folder: Path) -> Iterator[None]:
    """The peer; it has its partitions when the block begins, and leaves its group when it ends."""
    log = folder / f"bare-{time.time_ns()}.log"
    command = [sys.executable, "-m", "benchmarks.bare_alarm", kafka.bootstrap_servers, url]
    with program(command, environment={}, log=log):
        wait_for(lambda: "assigned" in log.read_text(), "the peer")
        yield


def contend(name: str, routine: int) -> Figures:
    """Figures of one contender, with a broker of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="scanstream-") as directory,
        kafka_broker(Path(directory)) as servers,
        receiver() as server,
    ):
        kafka, folder = KafkaSettings(bootstrap_servers=servers), Path(directory)
        create_topics(kafka)
        if name == "own":
            routes = three_contacts(server.url, wait_s=3600)
            return measure(kafka, server, lambda: writer(kafka, routes, folder, NODE), routine, name)
        return measure(kafka, server, lambda: bare(kafka, f"{server.url}sms", folder), routine, name)


def rows_of(own: Figures, peer: Figures) -> list[Row]:
    """Figures as a table."""
    alarms = len(own.running) + len(own.started)
    rows = [
        Row("critical results", alarms, "alarms", "bare loop", len(peer.running) + len(peer.started)),
        Row("requests received", own.requests, "requests", "bare loop", peer.requests),
    ]
    for case, figures, others in (
        ("writer running", own.running, peer.running),
        ("process start on the backlog", own.started, peer.started),
    ):
        for told, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            rows.append(
                Row(
                    f"first notice, {case}, {told}",
                    percentile(figures, share),
                    "s",
                    "bare loop",
                    percentile(others, share),
                )
            )
    return rows


def main() -> int:
    """Command line."""
    parser = arguments("Critical result to first notice under a backlog")
    parser.add_argument("--routine", type=int, default=10_000, help="routine results in front (default: 10000)")
    options = parser.parse_args()
    routine = 2_000 if options.quick else options.routine
    rows = rows_of(contend("own", routine), contend("peer", routine))
    publish(f"Critical results among {routine:,} routine ones, goal p95 of 5 s", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
