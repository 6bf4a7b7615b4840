"""Transactions and searches → a FHIR server over HTTP, and back its answer per entry and what it found.

One connection pool for the life of the writer; safe to use from several threads. Redirects are not followed, so
a bearer token never goes to another host.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

import httpx

from consumers.destination import is_http_url
from consumers.fhir import outcomes
from consumers.fhir.codes import Json
from schemas.errors import ConfigurationError, DestinationUnavailable, TransientFailure
from schemas.events import ObjectOutcome

MEDIA_TYPE: Final = "application/fhir+json"
_FORM: Final = "application/x-www-form-urlencoded"
#: How many times ``timeout_s`` an answer may take, and how many bytes it may have.
_PATIENCE: Final = 4
_LARGEST: Final = 64 * 1024 * 1024
#: Most matches of one search; who needs more asks for fewer identifiers at once.
_PAGE: Final = 200
_NOT_OFFERED: Final = frozenset({400, 403, 404, 405, 422, 501})


@dataclass(frozen=True)
class _Answer:
    """An HTTP response that was read to its end."""

    status_code: int
    headers: httpx.Headers
    content: bytes


class FhirClient:
    """Client of one FHIR R4 server.

    Parameters
    ----------
    base_url
        Service base URL (FHIR R4 3.1.0.1.2).
    token
        Bearer token (RFC 6750), or ``None``.
    timeout_s
        Longest wait for a connection and for an answer to begin or go on, in seconds; it may take 4 times as long.
    agent
        ``User-Agent``, so that the server's log says who wrote.
    now
        Clock, for ``Retry-After`` dates.
    clock
        Seconds that never run backwards.

    Raises
    ------
    ConfigurationError
        ``base_url`` is not an HTTP URL.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        timeout_s: float,
        agent: str = "scanstream",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not is_http_url(base_url):
            raise ConfigurationError(f"SCANSTREAM_FHIR_BASE_URL is {base_url!r}: set it to an http or https URL")
        self.base_url = base_url.rstrip("/")
        self._now = now
        self._clock = clock
        self._timeout_s = timeout_s
        headers = {"Accept": MEDIA_TYPE, "User-Agent": agent}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(headers=headers, timeout=timeout_s, follow_redirects=False)

    def transact(self, bundle: Json) -> tuple[ObjectOutcome, ...]:
        """Send one transaction.

        Returns
        -------
        tuple of ObjectOutcome
            One per entry, in the order of the bundle.

        Raises
        ------
        DestinationUnavailable
            The server is away, asks for time, or refuses every request alike.
        TransientFailure
            The answer is not FHIR, or the server failed on this bundle.
        PermanentRejection
            The server does not accept this bundle; 409 and 412 where somebody else wrote in between.
        """
        body = json.dumps(bundle, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        response = self._request("POST", self.base_url, MEDIA_TYPE, body)
        answer = self._answer(
            response, lambda: outcomes.personal_values(entry["resource"] for entry in bundle["entry"])
        )
        return outcomes.entries(bundle, answer, self.base_url)

    def search(
        self, resource_type: str, parameter: str, values: Sequence[str], *, optional: bool = False
    ) -> list[Json]:
        """Resources that match any of these values.

        The parameters travel in a form (``_search``), so that no patient's number is in an access log. What is
        ``optional`` counts as not found where the server does not offer the type, or not to us. Where the matches
        of several values do not fit into one page, fewer are asked for at once: no link to a further page is
        followed, which may lead anywhere and may show what was searched for.

        Raises
        ------
        DestinationUnavailable, TransientFailure, PermanentRejection
            As :meth:`transact`.
        """
        form = urlencode({parameter: ",".join(values), "_count": str(_PAGE)}).encode()
        half = len(values) // 2
        response = self._request("POST", f"{self.base_url}/{resource_type}/_search", _FORM, form)
        if optional and response.status_code in _NOT_OFFERED:
            return []
        found = self._answer(response, lambda: _parts(values))
        if not isinstance(found, dict) or found.get("type") != "searchset":
            raise TransientFailure("the FHIR server did not answer a search with a searchset: check its version")
        if half and any(
            isinstance(link, dict) and link.get("relation") == "next" for link in found.get("link") or []
        ):
            parts = [
                self.search(resource_type, parameter, some, optional=optional)
                for some in (values[:half], values[half:])
            ]
            return list({(one["resourceType"], one.get("id")): one for part in parts for one in part}.values())
        entries = [entry for entry in found.get("entry") or [] if isinstance(entry, dict)]
        resources = [entry.get("resource") for entry in entries]
        return [one for one in resources if isinstance(one, dict) and one.get("resourceType") == resource_type]

    def probe(self) -> None:
        """Ask for the CapabilityStatement.

        Raises
        ------
        DestinationUnavailable
            The server does not answer it.
        """
        response = self._request("GET", f"{self.base_url}/metadata")
        statement = _parsed(response)
        if response.status_code != httpx.codes.OK or not isinstance(statement, dict):
            raise DestinationUnavailable(
                f"the FHIR server answered {response.status_code} to a request for its capabilities: "
                "check SCANSTREAM_FHIR_BASE_URL and SCANSTREAM_FHIR_TOKEN"
            )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _answer(self, response: _Answer, personal: Callable[[], Iterable[str]]) -> object:
        answer = _parsed(response)
        if response.status_code != httpx.codes.OK:
            refused = outcomes.refusal(response.status_code, response.headers, answer, personal(), self._now())
            if isinstance(refused, TransientFailure):
                # a server that fails on everything is away; one that fails on this bundle must not stop the others
                self.probe()
            raise refused
        if answer is None:
            raise TransientFailure(
                "the FHIR server's answer is not JSON: check for a proxy or login page at SCANSTREAM_FHIR_BASE_URL"
            )
        return answer

    def _request(self, method: str, url: str, kind: str = "", body: bytes | None = None) -> _Answer:
        headers = {"Content-Type": kind, "Prefer": "return=minimal"} if body is not None else {}
        try:
            with self._http.stream(method, url, content=body, headers=headers) as response:
                return _Answer(response.status_code, response.headers, self._content(response))
        except httpx.HTTPError as error:
            raise DestinationUnavailable(
                f"the FHIR server does not answer ({type(error).__name__}): "
                "start it or correct SCANSTREAM_FHIR_BASE_URL"
            ) from error

    def _content(self, response: httpx.Response) -> bytes:
        """Body of an answer that ends in time and is not endless, however slowly it comes."""
        until = self._clock() + _PATIENCE * self._timeout_s
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > _LARGEST or self._clock() > until:
                raise DestinationUnavailable("the FHIR server's answer does not end: look for what is in between")
        return bytes(content)


def _parsed(response: _Answer) -> object | None:
    try:
        parsed: object = json.loads(response.content)
    except ValueError:
        return None
    return parsed


def _parts(tokens: Sequence[str]) -> set[str]:
    """Systems and values of search tokens, as they were before they were escaped."""
    plain = [re.sub(r"\\(.)", r"\1", token) for token in tokens]
    return {part for token in (*tokens, *plain) for part in token.split("|") if part}
