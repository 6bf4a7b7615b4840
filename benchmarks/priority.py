"""Four classes on three workers: what an emergency feels of a backlog of routine work, and of workers that die.

A broker, a gateway with small studies, and three worker processes. First each class is asked for one task at
a time on the idle system, which is the peer. Then a backlog of P4 is put in, and P1, P2 and P3 arrive at random
while it is worked off. Then the same while one worker after the other is killed and restarted. A latency runs from
the moment before a task is produced to its committed result at a subscriber.

Two sites: on *shared cores* a model that takes next to nothing runs on the processors that everything else runs
on, as fast as three workers can; with *accelerators* each worker has one of its own
(``benchmarks/accelerator.py``), on which a study takes four steps of 50 ms.

    python -m benchmarks.priority
"""

from __future__ import annotations

import dataclasses
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from confluent_kafka import TopicPartition
from pydicom import Dataset
from pydicom.uid import generate_uid

from benchmarks import windows_model
from benchmarks.accelerator import accelerator
from benchmarks.report import Row, arguments, percentile, publish
from benchmarks.result_stock import gateway
from producers.kafka import EventPublisher, consumer_config, new_consumer
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from schemas.codec import Codec
from schemas.events import InferenceResult, InferenceTask, NodeHeartbeat, NodeState
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, Priority, Topic
from tests.engines import tiny
from tests.engines.phantom import series
from tests.services import kafka_broker, module, wait_for
from tests.streams.worker.site import store
from tests.streams.worker.tasks import task_for

P1, P2, P3, P4 = Priority
NODES: Final = ("bench-1", "bench-2", "bench-3")

#: Slices, rows, columns.
STUDY: Final = (8, 64, 64)

#: Seconds of one step on an accelerator.
STEP_S: Final = 0.05

#: Seconds from creation to deadline, as the rules of the release have them.
DEADLINES_S: Final = {P1: 60.0, P2: 300.0, P3: 3600.0, P4: 86400.0}


class Results:
    """When the results of tasks became visible, and how often; read in a thread."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.seen: dict[str, float] = {}
        self.times: Counter[str] = Counter()
        self.ready: dict[str, NodeState] = {}
        self._codec = Codec()
        self._stop = threading.Event()
        self._consumer = new_consumer(consumer_config(settings, "results", "bench.results", fetch_wait_ms=10))
        topics = {Topic.RESULTS.value, Topic.NODES.value}
        self._consumer.assign(
            [
                TopicPartition(topic, number, 0)
                for topic in topics
                for number in self._consumer.list_topics(topic, 30).topics[topic].partitions
            ]
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join(30)
        self._consumer.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, 0.01):
                if message.error() is not None:
                    continue
                now, event = time.monotonic(), self._codec.decode(message.value())
                if isinstance(event, InferenceResult):
                    self.times[event.task_id] += 1
                    self.seen.setdefault(event.task_id, now)
                elif isinstance(event, NodeHeartbeat):
                    self.ready[event.node] = event.state


@dataclass
class Site:
    """What is measured.

    Attributes
    ----------
    studies
        Images of each study that the gateway holds.
    asked
        Tasks by class, with the moment before they were produced.
    """

    settings: KafkaSettings
    dicom_web: str
    model: str
    studies: Sequence[Sequence[Dataset]]
    results: Results
    chance: random.Random
    asked: dict[Priority, list[tuple[str, float]]] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        self._publisher = EventPublisher(self.settings, Codec(), "/bench/tasks", Telemetry())

    def ask(self, priority: Priority, times: int = 1) -> list[str]:
        """Produce tasks of a class; their ids."""
        made = []
        for _ in range(times):
            self.number += 1
            task = self._task(priority)
            self.asked.setdefault(priority, []).append((task.task_id, time.monotonic()))
            # as many keys as studies of a hospital, so that the tasks lie on all partitions
            self._publisher.publish(TASK_TOPICS[priority], f"{task.study_instance_uid}.{self.number}", task)
            made.append(task.task_id)
        self._publisher.flush()
        return made

    def begin(self) -> None:
        """Forget what was asked before."""
        self.asked = {}

    def done(self) -> bool:
        """Whether everything asked for has its result."""
        return all(task_id in self.results.seen for tasks in self.asked.values() for task_id, _ in tasks)

    def latencies(self, priority: Priority) -> list[float]:
        """Seconds from asking to the result."""
        return [self.results.seen[task_id] - asked for task_id, asked in self.asked[priority]]

    def _task(self, priority: Priority) -> InferenceTask:
        images = self.studies[self.number % len(self.studies)]
        task = task_for(images, self.dicom_web, priority, model_name=self.model)
        now = datetime.now(UTC).replace(microsecond=0)
        deadline = now + timedelta(seconds=DEADLINES_S[priority])
        return dataclasses.replace(task, task_id=f"{task.task_id}-{self.number}", deadline=deadline)


class Workers:
    """Three worker processes that can be killed."""

    def __init__(self, settings: KafkaSettings, models: Path, folder: Path, accelerators: Sequence[str]) -> None:
        self._settings = settings
        self._models = models
        self._folder = folder
        self._accelerators = dict(zip(NODES, accelerators, strict=False))
        self._stacks = {node: ExitStack() for node in NODES}
        self._children: dict[str, Any] = {}

    def start(self, node: str) -> None:
        """Start one."""
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": self._settings.bootstrap_servers,
            "SCANSTREAM_DATA_DIR": str(self._folder),
            "SCANSTREAM_NODE": node,
            "SCANSTREAM_LOG_LEVEL": "WARNING",
            "SCANSTREAM_WORKER_MODEL_REPOSITORY": str(self._models),
            "SCANSTREAM_WORKER_THREADS": "1",
        }
        if node in self._accelerators:
            environment["SCANSTREAM_WORKER_TRITON_URL"] = self._accelerators[node]
        log = self._folder / f"{node}-{time.monotonic_ns()}.log"
        self._children[node] = self._stacks[node].enter_context(
            module("streams.worker", environment=environment, log=log)
        )

    def kill(self, node: str) -> None:
        """End one as a power cut does, and start it again."""
        self._children[node].send_signal(signal.SIGKILL)
        self._children[node].wait(60)
        self.start(node)

    def close(self) -> None:
        """End all."""
        for stack in self._stacks.values():
            stack.close()


def idle(site: Site, times: int) -> dict[Priority, list[float]]:
    """Latencies of one task at a time."""
    site.begin()
    for _ in range(times):
        for priority in (P1, P2, P3):
            (task_id,) = site.ask(priority)
            deadline = time.monotonic() + 60
            while task_id not in site.results.seen:
                if time.monotonic() > deadline:
                    raise TimeoutError("a task on the idle system was not answered in 60 s")
                time.sleep(0.002)
    return {priority: site.latencies(priority) for priority in (P1, P2, P3)}


@dataclass(frozen=True)
class Load:
    """What is asked of a site.

    Attributes
    ----------
    every_s
        Mean seconds between two arrivals of a class while the backlog is worked off.
    """

    name: str
    backlog: int
    every_s: Mapping[Priority, float]
    accelerators: bool


#: Emergencies that meet on a worker wait for each other: with accelerators they take longer, so they are rarer
#: here, and still 29,000 a day.
SHARED: Final = Load("shared cores", 6000, {P1: 1.5, P2: 1.0, P3: 1.0}, accelerators=False)
ACCELERATORS: Final = Load("accelerators", 2000, {P1: 3.0, P2: 2.0, P3: 2.0}, accelerators=True)


def work_off(site: Site, asked: Load, workers: Workers, kill_every_s: float | None) -> tuple[float, int]:
    """Work a backlog off while the other classes arrive; seconds that it took, and workers killed."""
    site.begin()
    started = time.monotonic()
    site.ask(P4, asked.backlog)
    routine = [task_id for task_id, _ in site.asked[P4]]
    due = {priority: started + site.chance.expovariate(1 / every) for priority, every in asked.every_s.items()}
    kill_at, kills = started + (kill_every_s or float("inf")), 0
    while not all(task_id in site.results.seen for task_id in routine):
        now = time.monotonic()
        for priority, at in due.items():
            if at <= now:
                site.ask(priority)
                due[priority] = now + site.chance.expovariate(1 / asked.every_s[priority])
        if kill_every_s is not None and now >= kill_at:
            workers.kill(NODES[kills % len(NODES)])
            kills, kill_at = kills + 1, now + kill_every_s
        time.sleep(0.005)
    took = time.monotonic() - started
    wait_for(site.done, "every task", 600.0)
    time.sleep(2.0)  # whatever is there twice comes now
    return took, kills


def rows_of(site: Site, name: str, quiet: dict[Priority, list[float]]) -> list[Row]:
    """Figures of one load, class by class."""
    rows = []
    for priority in (P1, P2, P3, P4):
        latencies = site.latencies(priority)
        for figure, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            before = quiet.get(priority)
            rows.append(
                Row(
                    f"{name}: {priority.value[:2].upper()} {figure} of {len(latencies)}",
                    percentile(latencies, share) * 1000,
                    "ms",
                    "idle system" if before else None,
                    percentile(before, share) * 1000 if before else None,
                )
            )
    missed = sum(
        seconds > DEADLINES_S[priority] for priority in (P1, P2, P3, P4) for seconds in site.latencies(priority)
    )
    asked = [task_id for tasks in site.asked.values() for task_id, _ in tasks]
    rows.append(Row(f"{name}: deadlines missed", missed, "tasks"))
    times = [site.results.times[task_id] for task_id in asked]
    rows.append(Row(f"{name}: tasks without a result", sum(one == 0 for one in times), "tasks"))
    rows.append(Row(f"{name}: tasks with two results", sum(one > 1 for one in times), "tasks"))
    return rows


@contextmanager
def site_of(folder: Path, studies: int, *, accelerators: bool) -> Iterator[tuple[Site, Workers]]:
    """Everything that runs."""
    models, state = folder / "models", folder / "state"
    state.mkdir()
    name = windows_model.SMALL.name if accelerators else tiny.NAME
    with ExitStack() as running:
        urls: list[str] = []
        if not accelerators:
            tiny.add_version(models, 1)
        else:
            windows_model.add_windows_model(models, windows_model.SMALL)
            urls = [
                running.enter_context(accelerator(STEP_S, windows_model.SMALL, folder / f"{node}-accelerator.log"))
                for node in NODES
            ]
        servers = running.enter_context(kafka_broker(folder))
        dicom_web = running.enter_context(gateway(folder / "gateway", servers))
        settings = KafkaSettings(bootstrap_servers=servers)
        create_topics(settings)
        draw = np.random.default_rng(1)
        made = [
            series(draw.integers(0, 900, STUDY), spacing_mm=(5, 3, 3), name=generate_uid()) for _ in range(studies)
        ]
        for images in made:
            store(dicom_web, images)
        results, workers = Results(settings), Workers(settings, models, state, urls)
        try:
            for node in NODES:
                workers.start(node)
            wait_for(lambda: all(results.ready.get(node) is NodeState.READY for node in NODES), "the workers")
            time.sleep(3.0)  # until all of them have their partitions
            yield Site(settings, dicom_web, name, made, results, random.Random(1)), workers
        finally:
            workers.close()
            results.close()


def measured(asked: Load, times: int, kill_every_s: float) -> list[Row]:
    """Figures of one site."""
    name = asked.name
    with (
        tempfile.TemporaryDirectory(prefix="scanstream-") as folder,
        site_of(Path(folder), 20, accelerators=asked.accelerators) as (site, workers),
    ):
        idle(site, 3)  # first uses of everything
        quiet = idle(site, times)
        took, _ = work_off(site, asked, workers, None)
        rows = [Row(f"{name}: backlog of P4", asked.backlog, "tasks")]
        rows.append(Row(f"{name}: worked off at", asked.backlog / took, "P4 tasks/s"))
        rows += rows_of(site, f"{name}, backlog", quiet)
        took, kills = work_off(site, asked, workers, kill_every_s)
        rows.append(Row(f"{name}: workers killed", kills, "times"))
        return rows + rows_of(site, f"{name}, killed", quiet)


def main() -> int:
    """Command line."""
    parser = arguments("Latency of four classes while workers are saturated and killed")
    parser.add_argument(
        "--backlog", type=int, help="P4 tasks (default: 6000 on shared cores, 2000 on accelerators)"
    )
    parser.add_argument("--kill-every", type=float, default=60.0, help="seconds between two kills (default: 60)")
    parser.add_argument("--only", choices=[SHARED.name, ACCELERATORS.name], help="one of the two sites")
    options = parser.parse_args()
    times, kill_every_s = (10, 8.0) if options.quick else (40, options.kill_every)
    backlog = 400 if options.quick else options.backlog
    rows: list[Row] = []
    for asked in (SHARED, ACCELERATORS):
        if options.only in (None, asked.name):
            rows += measured(dataclasses.replace(asked, backlog=backlog or asked.backlog), times, kill_every_s)
    publish(f"Four classes on {len(NODES)} workers", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
