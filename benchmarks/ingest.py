"""Taking in: scanstream, durable and with its events on Kafka, beside what a site would pick instead.

One load generator sends to each receiver in turn, round after round, so that a noisy moment of the machine meets
all of them; a figure is the median of the rounds. scanstream fsyncs every instance before success, and the run
counts the messages on the topic at the end. No peer fsyncs. Each stores on the same disk; ``TMPDIR`` says which.

Peers: stock pynetdicom (files only; files and a SQLite index), DCMTK ``storescp --fork``, dicom-rs
``dicom-storescp -n -m 131072``, Orthanc with its defaults; and a bare asyncio acceptor that keeps nothing, which
is the ceiling of machine and generator.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import receivers
from benchmarks.images import Size, image
from benchmarks.load import load
from benchmarks.place import place
from benchmarks.published import Published
from benchmarks.receivers import NotInstalled, Receiver
from benchmarks.report import Row, arguments, publish
from producers.topic_admin import create_topics
from schemas.settings import KafkaSettings
from tests.services import kafka_broker

_PEERS: Final[dict[str, Callable[[Path], AbstractContextManager[Receiver]]]] = {
    "bare": receivers.null_acceptor,
    "dicom-rs": receivers.dicom_rs,
    "orthanc": receivers.orthanc,
    "pynetdicom-index": partial(receivers.pynetdicom, index=True),
    "pynetdicom": receivers.pynetdicom,
    "dcmtk": receivers.dcmtk,
}
_OURS: Final = "scanstream"


@dataclass
class Course:
    """What is sent, and how often."""

    sizes: tuple[Size, ...]
    associations: tuple[int, ...]
    rounds: int
    warm_s: float
    seconds: float


@dataclass
class Measured:
    """Megabytes per second by receiver, size and associations, one per round; and what ours acknowledged."""

    rates: dict[tuple[str, Size, int], list[float]] = field(default_factory=dict)
    acknowledged: int = 0
    behind_s: list[float] = field(default_factory=list)
    senders: int = 0

    def of(self, name: str, size: Size, associations: int) -> float:
        """Median of the rounds; 0 when it was not run."""
        return median(self.rates.get((name, size, associations), [0.0]))


def measure(running: list[Receiver], course: Course, published: Published) -> Measured:
    """Send to all receivers in turn, round after round."""
    measured = Measured()
    for _ in range(course.rounds):
        for size in course.sizes:
            for associations in course.associations:
                for receiver in running:
                    _one(receiver, size, associations, course, measured, published)
    return measured


def _one(
    receiver: Receiver, size: Size, associations: int, course: Course, measured: Measured, published: Published
) -> None:
    # What a receiver left in the page cache must not be written while the next one is measured.
    os.sync()
    counted = load(
        receiver.port,
        size,
        associations,
        course.seconds,
        warm=course.warm_s,
        called=receiver.called,
        first_sender=measured.senders,
    )
    measured.senders += associations
    if counted.failures or counted.refused:
        raise RuntimeError(f"{receiver.name}: {counted.refused} refused, {counted.failures[:1]}")
    rate = counted.instances * len(image(size).data_set) / counted.seconds / 1e6
    measured.rates.setdefault((receiver.name, size, associations), []).append(rate)
    sys.stderr.write(f"{receiver.name:26s} {size:6s}{associations:4d} associations {rate:8.1f} MB/s\n")
    if receiver.name == _OURS:
        measured.acknowledged += counted.acknowledged
        measured.behind_s.append(published.wait(measured.acknowledged))
    elif not receiver.indexes:
        receiver.empty()


def rows(measured: Measured, running: list[Receiver], course: Course, published: int) -> list[Row]:
    """Ours beside each peer, then what was on Kafka."""
    table = []
    for size in course.sizes:
        for associations in course.associations:
            ours = measured.of(_OURS, size, associations)
            name = f"{'525 kB CT' if size == 'ct' else '10 kB slices'}, {associations} associations"
            table += [
                Row(name, ours, "MB/s", peer.name, measured.of(peer.name, size, associations))
                for peer in running[1:]
            ]
            indexing = [peer for peer in running[1:] if peer.indexes]
            if indexing:
                best = max(indexing, key=lambda peer: measured.of(peer.name, size, associations))
                rate = measured.of(best.name, size, associations)
                table.append(Row(f"{name}: best that indexes", ours, "MB/s", best.name, rate))
    acknowledged = float(measured.acknowledged)
    table.append(Row("instances on the topic", float(published), "instances", "acknowledged", acknowledged))
    table.append(Row("last event on Kafka after last success, slowest run", max(measured.behind_s), "s"))
    return table


def start(stack: ExitStack, folder: Path, kafka: str, wanted: list[str]) -> list[Receiver]:
    """Ours first, then the peers that are installed."""
    running = [stack.enter_context(receivers.gateway(folder / "gateway-bench", kafka))]
    for name in wanted:
        try:
            running.append(stack.enter_context(_PEERS[name](folder / name)))
        except NotInstalled as reason:
            sys.stderr.write(f"{name} not run: {reason}\n")
    return running


def main() -> int:
    """Command line."""
    parser = arguments("Taking in, beside what a site would pick instead")
    parser.add_argument("--peers", default=",".join(_PEERS), help="which ones, comma separated")
    options = parser.parse_args()
    course = (
        Course(("ct", "small"), (1, 16), 1, 0.5, 1.0)
        if options.quick
        else Course(("ct", "small"), (1, 4, 16, 64), 3, 0.5, 2.0)
    )
    with place() as folder, ExitStack() as stack:
        (folder / "kafka").mkdir()
        kafka = stack.enter_context(kafka_broker(folder / "kafka"))
        create_topics(KafkaSettings(bootstrap_servers=kafka))
        published = Published(kafka)
        stack.callback(published.close)
        running = start(stack, folder, kafka, options.peers.split(","))
        measured = measure(running, course, published)
        table = rows(measured, running, course, published.count)
    publish(f"Taking in, {course.rounds} rounds of {course.seconds:.0f} s", table, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
