"""How long clients of the API wait, with ten thousand tasks known: orders, reads, searches, events.

The real API process on a real Kafka; half of the tasks are done and delivered, half wait. Each client sends its
next request when the answer to the one before has come, over one connection. An order is a new task of another
study each time. An event's way runs from just before the status is sent to Kafka to the client that follows all.

Peer, in the same run: ``benchmarks/bare_api.py``, a FastAPI process that validates the same body and produces one
message for an order, and for the rest answers with the same bytes from memory.

    python -m benchmarks.api
"""

from __future__ import annotations

import http.client
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import orjson

from benchmarks.report import Row, arguments, percentile, publish
from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from schemas.codec import Codec
from schemas.events import Event, InferenceResult, InferenceTask, NodeHeartbeat, StudyReady, TaskState, TaskStatus
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, Priority, Topic
from tests.dashboards.fleet import heartbeat, study
from tests.dashboards.story import MODEL, Story
from tests.services import kafka_broker, module, wait_for
from tests.tools import free_port

#: Clients at once.
CROWD: Final = 16
GOAL_MS: Final = 200.0
#: Longest time of one measurement, so that what is slow is told and not waited for.
LONGEST_S: Final = 15.0
_JSON: Final = {"content-type": "application/json"}

#: Number of the request → method, path, body.
Ask = Callable[[int], tuple[str, str, bytes | None]]


@dataclass(frozen=True)
class Case:
    """One kind of request: of us, and of the peer."""

    name: str
    own: Ask
    peer: Ask
    clients: tuple[int, ...] = (1, CROWD)


class Log:
    """What is on Kafka."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._publisher = EventPublisher(kafka, Codec(), "/bench/api", Telemetry())

    def tell(self, event: Event) -> None:
        """Send one event."""
        match event:
            case StudyReady():
                topic, key = Topic.STUDIES, event.study_instance_uid
            case InferenceTask():
                topic, key = TASK_TOPICS[event.priority], event.study_instance_uid
            case TaskStatus():
                topic, key = Topic.STATUS, event.task_id
            case InferenceResult():
                topic, key = Topic.RESULTS, event.study_instance_uid
            case NodeHeartbeat():
                topic, key = Topic.NODES, event.node
            case _:
                topic, key = Topic.DELIVERY, str(getattr(event, "task_id", ""))
        self._publisher.publish(topic, key, event)

    def node_lives(self) -> None:
        """A worker that answers with the model was heard of."""
        self.tell(heartbeat(datetime.now(UTC)))
        self.flush()

    def flush(self) -> None:
        """All of it is acknowledged."""
        self._publisher.flush()


def stories(number: int) -> list[Story]:
    """Studies of the last hour, each with a task."""
    begun = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    classes = tuple(Priority)
    return [
        Story(f"1.2.{index}", classes[index % 4], begun + timedelta(milliseconds=200 * index))
        for index in range(number)
    ]


def fill(log: Log, known: list[Story]) -> None:
    """Every second task is done, the others wait."""
    for index, story in enumerate(known):
        _, *rest = story.whole()
        log.tell(study(story))
        for event in rest if index % 2 else rest[:2]:
            log.tell(event)
    log.node_lives()


@contextmanager
def own(kafka: KafkaSettings, folder: Path) -> Iterator[int]:
    """Port of the API, which has read the log."""
    port = free_port()
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SCANSTREAM_API_PORT": str(port),
        "SCANSTREAM_DATA_DIR": str(folder / "api"),
    }
    with module("dashboards.api", environment=environment, log=folder / "api.log"):
        wait_for(lambda: _answers(port, "/health/ready"), "the API")
        yield port


@contextmanager
def bare(kafka: KafkaSettings, answers: Path, folder: Path) -> Iterator[int]:
    """Port of the peer."""
    port = free_port()
    given = (kafka.bootstrap_servers, str(port), str(answers))
    with module("benchmarks.bare_api", *given, environment={}, log=folder / "bare.log"):
        wait_for(lambda: _answers(port, "/openapi.json"), "the peer")
        yield port


def _answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}").is_success
    except httpx.TransportError:
        return False


def measure(port: int, ask: Ask, clients: int, requests: int) -> list[float]:
    """Milliseconds of each request, of so many clients at once."""
    numbers, lock, until = itertools.count(), threading.Lock(), time.perf_counter() + LONGEST_S

    def client(count: int) -> list[float]:
        connection, took = http.client.HTTPConnection("127.0.0.1", port, timeout=60), list[float]()
        for _ in range(count):
            with lock:
                number = next(numbers)
            method, path, body = ask(number)
            begun = time.perf_counter()
            connection.request(method, path, body, _JSON)
            answer = connection.getresponse()
            said = answer.read()
            ended = time.perf_counter()
            took.append((ended - begun) * 1000)
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {said[:300]!r}")
            if ended > until:
                break
        connection.close()
        return took

    with ThreadPoolExecutor(clients) as pool:
        share = max(requests // clients, 1)
        return [one for found in pool.map(client, [share] * clients) for one in found]


def follow(port: int, log: Log, story: Story, events: int) -> list[float]:
    """Milliseconds from just before each status is sent to its arrival at a client that follows all of them."""
    sent, took = dict[str, float](), list[float]()
    status = story.status(TaskState.INFERRING, 3)
    with httpx.stream("GET", f"http://127.0.0.1:{port}/v1/events", timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)  # the stream has begun, and the peer has its partitions
        for number in range(events):
            reason = f"event {number} {time.time_ns()}"
            one = replace(status, reason=reason, progress=number % 100, occurred_at=datetime.now(UTC))
            sent[reason] = time.perf_counter()
            log.tell(one)
            log.flush()
            data = next(line for line in lines if line.startswith("data: ") and reason in line)
            took.append((time.perf_counter() - sent[orjson.loads(data[6:])["reason"]]) * 1000)
            time.sleep(0.01)
    return took


def cases(known: list[Story]) -> list[Case]:
    """What is asked for, and by what name the peer has its answer."""

    def get(path: str) -> Ask:
        return lambda _: ("GET", path, None)

    def order(number: int) -> tuple[str, str, bytes]:
        uid = known[number * 7 % len(known)].uid
        return "POST", "/v1/inference", orjson.dumps({"study_instance_uid": uid, "model": MODEL})

    def task(number: int) -> tuple[str, str, None]:
        return "GET", f"/v1/tasks/{known[number * 7 % len(known)].task_id}", None

    found = [Case("POST /v1/inference", order, order), Case("GET /v1/tasks/{id}", task, get("/answers/0"))]
    searches = (
        "/v1/tasks",
        "/fhir/Task?status=requested",
        "/fhir/Task?code=none",
        "/workitems",
        "/workitems?ProcedureStepLabel=none*",
    )
    for index, path in enumerate(searches, 1):
        found.append(Case(f"GET {path}", get(path), get(f"/answers/{index}")))
    return found


def rows_of(name: str, ours: list[float], others: list[float]) -> list[Row]:
    """Median and 99th percentile."""
    return [
        Row(f"{name}, {told}", percentile(ours, share), "ms", "bare FastAPI", percentile(others, share))
        for told, share in (("p50", 0.5), ("p99", 0.99))
    ]


def run(tasks: int, requests: int) -> list[Row]:
    """All figures."""
    rows, known = list[Row](), stories(tasks)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scanstream-")))
        kafka = KafkaSettings(bootstrap_servers=stack.enter_context(kafka_broker(folder)))
        create_topics(kafka)
        log = Log(kafka)
        fill(log, known)
        wanted, answers = cases(known), folder / "answers"
        answers.mkdir()
        ours = stack.enter_context(own(kafka, folder))
        for index, case in enumerate(wanted[1:]):
            _, path, _ = case.own(0)
            (answers / str(index)).write_bytes(httpx.get(f"http://127.0.0.1:{ours}{path}", timeout=60).content)
        theirs = stack.enter_context(bare(kafka, answers, folder))
        for case in reversed(wanted):  # orders last: what they add is not known before
            for clients in case.clients:
                log.node_lives()
                figures = []
                for port, ask in ((ours, case.own), (theirs, case.peer)):
                    measure(port, ask, clients, clients * 2)
                    figures.append(measure(port, ask, clients, requests))
                rows += rows_of(f"{case.name}, {clients} client{'s' * (clients > 1)}", *figures)
        figures = [follow(port, log, known[0], max(requests // 2, 50)) for port in (ours, theirs)]
        rows += rows_of("status on Kafka to event at the client", *figures)
    return rows


def main() -> int:
    """Command line."""
    parser = arguments("What clients of the API wait for")
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks that are known (default: 10000)")
    options = parser.parse_args()
    rows = run(options.tasks, 100 if options.quick else 800)
    publish(f"The API with {options.tasks:,} tasks, goal p99 of {GOAL_MS:.0f} ms", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
