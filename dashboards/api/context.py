"""What the routes work with, as types that make a route's signature read by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.requests import HTTPConnection

from dashboards.live.reviews import Place
from dashboards.live.view import LiveView
from dashboards.orders.desk import Desk
from dashboards.ups.rendered import Rendered
from dashboards.ups.subscriptions import Subscriptions
from producers.telemetry import Telemetry
from schemas.events import Event
from schemas.topics import Topic


@dataclass(frozen=True)
class ApiContext:
    """Everything that a route may use.

    Attributes
    ----------
    view
        Studies and tasks.
    missing
        What keeps the API from being ready, one sentence each.
    telemetry
        Metrics of this process.
    now
        Clock, UTC.
    publish
        Writes an event under its key to a topic; raises ``DestinationUnavailable`` where Kafka did not take it.
    recall
        Reads an event of the log again; raises ``DestinationUnavailable`` where Kafka does not give it.
    desk
        Takes orders and commands.
    subscriptions
        Who wants to hear of which workitems.
    link_secret
        Signs links to acknowledge an alarm; ``None``: there are no such links.
    public_url
        Root of the service as clients see it; ``None``: as the request names it.
    rendered
        Workitems as JSON.
    """

    view: LiveView
    missing: Callable[[], list[str]]
    telemetry: Telemetry
    now: Callable[[], datetime]
    publish: Callable[[Topic, str, Event], None]
    recall: Callable[[Place], Event]
    desk: Desk
    subscriptions: Subscriptions
    link_secret: str | None = None
    public_url: str | None = None
    rendered: Rendered = field(default_factory=Rendered)

    def root_of(self, request: Request) -> str:
        """Root of the service without a trailing slash."""
        return (self.public_url or str(request.base_url)).rstrip("/")


def context_of(request: HTTPConnection) -> ApiContext:
    """Context that the application was made with."""
    return cast(ApiContext, request.app.state.context)


Context = Annotated[ApiContext, Depends(context_of)]
