"""A scaled day: three writers, one of whose destinations is down for an hour, and what the others feel of it.

The stow writer sends to a PACS that keeps nothing, the oru writer to an HL7 listener, the callback writer to a
requester. Results of all classes come at an even rate, several revisions of each study. The PACS is killed for one
hour of the day and comes back. The table shows p95, from the creation of the task to the confirmation, of the
other two before, during and after; then, that in every study the revisions came in their order everywhere, and
that the PACS was given each object once.

    python -m benchmarks.destination_down --hour 60
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx

from benchmarks.outcomes import Outcomes
from benchmarks.place import place
from benchmarks.report import Row, arguments, percentile, publish
from benchmarks.result_stock import again, gateway, stock
from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from producers.topic_admin import create_topics
from schemas.codec import Codec
from schemas.events import DeliveryOutcome, DeliveryStatus, InferenceResult
from schemas.settings import KafkaSettings
from schemas.topics import Priority, Topic, writer_group
from tests.consumers.callback.requester import requester
from tests.consumers.delivery.bench import Bench
from tests.consumers.oru.listener import scripted
from tests.services import kafka_broker, module, stop, wait_for
from tests.tools import free_port

_DOWN: Final = "stow"
_OTHERS: Final = ("oru", "callback")
_PHASES: Final = ("before", "during", "after")


@dataclass
class Day:
    """What was sent in which phase (event id of the result → phase), and what it took to catch up."""

    phases: dict[str, str] = field(default_factory=dict)
    sent: list[InferenceResult] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    catch_up_s: float = 0.0


class Pacs:
    """The PACS that goes down and comes back at the same address."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "null.log"
        self._stack = ExitStack()

    def start(self) -> None:
        """Be there."""
        self._child = self._stack.enter_context(
            module("benchmarks.null_stow", str(self.port), environment={}, log=self._log)
        )
        wait_for(lambda: self._counted() is not None, "the PACS")

    def stop(self, into: Counter[str]) -> None:
        """Go down; adds what came to ``into``."""
        into.update(self._counted() or {})
        stop(self._child)
        self._stack.close()

    def _counted(self) -> dict[str, int] | None:
        try:
            counted: dict[str, int] = httpx.get(f"http://127.0.0.1:{self.port}/counted", timeout=30.0).json()
        except httpx.TransportError:
            return None
        return counted


@contextmanager
def writers(kafka: KafkaSettings, folder: Path, pacs: Pacs) -> Iterator[int]:
    """The three writers, ready; yields the port of the requester."""
    with ExitStack() as stack:
        hl7 = stack.enter_context(scripted())
        asks = stack.enter_context(requester())
        settings = {
            "stow": {
                "SCANSTREAM_STOW_PACS_URL": f"http://127.0.0.1:{pacs.port}",
                "SCANSTREAM_STOW_OBJECTS": "seg,sr",
            },
            "oru": {"SCANSTREAM_ORU_PORT": str(hl7.port)},
            "callback": {
                "SCANSTREAM_CALLBACK_SECRET": "of a benchmark, known to all",
                "SCANSTREAM_CALLBACK_ALLOWED_HOSTS": f'["127.0.0.1:{asks.port}"]',
                "SCANSTREAM_CALLBACK_ALLOW_PRIVATE": "true",
                "SCANSTREAM_CALLBACK_ALLOW_HTTP": "true",
            },
        }
        for kind, environment in settings.items():
            Bench(kafka, writer_group(kind), kind)  # begins at the present end of the results
            shared = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "SCANSTREAM_NODE": "bench"}
            log = folder / f"{kind}.log"
            stack.enter_context(module("consumers.writer", kind, environment=environment | shared, log=log))
            wait_for(lambda file=log: '"event": "ready"' in file.read_text(encoding="utf-8"), f"writer {kind}")
        yield asks.port


def live(
    day: Day,
    given: list[InferenceResult],
    send: Callable[[InferenceResult], None],
    phase: str,
    end: float,
    rate: float,
) -> None:
    """Send results at an even rate until ``end``, in monotonic seconds."""
    chance = random.Random(phase)
    due = time.monotonic()
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        number = len(day.sent)
        original = given[number % len(given)]
        made = again(original, str(number), chance.choice(list(Priority)))
        made = replace(made, revision=1 + number // len(given), task_id=f"{original.task_id}-{number}")
        day.sent.append(made)
        day.phases[made.task_id] = phase
        send(made)
        due += 1 / rate


def run(folder: Path, hour_s: float, rate: float, studies: int) -> tuple[Day, list[DeliveryOutcome]]:
    """One day: two hours before, one down, two after."""
    day, pacs = Day(), Pacs(folder)
    with ExitStack() as stack:
        (folder / "kafka").mkdir()
        kafka = KafkaSettings(bootstrap_servers=stack.enter_context(kafka_broker(folder / "kafka")))
        create_topics(kafka)
        given = stock(stack.enter_context(gateway(folder / "gateway", kafka.bootstrap_servers)), studies)
        pacs.start()
        port = stack.enter_context(writers(kafka, folder, pacs))
        given = [replace(one, callback_url=f"http://127.0.0.1:{port}/results") for one in given]
        outcomes = stack.enter_context(Outcomes(kafka, _DOWN, *_OTHERS))
        publisher = EventPublisher(kafka, Codec(), "/bench/day", Telemetry())

        def send(result: InferenceResult) -> None:
            publisher.publish(Topic.RESULTS, result.study_instance_uid, result)
            publisher.flush()

        def pass_time(phase: str, hours: float) -> None:
            sender = threading.Thread(
                target=live, args=(day, given, send, phase, time.monotonic() + hours * hour_s, rate)
            )
            sender.start()
            while sender.is_alive():
                outcomes.read(0.05)
            sys.stderr.write(f"{phase}: {len(day.sent)} sent, {len(outcomes.found)} outcomes\n")

        pass_time("warming up", 0.5)
        pass_time("before", 2)
        pacs.stop(day.counted)
        pass_time("during", 1)
        pacs.start()
        back = time.monotonic()
        missed = sum(phase != "after" for phase in day.phases.values())
        sender = threading.Thread(target=live, args=(day, given, send, "after", back + 2 * hour_s, rate))
        sender.start()
        while sender.is_alive() or len(outcomes.found) < len(day.sent) * 3:
            outcomes.read(0.05)
            told = sum(one.destination == _DOWN and day.phases[one.task_id] != "after" for one in outcomes.found)
            if told >= missed and not day.catch_up_s:
                day.catch_up_s = time.monotonic() - back
            if time.monotonic() - back > 20 * hour_s + 300:
                raise TimeoutError(f"{len(outcomes.found)} of {len(day.sent) * 3} outcomes")
        pacs.stop(day.counted)
        return day, outcomes.found


def problems(day: Day, outcomes: list[DeliveryOutcome]) -> list[str]:
    """What is lost, doubled, failed or out of order."""
    found = []
    for destination in (_DOWN, *_OTHERS):
        ours = sorted((one for one in outcomes if one.destination == destination), key=lambda one: one.occurred_at)
        if Counter(one.task_id for one in ours) != Counter(one.task_id for one in day.sent):
            found.append(f"{destination}: results are lost or told twice")
        if any(one.status is not DeliveryStatus.STORED for one in ours):
            found.append(f"{destination}: some were not stored")
        last: dict[str, int] = {}
        for one in ours:
            if one.revision < last.get(one.study_instance_uid, 0):
                found.append(f"{destination}: {one.study_instance_uid} out of order")
            last[one.study_instance_uid] = one.revision
    told = {item.identifier for one in outcomes if one.destination == _DOWN for item in one.objects}
    if told - set(day.counted):
        found.append(f"{len(told - set(day.counted))} objects are told as stored and never came")
    return found


def rows(day: Day, outcomes: list[DeliveryOutcome], wrong: list[str]) -> list[Row]:
    """Figures as a table."""
    table = []
    for destination in _OTHERS:
        p95 = {}
        for phase in _PHASES:
            of_phase = [
                one.latency_ms
                for one in outcomes
                if one.destination == destination and day.phases[one.task_id] == phase
            ]
            p95[phase] = percentile(of_phase, 0.95)
            table.append(Row(f"{destination}, p95 {phase} the outage", p95[phase], "ms", "before", p95["before"]))
    longest = max(one.latency_ms for one in outcomes if one.destination == _DOWN) / 1000
    table += [
        Row("results sent", len(day.sent), "results"),
        Row("the PACS: longest wait of a result", longest, "s"),
        Row("the PACS: all of before and during delivered after its return", day.catch_up_s, "s"),
        Row("the PACS: objects", len(day.counted), "objects"),
        Row("the PACS: objects that came more than once", sum(n > 1 for n in day.counted.values()), "objects"),
        Row("lost, doubled or out of order", len(wrong), "problems"),
    ]
    return table


def main() -> int:
    """Command line."""
    parser = arguments("One destination down for an hour of a scaled day")
    parser.add_argument("--hour", type=float, default=60.0, help="seconds that stand for an hour")
    parser.add_argument("--rate", type=float, default=2.0, help="results per second")
    parser.add_argument("--studies", type=int, default=20)
    options = parser.parse_args()
    hour_s, studies = (8.0, 5) if options.quick else (options.hour, options.studies)
    with place() as folder:
        day, outcomes = run(folder, hour_s, options.rate, studies)
    wrong = problems(day, outcomes)
    publish(
        f"A day with an hour of {hour_s:.0f} s, {_DOWN} down for one", rows(day, outcomes, wrong), options.json
    )
    for problem in wrong[:20]:
        sys.stderr.write(f"{problem}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
