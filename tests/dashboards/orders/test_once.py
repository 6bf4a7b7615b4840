"""Orders that come while a transaction is under way are written together in the next; one's fault is its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import cast

import pytest

from dashboards.orders import once
from dashboards.orders.once import SHARES, Output, Writer
from dashboards.orders.order import Refused
from producers.kafka import EventPublisher
from producers.kafka_errors import Fenced
from schemas.errors import DestinationUnavailable
from schemas.events import Event
from schemas.topics import Topic
from tests.dashboards.story import Story
from tests.services import wait_for

EVENT = Story("1.2.3").task()
OUTPUT = (Topic.TASKS_P3, "1.2.3", EVENT)


class Publisher:
    """Transactions of one share; ``gate`` is when a commit may end."""

    def __init__(self) -> None:
        self.committed: list[list[str]] = []
        self.ends: list[Exception] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.registered = 0

    def start(self, _: float) -> None:
        self.registered += 1

    renew = start

    @contextmanager
    def transaction(self) -> Iterator[Publisher]:
        self.keys = list[str]()
        yield self
        self.begun.release()
        assert self.gate.wait(10)
        if self.ends:
            raise self.ends.pop(0)
        self.committed.append(self.keys)

    def publish(self, _: Topic, key: str, __: Event) -> None:
        if key == "too large":
            raise ValueError("it does not fit")
        self.keys.append(key)


class Site:
    """A writer, what it knows, and orders on their way."""

    def __init__(self, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
        # all in one share
        monkeypatch.setattr(once, "SHARES", 1)
        self.publisher, self.known, self.pool = Publisher(), set[str](), pool
        make = cast(Callable[[str], EventPublisher], lambda _: self.publisher)
        self.writer = Writer(make, lambda: None, self.learn, lambda _: None, lambda: 0.0)

    def learn(self, outputs: Sequence[Output]) -> None:
        self.known.update(key for _, key, _ in outputs)

    def order(self, key: str, refused: Refused | None = None) -> Future[bool]:
        def known() -> bool:
            if refused is not None:
                raise refused
            return key in self.known

        return self.pool.submit(self.writer, key, known, lambda: [(Topic.TASKS_P3, key, EVENT)])

    def behind_one(self, *keys: str, refused: Refused | None = None) -> list[Future[bool]]:
        """Orders of these keys, all of which wait behind a transaction that is under way."""
        first = self.order("first")
        assert self.publisher.begun.acquire(timeout=10)
        later = [self.order(key, refused if key == "refused" else None) for key in keys]
        share = self.writer._share(0)
        wait_for(lambda: len(share.waiting) == len(keys), "the orders")
        self.publisher.gate.set()
        assert first.result(10)
        return later


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with ThreadPoolExecutor(16) as pool:
        site = Site(pool, monkeypatch)
        yield site
        site.publisher.gate.set()


def test_what_waits_is_written_together(site: Site) -> None:
    later = site.behind_one("a", "b", "c", "d")
    assert [one.result(10) for one in later] == [True] * 4
    assert [sorted(keys) for keys in site.publisher.committed] == [["first"], ["a", "b", "c", "d"]]
    assert site.publisher.registered == 1


def test_of_two_under_one_key_one_is_new(site: Site) -> None:
    later = site.behind_one("a", "a", "b", "a")
    assert sorted(one.result(10) for one in later) == [False, False, True, True]
    assert later[2].result()
    assert sorted(key for keys in site.publisher.committed for key in keys) == ["a", "b", "first"]


def test_a_refusal_is_that_of_its_order_alone(site: Site) -> None:
    refused = Refused(422, "another request")
    later = site.behind_one("a", "refused", "b", refused=refused)
    assert later[1].exception(10) is refused
    assert later[0].result(10)
    assert later[2].result(10)


def test_what_cannot_be_written_keeps_back_no_other(site: Site) -> None:
    later = site.behind_one("a", "too large", "b")
    assert isinstance(later[1].exception(10), ValueError)
    assert later[0].result(10)
    assert later[2].result(10)
    assert sorted(key for keys in site.publisher.committed for key in keys) == ["a", "b", "first"]


def test_all_are_told_that_kafka_is_away_and_the_next_register_anew(site: Site) -> None:
    site.publisher.ends = [DestinationUnavailable("away"), DestinationUnavailable("away")]
    first = site.order("first")
    assert site.publisher.begun.acquire(timeout=10)
    later = [site.order(key) for key in ("a", "b")]
    wait_for(lambda: len(site.writer._share(0).waiting) == 2, "the orders")
    site.publisher.gate.set()
    assert all(isinstance(one.exception(10), DestinationUnavailable) for one in (first, *later))
    assert site.publisher.committed == []
    assert site.order("a").result(10)
    assert site.publisher.registered == 3


def test_who_was_fenced_asks_again_whether_it_is_known(site: Site) -> None:
    site.publisher.ends = [Fenced("another process", 0)]
    order = site.order("a")
    assert site.publisher.begun.acquire(timeout=10)
    site.known.add("a")  # the other process wrote it, and the log was read since
    site.publisher.gate.set()
    assert order.result(10) is False
    assert (site.publisher.committed, site.publisher.registered) == ([], 2)


def test_keys_are_spread_over_the_shares() -> None:
    made = list[str]()

    def publisher(name: str) -> EventPublisher:
        made.append(name)
        one = Publisher()
        one.gate.set()
        return cast(EventPublisher, one)

    writer = Writer(publisher, lambda: None, lambda _: None, lambda _: None, lambda: 0.0)
    assert all(writer(str(number), lambda: False, lambda: [OUTPUT]) for number in range(50))
    assert sorted(made) == [f"scanstream.api.requests.{number}" for number in range(SHARES)]
