"""The API over a live view that the test fills; no network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from dashboards.api.app import create_app
from dashboards.api.context import ApiContext
from dashboards.fhir.store import FhirStore
from dashboards.live.reviews import Place
from dashboards.live.view import LiveView
from producers.telemetry import Telemetry
from schemas.errors import DestinationUnavailable
from schemas.events import Event
from schemas.topics import Topic
from tests.dashboards.story import START


@dataclass
class Service:
    """What the API works with, for a test to change."""

    store: FhirStore
    view: LiveView = field(default_factory=LiveView)
    missing: list[str] = field(default_factory=list)
    now: datetime = START + timedelta(minutes=1)
    telemetry: Telemetry = field(default_factory=Telemetry)
    link_secret: str | None = "of sixteen characters and more"
    kafka_is_away: bool = False
    published: list[tuple[Topic, str, Event]] = field(default_factory=list)
    log: dict[Place, Event] = field(default_factory=dict)
    reader: Callable[[Place], Event] | None = None

    def publish(self, topic: Topic, key: str, event: Event) -> None:
        if self.kafka_is_away:
            raise DestinationUnavailable("Kafka did not acknowledge 1 events in 5 s: check that the broker is up")
        self.published.append((topic, key, event))

    def recall(self, place: Place) -> Event:
        if self.kafka_is_away:
            raise DestinationUnavailable("Kafka does not give it: check that the broker is up")
        return self.log[place] if self.reader is None else self.reader(place)

    def read(self, *events: Event) -> None:
        """The live view reads events from the log."""
        for event in events:
            place = Place("topic", 0, len(self.log))
            self.log[place] = event
            self.view.apply(event, place)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with closing(FhirStore(tmp_path / "fhir.sqlite")) as store:
        yield Service(store)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    context = ApiContext(
        service.view,
        lambda: service.missing,
        service.telemetry,
        lambda: service.now,
        service.publish,
        service.recall,
        service.link_secret,
    )
    transport = httpx.ASGITransport(create_app(context, service.store), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client
