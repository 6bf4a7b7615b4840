"""The API over a live view that the test fills; no network."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from consumers.callback.allowed import Allowed
from dashboards.api.app import create_app
from dashboards.api.context import ApiContext
from dashboards.api.server import listen, serving
from dashboards.fhir.store import FhirStore
from dashboards.live.reviews import Place
from dashboards.live.view import LiveView
from dashboards.orders.checks import Callbacks
from dashboards.orders.desk import Desk
from dashboards.orders.once import Output
from dashboards.orders.site import Site
from dashboards.ups.subscriptions import Subscriptions
from producers.telemetry import Telemetry
from schemas.errors import DestinationUnavailable
from schemas.events import Event, TaskStatus
from schemas.topics import Priority, Topic
from tests.dashboards.story import START


def resolver(host: str, port: int) -> list[str]:
    if host.startswith("away"):
        raise OSError("no such host")
    return ["10.0.0.7"] if host.startswith("inside") else ["93.184.215.14"]


def topic_of(event: Event) -> str:
    """Only the feed of statuses looks at the topic of a place."""
    return Topic.STATUS if isinstance(event, TaskStatus) else "topic"


@dataclass
class Service:
    """What the API works with, for a test to change."""

    store: FhirStore
    subscriptions: Subscriptions
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

    def once(self, key: str, known: Callable[[], bool], outputs: Callable[[], Sequence[Output]]) -> bool:
        if self.kafka_is_away:
            raise DestinationUnavailable("Kafka did not acknowledge 1 events in 5 s: check that the broker is up")
        if known():
            return False
        self.published.extend(outputs())
        return True

    def desk(self) -> Desk:
        deadlines = {priority: 60.0 * priority.rank for priority in Priority}
        allowed = Allowed(("ris.example.org", "inside.example.org", "away.example.org"), allow_http=False)
        callbacks = Callbacks(allowed, allow_private=False, resolver=resolver)
        site = Site(deadlines, "rules-1", Priority.P3_NORMAL, callbacks)
        return Desk(self.view, lambda: self.missing, self.recall, self.once, self.publish, site, lambda: self.now)

    def read(self, *events: Event) -> None:
        """The live view reads events from the log."""
        for event in events:
            place = Place(topic_of(event), 0, len(self.log))
            self.log[place] = event
            self.view.apply(event, place)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with closing(FhirStore(tmp_path / "fhir.sqlite")) as store, closing(Subscriptions(tmp_path / "ups")) as wanted:
        yield Service(store, wanted)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(context_of(service), service.store), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


def context_of(service: Service) -> ApiContext:
    return ApiContext(
        service.view,
        lambda: service.missing,
        service.telemetry,
        lambda: service.now,
        service.publish,
        service.recall,
        service.desk(),
        service.subscriptions,
        service.link_secret,
    )


@contextmanager
def served(service: Service) -> Iterator[str]:
    """The API on a port of its own; yields its address without the scheme."""
    with (
        listen("127.0.0.1", 0) as listener,
        serving(create_app(context_of(service), service.store), listener, time.sleep),
    ):
        yield f"127.0.0.1:{listener.getsockname()[1]}"
