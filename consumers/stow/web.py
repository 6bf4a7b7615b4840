"""Requests to a DICOMweb service → answers, or an error that says what the runtime must do.

Connections are reused; safe to use from several threads. A request whose connection breaks is sent once more at
once, as the PACS may have closed an idle one; nothing else is retried here. Guarantee: an answer that trickles or
does not end is given up, and what is for the PACS goes to it, whatever proxy the environment names.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import httpx

from consumers.destination import is_http_url
from consumers.stow import verdict
from consumers.stow.answer import documents
from schemas.errors import ConfigurationError, DestinationUnavailable, ScanstreamError, TransientFailure

_CONNECT_TIMEOUT_S: Final = 5.0
#: How many times ``timeout_s`` an answer may take, and how many bytes it may have.
_PATIENCE: Final = 4
_LARGEST: Final = 64 * 1024 * 1024
#: A study that no PACS has: a search for it is cheap and returns nobody's data.
_NO_STUDY: Final = "2.25.0"
_NOTHING: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND})
#: Said by services that have no search, or not this one.
_CANNOT_SEARCH: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)


class NoAnswer(DestinationUnavailable):
    """The PACS took the request and says nothing; whether it answers others must be asked."""


@dataclass(frozen=True)
class Answer:
    """An HTTP response that was read to its end."""

    status_code: int
    headers: httpx.Headers
    content: bytes


class DicomWeb:
    """Connection to one DICOMweb service.

    Parameters
    ----------
    root
        DICOMweb root, such as ``http://pacs/dicom-web``.
    auth
        User name and password (RFC 7617), or ``None``.
    timeout_s
        Longest wait for a piece of an answer, in seconds; the whole may take 4 times as long.
    agent
        ``User-Agent``, so that the log of the PACS says who wrote.
    now
        Clock, for ``Retry-After`` dates.
    tls
        Whose certificates are trusted, and ours; ``None`` trusts what httpx does.
    clock
        Seconds that never run backwards.

    Raises
    ------
    ConfigurationError
        ``root`` is not an HTTP URL.
    """

    def __init__(
        self,
        root: str,
        auth: tuple[str, str] | None,
        timeout_s: float,
        agent: str = "scanstream",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not is_http_url(root):
            raise ConfigurationError(f"SCANSTREAM_STOW_PACS_URL is {root!r}: set it to an http or https URL")
        self.root = root.rstrip("/")
        self._now = now
        self._clock = clock
        self._timeout_s = timeout_s
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S))
        headers = {"Accept": "application/dicom+json", "User-Agent": agent}
        self._http = httpx.Client(
            auth=auth,
            timeout=timeout,
            headers=headers,
            follow_redirects=False,
            verify=httpx.create_ssl_context() if tls is None else tls,
            trust_env=False,
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        content: Callable[[], Iterator[bytes]] | None = None,
    ) -> Answer:
        """Send one request, and read the whole answer.

        Parameters
        ----------
        method, path, headers, params
            Of the request; the path is under the DICOMweb root.
        content
            Gives the body anew each time; a second write must be the same write.

        Raises
        ------
        DestinationUnavailable
            The PACS cannot be reached.
        NoAnswer
            It does not answer in time, or its answer does not end.
        TransientFailure
            It breaks the connection twice.
        """

        def once() -> Answer:
            body = None if content is None else content()
            url = self.root + path
            with (
                _failures(),
                self._http.stream(method, url, headers=headers, params=params, content=body) as response,
            ):
                return Answer(response.status_code, response.headers, self._content(response))

        try:
            return once()
        except TransientFailure:
            return once()

    @contextmanager
    def streamed(self, path: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Answer to a GET whose body is not read yet; raises as :meth:`send`, also while it is read."""
        with _failures(), self._http.stream("GET", self.root + path, headers=headers) as response:
            yield response

    def pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """Body of an answer piece by piece; raises :class:`NoAnswer` where it takes too long as a whole."""
        until = self._clock() + _PATIENCE * self._timeout_s
        for piece in response.iter_bytes():
            if self._clock() > until:
                raise NoAnswer("the answer of the PACS does not end: look for what is in between, and its load")
            yield piece

    def search(self, path: str, params: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """DICOM JSON objects of a search or of metadata (PS3.18 10.6, 10.4.1.1.2).

        Empty also where nothing matches or the service has no such search.

        Raises
        ------
        DestinationUnavailable
            The PACS is away, asks for time, or refuses our credentials.
        TransientFailure
            It fails, or answers something else.
        """
        response = self.send("GET", path, params=params)
        if response.status_code in _NOTHING or response.status_code in _CANNOT_SEARCH:
            return []
        self.require(response)
        found = documents(response.content) if response.status_code == HTTPStatus.OK else None
        if found is None:
            raise TransientFailure(
                f"the PACS answers {response.status_code} to a search, and no DICOM JSON: check for a proxy or "
                "login page at SCANSTREAM_STOW_PACS_URL, and the log of the PACS"
            )
        return found

    def require(self, response: httpx.Response | Answer) -> None:
        """Make sure that an answer is not one that every request would get.

        Raises
        ------
        DestinationUnavailable
            It is; ``retry_after_s`` as the PACS asks.
        """
        refused = verdict.refusal(response.status_code, response.headers.get("Retry-After"), self._now())
        if refused is not None:
            raise refused

    def probe(self) -> None:
        """Search for a study that does not exist.

        Raises
        ------
        DestinationUnavailable
            The PACS does not answer, or not as a DICOMweb service.
        """
        try:
            response = self.send("GET", "/studies", params={"StudyInstanceUID": _NO_STUDY, "limit": "1"})
        except TransientFailure as error:
            raise DestinationUnavailable(str(error)) from error
        self.require(response)
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise DestinationUnavailable(f"the PACS answers {response.status_code} to a search: check its log")

    def _content(self, response: httpx.Response) -> bytes:
        content = bytearray()
        for piece in self.pieces(response):
            content += piece
            if len(content) > _LARGEST:
                raise NoAnswer(
                    f"the PACS answers with more than {_LARGEST >> 20} MiB of text: look for what is in between"
                )
        return bytes(content)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


@contextmanager
def _failures() -> Iterator[None]:
    """Translate what httpx raises into what the runtime must do."""
    try:
        yield
    except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, httpx.DecodingError) as error:
        raise TransientFailure(
            f"the PACS broke the connection during the request ({type(error).__name__}): check its log"
        ) from error
    except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
        raise NoAnswer(
            f"the PACS does not answer in time ({type(error).__name__}): check its load, or raise "
            "SCANSTREAM_STOW_TIMEOUT_S"
        ) from error
    except httpx.HTTPError as error:
        raise _away(error) from error


def _away(error: httpx.HTTPError) -> ScanstreamError:
    """Why no connection came about; that of a certificate is said, as nothing else tells what to renew."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return DestinationUnavailable(
                f"the certificate of the PACS is refused ({cause.verify_message}): renew it there, or set "
                "SCANSTREAM_STOW_TLS_CA to what signs it"
            )
        cause = cause.__cause__ or cause.__context__
    return DestinationUnavailable(
        f"the PACS does not answer ({type(error).__name__}): start it or correct SCANSTREAM_STOW_PACS_URL"
    )
