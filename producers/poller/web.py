"""Requests to a DICOMweb service → answers, and HTTP's ways to fail → errors that say what the poller must do.

The same client asks the source and the gateway. Nothing is retried here.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import httpx

from producers.retry_after import retry_after_s
from schemas.errors import (
    ConfigurationError,
    DestinationUnavailable,
    PermanentRejection,
    ScanstreamError,
    TransientFailure,
)

DICOM_JSON: Final = "application/dicom+json"
_CONNECT_TIMEOUT_S: Final = 5.0
_AWAY: Final = frozenset(
    (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    )
)


class GatewayUnavailable(DestinationUnavailable):
    """The gateway is away, or its disk is full; the source is another matter."""


class _Transport(httpx.AsyncHTTPTransport):
    """Connections to the network."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        try:
            return await super().handle_async_request(request)
        except AttributeError as error:
            # what anyio makes of a peer that is gone before it is asked for its address
            if error.name == "getpeername":
                raise httpx.ConnectError(
                    "the connection was reset while it was opened", request=request
                ) from error
            raise


class DicomWeb:
    """Client of one DICOMweb service; close it with ``aclose``.

    Parameters
    ----------
    root
        DICOMweb root.
    who
        Name of the service in sentences, such as ``the gateway``.
    timeout_s
        Longest silence, in seconds.
    authorization
        Gives the value of that header (RFC 7617, RFC 6750) for each request, or ``None``.
    tls
        For https; ``None`` for the system's certificates.
    away
        Class of the error for a service that is away.
    """

    def __init__(
        self,
        root: str,
        who: str,
        timeout_s: float,
        *,
        authorization: Callable[[], str | None] = lambda: None,
        tls: ssl.SSLContext | None = None,
        away: type[DestinationUnavailable] = DestinationUnavailable,
    ) -> None:
        self.who = who
        self._root = root.rstrip("/")
        self._away = away

        def authorized(request: httpx.Request) -> httpx.Request:
            try:
                value = authorization()
            except ConfigurationError as error:  # its file went away: that is nothing about one study
                raise away(str(error)) from error
            if value is not None:
                request.headers["Authorization"] = value
            return request

        # reading the system's certificates takes longer than everything else here
        verify: ssl.SSLContext | bool = tls or self._root.startswith("https")
        self._http = httpx.AsyncClient(
            auth=authorized,
            headers={"User-Agent": "scanstream-poller"},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S)),
            transport=_Transport(verify=verify),
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def json(self, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer to a search (PS3.18 10.6); empty for 204, and for 404 below a study that is not there.

        Raises
        ------
        DestinationUnavailable
            The service is away, or refuses us.
        ScanstreamError
            It failed on this search.
        """
        with self._translated():
            response = await self._http.get(self._root + path, params=dict(params), headers={"Accept": DICOM_JSON})
        if response.status_code == HTTPStatus.NO_CONTENT:
            return []
        if response.status_code == HTTPStatus.NOT_FOUND and path.count("/") > 1:
            return []
        if response.status_code != HTTPStatus.OK:
            raise self.failure(response)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._away(f"{self.who} answers a search with something else than DICOM JSON: correct its URL")
        return found

    @asynccontextmanager
    async def stream(self, path: str, accept: str) -> AsyncIterator[httpx.Response]:
        """Response of a retrieval, whatever its status, with its body still to come.

        Raises
        ------
        DestinationUnavailable
            The service is away, also when it goes away while the body is read.
        """
        with self._translated():
            async with self._http.stream("GET", self._root + path, headers={"Accept": accept}) as response:
                yield response

    async def post(self, path: str, content_type: str, body: AsyncIterator[bytes]) -> httpx.Response:
        """Response to a streamed request; errors of the body's maker pass through as they are.

        Raises
        ------
        DestinationUnavailable
            The service is away.
        """
        headers = {"Accept": DICOM_JSON, "Content-Type": content_type}
        with self._translated():
            return await self._http.post(self._root + path, headers=headers, content=body)

    def failure(self, response: httpx.Response) -> ScanstreamError:
        """Error for a status that is no success."""
        status = response.status_code
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return self._away(
                f"{self.who} refuses us (HTTP {status}): correct the credentials, or our rights there"
            )
        if status in _AWAY:
            return self._away(
                f"{self.who} asks for time (HTTP {status}): check its load and its disk",
                retry_after_s(response.headers.get("Retry-After"), datetime.now(UTC)),
            )
        if status == HTTPStatus.NOT_FOUND:
            return PermanentRejection(f"{self.who} does not have it (HTTP 404): check its URL", status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return TransientFailure(f"{self.who} failed (HTTP {status}): see its log")
        return PermanentRejection(f"{self.who} refuses the request (HTTP {status}): see its log", status)

    def _translated(self) -> _Translated:
        return _Translated(self.who, self._away)


class _Translated:
    """Turns httpx's errors into ours, also inside of async generators."""

    def __init__(self, who: str, away: type[DestinationUnavailable]) -> None:
        self._who = who
        self._away = away

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
            raise self._away(
                f"{self._who} does not answer ({type(error).__name__}): check that it runs, and its address"
            ) from error


def tls_context(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """Client side of TLS 1.2 or later (BCP 195), with our certificate if there is one.

    Raises
    ------
    ConfigurationError
        A file cannot be read or holds nothing of use.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except OSError as error:
        files = ", ".join(item for item in (ca, certificate, key) if item is not None)
        raise ConfigurationError(
            f"TLS cannot be set up from {files} ({error}): name PEM files that this user may read"
        ) from error
    return context
