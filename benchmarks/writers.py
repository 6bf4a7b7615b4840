"""Results per second through the whole stow writer, beside raw STOW of the same objects made beforehand.

Writers are processes of their own on a real Kafka, which share the partitions of one group: each reads results,
redeems their claim checks at a gateway, renders SEG and SR, stores them, and commits outcomes. The peer is httpx,
which posts the same bytes, already rendered, in one request per result with as many connections as all writers
have deliveries at once. Both go in turn, round after round, to Orthanc (empty each time) and to a PACS that keeps
nothing; a figure is the median of the rounds. Rendering is work of the processor, which raw STOW has none of, so
there are two rates: of the whole writers, and of the delivery runtime with our client when it too is given objects
made beforehand. Below, where the time of one result goes, measured in one thread.

    python -m benchmarks.writers --results 60
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import httpx

from benchmarks.outcomes import Outcomes
from benchmarks.place import place
from benchmarks.report import Row, arguments, publish
from benchmarks.result_stock import again, gateway, stock
from consumers.delivery.limits import Limits
from consumers.dicom.plan import Plan
from consumers.dicom.render import RenderedObject, render, tolerate_source_values
from consumers.stow.client import StowClient
from consumers.stow.gather import gather
from consumers.stow.web import DicomWeb
from producers.claim_check import ClaimCheck
from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from schemas.codec import Codec
from schemas.events import InferenceResult, ObjectOutcome
from schemas.settings import KafkaSettings
from schemas.topics import Topic, writer_group
from tests.consumers.delivery.bench import Bench
from tests.orthanc import orthanc_server
from tests.services import kafka_broker, module, wait_for
from tests.tools import free_port

_BOUNDARY: Final = "benchmark"
_PLAN: Final = Plan()


def rendered(results: Sequence[InferenceResult], rows: list[Row]) -> list[tuple[RenderedObject, ...]]:
    """Objects of all results; appends where the time went."""
    spent = {"fetch headers and mask": 0.0, "render SEG and SR": 0.0}
    made = []
    with ClaimCheck(120.0) as claims:
        for result in results:
            started = time.perf_counter()
            material = gather(result, claims, _PLAN)
            between = time.perf_counter()
            made.append(render(result, material, _PLAN))
            spent["fetch headers and mask"] += between - started
            spent["render SEG and SR"] += time.perf_counter() - between
    rows += [Row(f"one result: {name}", 1000 * s / len(results), "ms") for name, s in spent.items()]
    return made


def raw(root: str, objects: Sequence[tuple[RenderedObject, ...]], connections: int) -> float:
    """Results per second of httpx alone."""
    limits = httpx.Limits(max_connections=connections)
    with httpx.Client(timeout=120.0, limits=limits) as client, ThreadPoolExecutor(connections) as pool:

        def post(of_one: tuple[RenderedObject, ...]) -> None:
            head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            body = b"".join(head + item.data + b"\r\n" for item in of_one) + f"--{_BOUNDARY}--\r\n".encode()
            response = client.post(
                f"{root}/studies/{of_one[0].study_instance_uid}",
                content=body,
                headers={
                    "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
                    "Accept": "application/dicom+json",
                },
            )
            response.raise_for_status()

        started = time.perf_counter()
        list(pool.map(post, objects))
        return len(objects) / (time.perf_counter() - started)


@dataclass(frozen=True)
class Shape:
    """How many writers, and deliveries at once in each."""

    processes: int
    width: int


def ours(
    kafka: KafkaSettings, root: str, results: Sequence[InferenceResult], folder: Path, number: int, shape: Shape
) -> float:
    """Results per second of the writers, from the first message sent to the last outcome committed."""
    name = f"bench-{number}"
    Bench(kafka, writer_group(name), name)  # begins at the present end of the results
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SCANSTREAM_WRITER_NAME": name,
        "SCANSTREAM_WRITER_CONCURRENCY": str(shape.width),
        "SCANSTREAM_STOW_PACS_URL": root,
        "SCANSTREAM_STOW_OBJECTS": "seg,sr",
    }
    publisher = EventPublisher(kafka, Codec(), "/bench/writers", Telemetry())

    def send(given: Sequence[InferenceResult], turn: str) -> None:
        for result in given:
            publisher.publish(Topic.RESULTS, result.study_instance_uid, again(result, f"{number}-{turn}"))
        publisher.flush()

    with ExitStack() as stack:
        outcomes = stack.enter_context(Outcomes(kafka, name))
        for process in range(shape.processes):
            log = folder / f"{name}-{process}.log"
            node = environment | {"SCANSTREAM_NODE": f"bench-{process}"}
            stack.enter_context(module("consumers.writer", "stow", environment=node, log=log))
            wait_for(lambda file=log: '"event": "ready"' in file.read_text(encoding="utf-8"), "the writer")
        send(results, "warm")  # every process has its partitions now, and has rendered before
        outcomes.wait(len(results))
        started = time.perf_counter()
        send(results, "measured")
        outcomes.wait(2 * len(results))
        return len(results) / (time.perf_counter() - started)


class Prepared:
    """A destination that renders nothing: its objects were made before."""

    wants_failures = False

    def __init__(self, name: str, root: str, objects: Sequence[tuple[RenderedObject, ...]]) -> None:
        self.name = name
        self._objects = {of_one[0].study_instance_uid: of_one for of_one in objects}
        self._client = StowClient(DicomWeb(root, None, timeout_s=120.0), 1 << 30)

    def deliver(self, result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        """Store what belongs to the study."""
        return self._client.store(self._objects[result.study_instance_uid])

    def probe(self) -> None:
        """Always there."""


def runtime(
    kafka: KafkaSettings,
    root: str,
    results: Sequence[InferenceResult],
    objects: Sequence[tuple[RenderedObject, ...]],
    connections: int,
) -> float:
    """Results per second of the delivery runtime and our client, with objects made beforehand."""
    bench = Bench(kafka)
    destination = Prepared(bench.name, root, objects)
    with Outcomes(kafka, bench.name) as outcomes, bench.writer(destination, Limits(concurrency=connections)):
        bench.send(again(results[0], bench.group))
        outcomes.wait(1)
        started = time.perf_counter()
        bench.send(*(again(result, f"{bench.group}-measured") for result in results))
        outcomes.wait(1 + len(results))
        return len(results) / (time.perf_counter() - started)


def store_ms(root: str, objects: Sequence[tuple[RenderedObject, ...]]) -> float:
    """Milliseconds that our client takes to store the objects of one result."""
    web = DicomWeb(root, None, timeout_s=120.0)
    client, started = StowClient(web, 1 << 30), time.perf_counter()
    for of_one in objects:
        client.store(of_one)
    took = time.perf_counter() - started
    web.close()
    return 1000 * took / len(objects)


@contextmanager
def null_pacs(folder: Path) -> Iterator[str]:
    """A PACS that keeps nothing."""
    port = free_port()
    with module("benchmarks.null_stow", str(port), environment={}, log=folder / "null.log"):
        wait_for(lambda: _answers(port), "the null PACS")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _orthanc(folder: Path) -> Iterator[str]:
    folder.mkdir()
    with orthanc_server(folder) as server:
        yield server.dicom_web


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/counted", timeout=5.0).is_success
    except httpx.TransportError:
        return False


def main() -> int:
    """Command line."""
    parser = arguments("Throughput of the stow writer, beside raw STOW of the same objects")
    parser.add_argument("--results", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="writers that share the work")
    parser.add_argument("--width", type=int, default=2, help="deliveries at once in each of them")
    options = parser.parse_args()
    count, rounds = (30, 1) if options.quick else (options.results, options.rounds)
    shape = Shape(options.processes, options.width)
    connections = shape.processes * shape.width
    rows: list[Row] = []
    tolerate_source_values()
    with place() as folder, ExitStack() as stack:
        (folder / "kafka").mkdir()
        kafka = KafkaSettings(bootstrap_servers=stack.enter_context(kafka_broker(folder / "kafka")))
        create_topics(kafka)
        results = stock(stack.enter_context(gateway(folder / "gateway", kafka.bootstrap_servers)), count)
        objects = rendered(results, rows)
        null = stack.enter_context(null_pacs(folder))
        rows.append(Row("one result: store at a PACS that keeps nothing", store_ms(null, objects), "ms"))
        size = sum(len(item.data) for of_one in objects for item in of_one) / len(objects)
        rows.append(Row("one result: size of its objects", size / 1000, "kB"))
        os.environ["KAFKA_BOOTSTRAP_SERVERS"] = kafka.bootstrap_servers
        rates: dict[str, list[tuple[float, float, float]]] = {"PACS that keeps nothing": [], "Orthanc": []}
        for turn in range(rounds):
            beside = raw(null, objects, connections)
            prepared = runtime(kafka, null, results, objects, connections)
            whole = ours(kafka, null, results, folder, 2 * turn, shape)
            rates["PACS that keeps nothing"].append((whole, prepared, beside))
            with _orthanc(folder / f"raw-{turn}") as root:
                beside = raw(root, objects, connections)
            with _orthanc(folder / f"runtime-{turn}") as root:
                prepared = runtime(kafka, root, results, objects, connections)
            with _orthanc(folder / f"ours-{turn}") as root:
                whole = ours(kafka, root, results, folder, 2 * turn + 1, shape)
            rates["Orthanc"].append((whole, prepared, beside))
            sys.stderr.write(f"round {turn + 1}: {rates}\n")
    table = []
    for name, of_rounds in rates.items():
        whole, prepared, beside = (median(column) for column in zip(*of_rounds, strict=True))
        table += [
            Row(f"whole writers to {name}", whole, "results/s", "raw httpx", beside),
            Row(f"runtime and client to {name}", prepared, "results/s", "raw httpx", beside),
        ]
    title = f"{shape.processes} stow writers, {shape.width} deliveries at once in each, {count} results"
    publish(title, table + rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
