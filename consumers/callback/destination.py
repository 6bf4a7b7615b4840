"""Results and verdicts → callbacks to the requesters who asked for them.

Guarantee: idempotent for the requester: every attempt at one event has the same id and the same body.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from consumers.callback.allowed import Allowed, endpoint_of
from consumers.callback.answer import verdict as verdict_of
from consumers.callback.body import body_of
from consumers.callback.client import CallbackClient
from consumers.callback.signature import headers, key_of
from producers.process import Process
from schemas.destinations import CallbackSettings
from schemas.errors import InvalidMessage, PermanentRejection
from schemas.events import Adjudication, DeliveryStatus, InferenceResult, ObjectOutcome
from schemas.ids import event_id
from schemas.settings import secret_of

#: Whom a result is for whose callback URL nobody can call; it is refused when its turn comes.
_NOWHERE: Final = "(no address)"


class CallbackDestination:
    """Requesters as a destination.

    Parameters
    ----------
    client
        Sends.
    allowed
        Who may be called.
    key
        Of the signature.
    now
        Clock of the signature.
    """

    name = "callback"
    wants_failures = True

    def __init__(
        self,
        client: CallbackClient,
        allowed: Allowed,
        key: bytes,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._allowed = allowed
        self._key = key
        self._now = now

    def address(self, result: InferenceResult) -> str:
        """Requester of a result, ``host:port``; empty where nobody gave a callback URL."""
        if not result.callback_url:
            return ""
        try:
            return endpoint_of(result.callback_url).address
        except PermanentRejection:
            return _NOWHERE

    def deliver(self, result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        """Tell the requester of a result; see :class:`consumers.destination.Destination`."""
        return self._tell(result, None)

    def review(self, adjudication: Adjudication) -> tuple[ObjectOutcome, ...]:
        """Tell the requester of a verdict, with the result as it stands now."""
        if adjudication.result is None:
            raise InvalidMessage("a verdict without its result cannot be told: update the API that wrote it")
        return self._tell(adjudication.result, adjudication)

    def probe(self) -> None:
        """Nothing to ask: each requester is tried with its own results."""

    def _tell(self, result: InferenceResult, adjudication: Adjudication | None) -> tuple[ObjectOutcome, ...]:
        if not result.callback_url:
            return ()
        endpoint = endpoint_of(result.callback_url)
        self._allowed.check(endpoint)
        body = body_of(result, adjudication)
        identifier = event_id("callback", (adjudication or result).event_id)
        answer = self._client.post(endpoint, headers(self._key, identifier, body, self._now()), body)
        error = verdict_of(
            endpoint.address, answer.status, answer.content_type, answer.beginning, answer.retry_after_s
        )
        if error is not None:
            raise error
        # path and query of the URL may be the requester's secret, so the outcome does not repeat them
        return (ObjectOutcome("callback", identifier, DeliveryStatus.STORED, None, answer.status),)


def build(process: Process) -> CallbackDestination:
    """Destination from the settings of the environment.

    Parameters
    ----------
    process
        The writer's process; its name is told to requesters.

    Raises
    ------
    ConfigurationError
        The secret is missing or too weak, or the list of hosts is wrong.
    """
    settings = CallbackSettings()
    key = key_of(secret_of(settings.secret, settings.secret_file, "SCANSTREAM_CALLBACK_SECRET"))
    allowed = Allowed(settings.allowed_hosts, allow_http=settings.allow_http)
    client = CallbackClient(f"scanstream {process.name}", settings.timeout_s, allow_private=settings.allow_private)
    return CallbackDestination(client, allowed, key)
