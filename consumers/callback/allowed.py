"""Callback URL → the endpoint that may be called, by the site's list of hosts. Pure.

Names are compared as they go over the wire: lower case, IDNA, without a final dot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from schemas.errors import ConfigurationError, PermanentRejection

_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Endpoint:
    """Where a callback goes: ``host`` as on the wire, ``url`` with it and without a fragment."""

    url: httpx.URL
    host: str
    port: int

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class _Pattern:
    host: str
    port: int | None
    below: bool

    def matches(self, endpoint: Endpoint) -> bool:
        port = _PORTS[endpoint.url.scheme] if self.port is None else self.port
        if endpoint.port != port:
            return False
        return endpoint.host.endswith(f".{self.host}") if self.below else endpoint.host == self.host


def endpoint_of(text: str) -> Endpoint:
    """Endpoint of a callback URL.

    Raises
    ------
    PermanentRejection
        Nothing can be sent to it.
    """
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError) as error:
        raise PermanentRejection("the callback URL is no URL: ask the requester to correct it") from error
    host = url.raw_host.decode("ascii").rstrip(".").lower()
    if url.scheme not in _PORTS or not host:
        raise PermanentRejection("the callback URL is no http or https URL: ask the requester to correct it")
    if url.userinfo:
        raise PermanentRejection(
            "the callback URL holds a user name or password, which are not to lie in events: "
            "the signature says who calls, so ask the requester to leave them out"
        )
    # a copy without fragment and final dot: what is checked is what is called
    clean = url.copy_with(host=host, fragment=None)
    return Endpoint(clean, host, url.port or _PORTS[url.scheme])


class Allowed:
    """The site's list.

    Parameters
    ----------
    hosts
        ``host``, ``host:port`` or ``*.domain``, also with a port; without one the default port of the scheme.
    allow_http
        Whether a callback may go without TLS.

    Raises
    ------
    ConfigurationError
        An entry is none of these.
    """

    def __init__(self, hosts: Sequence[str], *, allow_http: bool) -> None:
        self._patterns = [_pattern(text) for text in hosts]
        self._allow_http = allow_http

    def check(self, endpoint: Endpoint) -> None:
        """Make sure that an endpoint may be called.

        Raises
        ------
        PermanentRejection
            It may not.
        """
        if not any(pattern.matches(endpoint) for pattern in self._patterns):
            raise PermanentRejection(
                f"callbacks to {endpoint.address} are not allowed: "
                "add it to SCANSTREAM_CALLBACK_ALLOWED_HOSTS, or ask the requester for another URL"
            )
        if endpoint.url.scheme == "http" and not self._allow_http:
            raise PermanentRejection(
                f"callbacks to {endpoint.address} would go without TLS: ask the requester for an https URL, "
                "or set SCANSTREAM_CALLBACK_ALLOW_HTTP=true"
            )


def _pattern(text: str) -> _Pattern:
    below = text.startswith("*.")
    rest = text.removeprefix("*.")
    try:
        parts = urlsplit(f"//{rest}")
        host = httpx.URL(scheme="https", host=parts.hostname or "").raw_host.decode("ascii").rstrip(".").lower()
        port = parts.port
    except (ValueError, httpx.InvalidURL):
        host, port = "", None
    if not host or "*" in host or parts.netloc != rest or "@" in rest:
        raise ConfigurationError(
            f"SCANSTREAM_CALLBACK_ALLOWED_HOSTS has {text!r}: write host, host:port or *.domain"
        )
    return _Pattern(host, port, below)
