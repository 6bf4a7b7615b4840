"""The worklist table: what it keeps, and that it follows a real Kafka that comes and goes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from producers.context_table import ScheduledOrders, WorklistReader
from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import ClinicalContext
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.producers.dimse.test_worklist import order
from tests.producers.forwarder import Forwarder
from tests.services import wait_for
from tests.tools import free_port

TODAY = date(2026, 11, 22)


def table(most: int = 100, keep_days: int = 7) -> ScheduledOrders:
    return ScheduledOrders(most, keep_days, lambda: TODAY)


def names(orders: list[ClinicalContext] | None) -> set[str | None]:
    assert orders is not None
    return {one.accession_number for one in orders}


def test_an_order_stays_until_it_is_removed_replaced_or_long_past() -> None:
    found = table()
    found.apply(b"1", order(1, "A", "20261122", None))
    found.apply(b"2", order(2, "B", "20261115", None))
    found.apply(b"3", order(3, "C", "20261114", None))
    found.apply(b"4", replace(order(4, "D", "20261122", None), worklist=None))
    assert names(found.entries()) == {"A-1", "A-2"}
    found.apply(b"1", order(5, "A", "20261201", None))
    assert names(found.entries()) == {"A-5", "A-2"}
    found.apply(b"1", None)
    found.apply(b"2", order(2, "B", "20251201", None))
    assert found.entries() == []


def test_an_order_grows_old_in_the_table() -> None:
    now = [TODAY]
    found = ScheduledOrders(100, 1, lambda: now[0])
    found.apply(b"1", order(1, "A", "20261122", None))
    now[0] = date(2026, 11, 23)
    assert names(found.entries()) == {"A-1"}
    now[0] = date(2026, 11, 24)
    assert found.entries() == []


def test_of_too_many_the_first_go(caplog: pytest.LogCaptureFixture) -> None:
    found = table(most=20)
    for number in range(21):
        found.apply(str(number).encode(), order(number, "A", f"202612{number + 1:02}", None))
    assert names(found.entries()) == {f"A-{number}" for number in range(3, 21)}
    assert "WORKLIST_MOST" in caplog.text


@contextmanager
def reading(settings: KafkaSettings) -> Iterator[WorklistReader]:
    name = f"reader-{random.randrange(10**9)}"
    reader = WorklistReader(settings, Codec(), name, ScheduledOrders(100_000, 3650, lambda: TODAY))
    reader.start()
    yield reader
    reader.close()


class Ris:
    """Who writes orders."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.base = random.randrange(10**9)
        self._publisher = EventPublisher(settings, Codec(), "/test/ris", Telemetry(), f"ris-{self.base}")
        self._publisher.start()

    def write(self, number: int, **changes: Any) -> str:
        """Schedule something; returns the accession number, which is the key."""
        event = order(self.base + number, "Гнатюк^Олесь", "20261122", "0900", **changes)
        with self._publisher.transaction() as transaction:
            transaction.publish(Topic.CONTEXT, str(event.accession_number), event)
        return str(event.accession_number)

    def remove(self, accession: str) -> None:
        with self._publisher.transaction() as transaction:
            transaction.publish_raw(Topic.CONTEXT, accession.encode(), None, [])

    def rubbish(self) -> None:
        with self._publisher.transaction() as transaction:
            transaction.publish_raw(Topic.CONTEXT, b"rubbish", b"no event", [])


@pytest.mark.integration
def test_follows_the_topic(kafka_settings: KafkaSettings) -> None:
    ris = Ris(kafka_settings)
    kept, removed = ris.write(1), ris.write(2)
    ris.rubbish()
    with reading(kafka_settings) as reader:
        wait_for(lambda: reader.is_read, "the topic to be read")
        assert {kept, removed} <= names(reader.orders())
        new = ris.write(3)
        ris.remove(removed)
        wait_for(lambda: new in names(reader.orders()) and removed not in names(reader.orders()), "the changes")
        assert kept in names(reader.orders())


@pytest.mark.integration
def test_kafka_away_is_no_empty_worklist_and_takes_nothing_away(
    kafka: str, kafka_settings: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    ris = Ris(kafka_settings)
    written = ris.write(1)
    port = free_port()
    with (
        Forwarder(port, kafka) as network,
        reading(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")) as reader,
    ):
        wait_for(lambda: "Kafka is away" in caplog.text, "the complaint")
        assert reader.orders() is None
        network.open()
        wait_for(lambda: reader.is_read, "the topic to be read")
        assert written in names(reader.orders())
    assert written in names(reader.orders())
