"""A day without a broker, scaled down: studies arrive, the broker comes back, live traffic goes on meanwhile.

Used by a test, which wants to know what is lost, doubled or out of order, and by a benchmark, which wants figures.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import TopicPartition

from producers.kafka import consumer_config, new_consumer
from schemas.codec import Codec
from schemas.events import ArrivalHint, InstanceStored
from schemas.settings import KafkaSettings
from schemas.topics import PARTITIONS, Topic
from tests.producers.dimse.peer import RELEASE_RQ, RawPeer, response_of, store_request
from tests.producers.forwarder import Forwarder
from tests.producers.store.data import encoded, image
from tests.producers.test_gateway import Gateway, gateway
from tests.services import stop, wait_for
from tests.tools import free_port

#: Every so many studies one is urgent.
URGENT_EVERY: Final = 10
_SENDERS: Final = 4
_LIVE_EVERY_S: Final = 0.05


@dataclass(frozen=True)
class Seen:
    """An event as a subscriber got it; ``at`` is Unix time, seconds."""

    partition: int
    offset: int
    event: InstanceStored | ArrivalHint
    at: float


@dataclass
class Figures:
    """What an outage showed.

    Attributes
    ----------
    seen
        Everything that a subscriber got, in the order of each partition.
    studies
        Study → whether it is urgent, of those that arrived during the outage.
    sops
        Study → its instances in the order in which they were sent.
    received_s, catch_up_s
        Seconds in which the studies arrived, and from the return of the broker until all were published.
    catch_up, quiet
        Latencies of live traffic in seconds, from the acknowledgement to the subscriber: lane → values.
    """

    seen: list[Seen] = field(default_factory=list)
    studies: dict[str, bool] = field(default_factory=dict)
    sops: dict[str, list[str]] = field(default_factory=dict)
    received_s: float = 0.0
    catch_up_s: float = 0.0
    catch_up: dict[str, list[float]] = field(default_factory=dict)
    quiet: dict[str, list[float]] = field(default_factory=dict)

    def rows(self) -> int:
        """Events of the outage: one per instance and a hint per study."""
        return sum(len(sops) + 1 for sops in self.sops.values())


class Subscriber:
    """Reads committed instance events as they come, in a thread of its own."""

    def __init__(self, servers: str, root: str) -> None:
        self.seen: list[Seen] = []
        self._root = root
        self._stop = threading.Event()
        config = consumer_config(KafkaSettings(bootstrap_servers=servers), "seen", "seen", fetch_wait_ms=50)
        self._consumer = new_consumer(config)
        places = []
        for partition in range(PARTITIONS):
            place = TopicPartition(Topic.INSTANCES, partition)
            _, place.offset = self._consumer.get_watermark_offsets(place, timeout=30)
            places.append(place)
        self._consumer.assign(places)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(30)
        self._consumer.close()

    def _run(self) -> None:
        codec = Codec()
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            at, event = time.time(), codec.decode(message.value())
            if isinstance(event, InstanceStored | ArrivalHint) and event.study_instance_uid.startswith(self._root):
                self.seen.append(Seen(int(message.partition() or 0), int(message.offset() or 0), event, at))


class Live:
    """Live traffic: an urgent and a normal instance in turn, each acknowledged before the next."""

    def __init__(self, port: int, root: str) -> None:
        self.acknowledged: dict[str, float] = {}
        self._port = port
        self._root = root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sending."""
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        number = 0
        with RawPeer(self._port) as peer:
            peer.associate()
            while not self._stop.wait(_LIVE_EVERY_S):
                number += 1
                lane = "urgent" if number % 2 else "normal"
                study = f"{self._root}.{1 if lane == 'urgent' else 2}"
                sop = f"{study}.{number}"
                _store(peer, sop, study, urgent=lane == "urgent")
                self.acknowledged[sop] = time.time()
            peer.send(RELEASE_RQ)
            peer.receive()

    def latencies(self, seen: list[Seen]) -> dict[str, list[float]]:
        """Lane → seconds from acknowledgement to subscriber; a commit may be seen before the answer is read."""
        found: dict[str, list[float]] = {"urgent": [], "normal": []}
        for one in seen:
            event = one.event
            if isinstance(event, InstanceStored) and event.sop_instance_uid in self.acknowledged:
                lane = "urgent" if event.study_instance_uid.endswith(".1") else "normal"
                found[lane].append(max(one.at - self.acknowledged[event.sop_instance_uid], 0.0))
        return found


def run(
    servers: str, directory: Path, *, studies: int, catch_up_per_s: float, old_s: float, quiet_s: float
) -> Figures:
    """One outage.

    Parameters
    ----------
    servers
        A real Kafka, which the gateway reaches only after the outage.
    directory
        State of the gateway.
    studies
        How many arrive without a broker, of two or three instances each.
    catch_up_per_s, old_s
        Settings of the relay.
    quiet_s
        Seconds of live traffic after the outage, to compare with.
    """
    root = f"1.2.{uuid.uuid4().int % 10**20}"
    port = free_port()
    settings = {
        "SCANSTREAM_GATEWAY_CATCH_UP_PER_S": str(catch_up_per_s),
        "SCANSTREAM_GATEWAY_CATCH_UP_AFTER_S": str(old_s),
    }
    figures = Figures()
    with (
        Forwarder(port, servers) as network,
        gateway(directory, f"127.0.0.1:{port}", root, **settings) as running,
        _subscribed(servers, root, figures) as subscriber,
    ):
        started = time.monotonic()
        _send_studies(running, root, studies, figures)
        figures.received_s = time.monotonic() - started
        time.sleep(max(0.0, old_s + 1 - figures.received_s))
        assert subscriber.seen == []
        network.open()
        started = time.monotonic()
        # Not from the first moment on: how long a client takes to find a broker again is another question.
        wait_for(lambda: _of_outage(subscriber, figures) > 0, "the first of the backlog")
        live = Live(running.dimse, f"{root}.9")
        wait_for(lambda: _of_outage(subscriber, figures) >= figures.rows(), "the backlog on Kafka", 300)
        figures.catch_up_s = time.monotonic() - started
        live.close()
        _wait_seen(subscriber, live)
        figures.catch_up = live.latencies(subscriber.seen)
        quiet = Live(running.dimse, f"{root}.8")
        time.sleep(quiet_s)
        quiet.close()
        _wait_seen(subscriber, quiet)
        figures.quiet = quiet.latencies(subscriber.seen)
        assert stop(running.child) == 0
    return figures


@contextmanager
def _subscribed(servers: str, root: str, figures: Figures) -> Iterator[Subscriber]:
    subscriber = Subscriber(servers, root)
    figures.seen = subscriber.seen
    try:
        yield subscriber
    finally:
        subscriber.close()


def _of_outage(subscriber: Subscriber, figures: Figures) -> int:
    return sum(one.event.study_instance_uid in figures.studies for one in list(subscriber.seen))


def _wait_seen(subscriber: Subscriber, live: Live) -> None:
    def all_seen() -> bool:
        found = {getattr(one.event, "sop_instance_uid", "") for one in list(subscriber.seen)}
        return live.acknowledged.keys() <= found

    wait_for(all_seen, "the live events")


def _send_studies(running: Gateway, root: str, studies: int, figures: Figures) -> None:
    """Each study over an association of its own, as modalities do."""
    for number in range(1, studies + 1):
        study = f"{root}.1.{number}"
        figures.studies[study] = number % URGENT_EVERY == 0
        figures.sops[study] = [f"{study}.{instance}" for instance in range(1, 3 + number % 2)]

    def send(study: str) -> None:
        with RawPeer(running.dimse) as peer:
            peer.associate()
            for sop in figures.sops[study]:
                _store(peer, sop, study, urgent=figures.studies[study])
            peer.send(RELEASE_RQ)
            peer.receive()

    with ThreadPoolExecutor(_SENDERS) as pool:
        list(pool.map(send, figures.studies))


def _store(peer: RawPeer, sop: str, study: str, *, urgent: bool) -> None:
    values: dict[str, Any] = {"RequestedProcedurePriority": "STAT"} if urgent else {}
    peer.send(store_request(sop, encoded(image(sop=sop, study=study, **values))))
    status = response_of(peer).status
    assert status == 0, f"the gateway answered {status:04X}"
