"""A signed body → one POST to a checked address, and what the requester said.

Guarantee: a whole exchange ends within its time, however slowly the far side sends; no redirect is followed, no
proxy of the environment used, no connection shared between hosts, and no more than the beginning of a body read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from consumers.callback.addresses import Resolver, checked, resolve
from consumers.callback.allowed import Endpoint
from consumers.destination import SourceUnavailable
from producers.retry_after import retry_after_s

_BEGINNING_BYTES: Final = 256
#: Share of the time for a connection; what is left is for the next address of a name, or for the exchange.
_CONNECT_SHARE: Final = 0.4
#: Addresses of one name that are tried.
_MOST_ADDRESSES: Final = 4


@dataclass(frozen=True)
class Answer:
    """Of a requester; ``retry_after_s`` in seconds, ``beginning`` the first bytes of the body."""

    status: int
    content_type: str
    beginning: bytes
    retry_after_s: float | None


class CallbackClient:
    """Client for many requesters; used from several threads.

    Parameters
    ----------
    agent
        ``User-Agent``.
    timeout_s
        Longest time of a whole exchange with one address, in seconds.
    allow_private
        Whether addresses of private networks may be called.
    context
        Whom TLS trusts.
    resolver
        Host name → addresses.
    now
        Clock, for ``Retry-After`` dates.
    """

    def __init__(
        self,
        agent: str,
        timeout_s: float,
        *,
        allow_private: bool,
        context: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._agent = agent
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._context = context or httpx.create_ssl_context()
        self._resolver = resolver
        self._now = now

    def post(self, endpoint: Endpoint, headers: dict[str, str], body: bytes) -> Answer:
        """Send a callback.

        Parameters
        ----------
        endpoint
            Allowed by the site.
        headers
            Of the signature.
        body
            JSON.

        Raises
        ------
        SourceUnavailable
            The requester does not answer in time, or not as HTTP or TLS want it.
        PermanentRejection
            Its name leads to an address that may not be called.
        """
        found = checked(endpoint.host, endpoint.port, self._resolver, allow_private=self._allow_private)
        addresses = found[:_MOST_ADDRESSES]
        for number, address in enumerate(addresses, 1):
            try:
                return asyncio.run(self._exchange(endpoint, address, headers, body))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if number == len(addresses):
                    raise _away(endpoint, error) from error
            except (httpx.HTTPError, TimeoutError) as error:
                raise _away(endpoint, error) from error
        raise AssertionError("checked() gives at least one address")

    async def _exchange(self, endpoint: Endpoint, address: str, headers: dict[str, str], body: bytes) -> Answer:
        port = None if endpoint.url.port is None else f":{endpoint.url.port}"
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        fields = {"Host": f"{host}{port or ''}", "Content-Type": "application/json", "User-Agent": self._agent}
        # shorter than the whole, which would end first and leave the next address untried
        timeout = httpx.Timeout(self._timeout_s, connect=self._timeout_s * _CONNECT_SHARE)
        request = httpx.Request(
            "POST",
            endpoint.url.copy_with(host=address),
            headers=fields | headers,
            content=body,
            # the certificate must be of the name, though the connection goes to the address
            extensions={"sni_hostname": endpoint.host, "timeout": timeout.as_dict()},
        )
        async with asyncio.timeout(self._timeout_s), httpx.AsyncHTTPTransport(verify=self._context) as transport:
            response = await transport.handle_async_request(request)
            response.request = request
            try:
                return Answer(
                    response.status_code,
                    response.headers.get("Content-Type", ""),
                    await _beginning(response),
                    retry_after_s(response.headers.get("Retry-After"), self._now()),
                )
            finally:
                await response.aclose()


async def _beginning(response: httpx.Response) -> bytes:
    """First bytes of a body; that it breaks off later does not matter."""
    read = b""
    try:
        async for part in response.aiter_raw():
            read += part
            if len(read) >= _BEGINNING_BYTES:
                break
    except httpx.HTTPError:
        pass
    return read[:_BEGINNING_BYTES]


def _away(endpoint: Endpoint, error: Exception) -> SourceUnavailable:
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE" in str(error).upper():
        return SourceUnavailable(
            f"the certificate of {endpoint.address} cannot be trusted: "
            "see that it has not expired and names this host; SSL_CERT_FILE names an authority of your own"
        )
    return SourceUnavailable(f"{endpoint.address} does not answer ({type(error).__name__}): ask the requester")
