"""Time from the last C-STORE response to results stored, less the quiet period and the inference itself.

Small studies arrive one after the other at a stack at rest; for each, the clock runs from the last C-STORE
response to the later of the confirmations of the PACS and the FHIR server. The configured quiet period after a
released association and the run of the engine itself are subtracted. Also measures the stack at rest: CPU, memory.

Peer: ``dicom-ai-router`` 0.3.0 (one process, nothing durable), its own ``python -m airouter demo`` in the same
run; it prints the median of its round trip to the model, which is less than what is measured for us.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import psutil
from confluent_kafka import TopicPartition

from benchmarks.peers import AIROUTER, airouter_demo
from benchmarks.report import Row, arguments, percentile, publish
from producers.kafka import consumer_config, new_consumer
from schemas import events
from schemas.codec import Codec
from schemas.settings import KafkaSettings
from schemas.topics import Topic, spec_of
from tests.integration.log_dump import dump
from tests.integration.rules import RELEASED_S, small_study_rules
from tests.integration.sender import send
from tests.integration.stack import LiveStack, live_stack
from tests.studies import small_study

ENGINE_STAGE = "inferring"


class Listener:
    """Waits for delivery outcomes without disturbing the stack: one consumer, at the end of one topic."""

    def __init__(self, bootstrap: str) -> None:
        settings = KafkaSettings(bootstrap_servers=bootstrap)
        self._consumer = new_consumer(consumer_config(settings, "listener", "listener"))
        self._codec = Codec()
        topic = Topic.DELIVERY.value
        ends = [
            self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
            for number in range(spec_of(Topic.DELIVERY).partitions)
        ]
        self._consumer.assign([TopicPartition(topic, number, end) for number, end in enumerate(ends)])

    def stored_at(self, uid: str, timeout_s: float = 60) -> float:
        """Time (seconds since the epoch) at which the later of the PACS and the FHIR server had confirmed."""
        confirmed: dict[str, float] = {}
        deadline = time.monotonic() + timeout_s
        while len(confirmed) < 2:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{uid} is stored at {sorted(confirmed)} only")
            message = self._consumer.poll(0.5)
            if message is None or message.error() is not None:
                continue
            outcome = self._codec.decode(bytes(message.value() or b""))
            if isinstance(outcome, events.DeliveryOutcome) and outcome.study_instance_uid == uid:
                confirmed[outcome.destination] = outcome.occurred_at.timestamp()
        return max(confirmed.values())


def measure(stack: LiveStack, studies: int) -> tuple[list[float], list[float]]:
    """Overhead and whole time of each study, in milliseconds."""
    host, _, port = stack.endpoint("gateway_dimse").rpartition(":")
    listener = Listener(stack.endpoint("kafka"))
    whole: dict[str, float] = {}
    for number in range(studies):
        study = small_study(f"{int(time.time())}.{number}", slices=8, size=64)
        uid = str(study[0].StudyInstanceUID)
        answered = send(study, host, int(port))
        if answered is None:
            raise RuntimeError("the gateway refused a study")
        whole[uid] = (listener.stored_at(uid) - answered) * 1000
    engine = _engine_ms(stack)
    return [ms - RELEASED_S * 1000 - engine[uid] for uid, ms in whole.items()], list(whole.values())


def _engine_ms(stack: LiveStack) -> dict[str, float]:
    return {
        entry.event.study_instance_uid: sum(s.duration_ms for s in entry.event.stages if s.name == ENGINE_STAGE)
        for entry in dump(stack.endpoint("kafka"), [Topic.RESULTS])
    }


def at_rest(stack: LiveStack, seconds: float) -> tuple[float, float]:
    """CPU (percent of one core) and resident memory (MB) of the supervisor and all of its children."""
    root = psutil.Process(stack.supervisor.pid)
    family = [root, *root.children(recursive=True)]
    before = sum(sum(process.cpu_times()[:2]) for process in family)
    time.sleep(seconds)
    used = sum(sum(process.cpu_times()[:2]) for process in family) - before
    memory = sum(process.memory_info().rss for process in family) / 1e6
    return used / seconds * 100, memory


def main() -> int:
    """Command line."""
    options = arguments("Latency beside quiet period and inference").parse_args()
    studies, rest_s = (10, 5.0) if options.quick else (100, 30.0)
    peer_ms, _ = airouter_demo()
    with (
        tempfile.TemporaryDirectory(prefix="scanstream-") as folder,
        live_stack(Path(folder) / "state", small_study_rules(Path(folder))) as stack,
    ):
        time.sleep(3)
        cpu, memory = at_rest(stack, rest_s)
        measure(stack, 2)
        own, whole = measure(stack, studies)
    rows = [
        Row("overhead p50", percentile(own, 0.5), "ms", f"{AIROUTER} round trip, median", peer_ms),
        Row("overhead p95", percentile(own, 0.95), "ms", f"{AIROUTER} round trip, median", peer_ms),
        Row("whole p50, quiet period and inference included", percentile(whole, 0.5), "ms"),
        Row("stack at rest: CPU", cpu, "% of one core"),
        Row("stack at rest: resident memory, all processes", memory, "MB"),
    ]
    publish(f"Latency of {studies} small studies", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
