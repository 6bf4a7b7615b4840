"""What the routes work with, as types that make a route's signature read by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request

from dashboards.live.reviews import Place
from dashboards.live.view import LiveView
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
    link_secret
        Signs links to acknowledge an alarm; ``None``: there are no such links.
    """

    view: LiveView
    missing: Callable[[], list[str]]
    telemetry: Telemetry
    now: Callable[[], datetime]
    publish: Callable[[Topic, str, Event], None]
    recall: Callable[[Place], Event]
    link_secret: str | None = None


def context_of(request: Request) -> ApiContext:
    """Context that the application was made with."""
    return cast(ApiContext, request.app.state.context)


Context = Annotated[ApiContext, Depends(context_of)]
