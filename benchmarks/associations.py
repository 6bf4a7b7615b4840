"""Many associations at once: held ones cost next to nothing, and those that work do not notice them.

One gateway with its events on real Kafka. Opens 100, 250, 500 and 1000 associations and holds them: time to open,
processor and memory at rest. Then 16 associations send 525 kB slices, in turn with and without the held ones,
while C-ECHOs on an association of their own are timed. Then many gigabytes are sent, and memory is looked at after
each: new instances, whose files are removed between two looks, and one and the same instance again and again.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

from benchmarks.images import image
from benchmarks.load import Association, Counted, echo_request, load, raise_file_limit
from benchmarks.place import place
from benchmarks.receivers import Receiver, gateway
from benchmarks.report import Row, arguments, percentile, publish
from producers.topic_admin import create_topics
from schemas.settings import KafkaSettings
from tests.services import kafka_broker

_WORKING: Final = 16
_ECHO_EVERY_S: Final = 0.01


class Senders:
    """Numbers of senders that nobody had before, so that all UIDs of a run are new."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> int:
        """The first of ``count`` numbers."""
        first, self._next = self._next, self._next + count
        return first


@contextmanager
def held(receiver: Receiver, count: int) -> Iterator[float]:
    """So many associations that say nothing; yields the seconds that opening them one by one took."""
    started = time.monotonic()
    sop_class = image("ct").sop_class_uid
    opened = [Association(receiver.port, sop_class) for _ in range(count)]
    took = time.monotonic() - started
    try:
        yield took
    finally:
        for association in opened:
            association.release()


def at_rest(receiver: Receiver, seconds: float) -> float:
    """Percent of one core that the gateway uses."""
    before = receiver.cpu_s()
    time.sleep(seconds)
    return (receiver.cpu_s() - before) / seconds * 100


class Echoes(threading.Thread):
    """C-ECHO again and again, timed, until stopped."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(daemon=True)
        self._association = Association(receiver.port, image("ct").sop_class_uid)
        self._over = threading.Event()
        self.milliseconds: list[float] = []

    def run(self) -> None:
        """Until :meth:`stop`."""
        request = echo_request()
        while not self._over.wait(_ECHO_EVERY_S):
            started = time.perf_counter()
            if self._association.exchange(request) != 0:
                raise RuntimeError("a C-ECHO was refused")
            self.milliseconds.append((time.perf_counter() - started) * 1000)
        self._association.release()

    def stop(self) -> list[float]:
        """End, and give the times."""
        self._over.set()
        self.join(60)
        return self.milliseconds


def holding(receiver: Receiver, counts: tuple[int, ...], rest_s: float) -> list[Row]:
    """Opening, processor and memory for each number of held associations."""
    rows = [
        Row("nobody there: CPU", at_rest(receiver, rest_s), "% of one core"),
        Row("nobody there: resident memory", receiver.memory_mb(), "MB"),
    ]
    for count in counts:
        with held(receiver, count) as took:
            rows += [
                Row(f"{count} held: opened within", took, "s"),
                Row(f"{count} held: CPU", at_rest(receiver, rest_s), "% of one core"),
                Row(f"{count} held: resident memory", receiver.memory_mb(), "MB"),
            ]
    return rows


def working(receiver: Receiver, count: int, rounds: int, seconds: float, senders: Senders) -> list[Row]:
    """Throughput of 16 with and without the held ones, in turn; and C-ECHO meanwhile."""
    alone: list[float] = []
    beside: list[float] = []
    echoes: list[float] = []
    _send(receiver, 1.0, senders)
    for _ in range(rounds):
        alone.append(_send(receiver, seconds, senders))
        with held(receiver, count):
            echo = Echoes(receiver)
            echo.start()
            beside.append(_send(receiver, seconds, senders))
            echoes += echo.stop()
    return [
        Row(f"16 working beside {count} held", median(beside), "MB/s", "16 working alone", median(alone)),
        Row("C-ECHO under this load, p50", percentile(echoes, 0.5), "ms"),
        Row("C-ECHO under this load, p99", percentile(echoes, 0.99), "ms"),
    ]


def _send(receiver: Receiver, seconds: float, senders: Senders) -> float:
    counted = load(receiver.port, "ct", _WORKING, seconds, warm=0.5, first_sender=senders.take(_WORKING))
    return _megabytes(counted, counted.instances) / counted.seconds


def lasting(receiver: Receiver, gigabytes: float, steps: int, senders: Senders, *, same: bool) -> list[Row]:
    """Memory while so much comes in; files of new instances are removed after each step."""
    megabytes = [receiver.memory_mb()]
    received = 0.0
    most = int(gigabytes * 1e9 / len(image("ct").data_set) / _WORKING / steps) + 1
    for _ in range(steps):
        first = 0 if same else senders.take(_WORKING)
        counted = load(receiver.port, "ct", _WORKING, 600.0, warm=0.0, first_sender=first, most=most, same=same)
        received += _megabytes(counted, counted.acknowledged) / 1000
        megabytes.append(receiver.memory_mb())
        if not same:
            receiver.empty()
    name = f"{received:.1f} GB of {'one instance again and again' if same else 'new instances'}"
    # Half of the way fills buffers and caches once; what comes after it is growth.
    half = megabytes[len(megabytes) // 2]
    return [
        Row(f"{name}: memory before", megabytes[0], "MB"),
        Row(f"{name}: memory at the end", megabytes[-1], "MB", "at half of the way", half),
    ]


def _megabytes(counted: Counted, instances: int) -> float:
    if counted.failures or counted.refused:
        raise RuntimeError(f"{counted.refused} refused, {counted.failures[:1]}")
    return instances * len(image("ct").data_set) / 1e6


def main() -> int:
    """Command line."""
    parser = arguments("Many associations at once")
    parser.add_argument("--gigabytes", type=float, metavar="N", help="received while memory is looked at")
    options = parser.parse_args()
    raise_file_limit()
    counts = (100, 1000) if options.quick else (100, 250, 500, 1000)
    rest_s, rounds, seconds, steps = (3.0, 1, 2.0, 4) if options.quick else (10.0, 3, 4.0, 10)
    gigabytes = options.gigabytes or (1.0 if options.quick else 10.0)
    senders = Senders()
    with place() as folder:
        (folder / "kafka").mkdir()
        with kafka_broker(folder / "kafka") as kafka:
            create_topics(KafkaSettings(bootstrap_servers=kafka))
            with gateway(folder / "gateway-bench", kafka) as receiver:
                rows = holding(receiver, counts, rest_s)
                rows += working(receiver, counts[-1], rounds, seconds, senders)
                rows += lasting(receiver, gigabytes, steps, senders, same=False)
                rows += lasting(receiver, gigabytes, steps, senders, same=True)
    publish("Many associations at once", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
