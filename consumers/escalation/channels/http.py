"""POST → taken, or an error that says whether trying again may help (RFC 9110 15). Redirects are not followed.

A redirect would carry the notice, and a token, to a host that nobody configured.
"""

from __future__ import annotations

from typing import Final

import httpx

from schemas.errors import DestinationUnavailable, PermanentRejection

#: Request timeout, too early, too many requests.
_LATER: Final = frozenset({408, 425, 429})
_LONGEST_ANSWER: Final = 64 * 1024


class Poster:
    """Posts for one channel, over a new connection each time: alarms are rare, and a kept one would be stale.

    Parameters
    ----------
    timeout_s
        Longest wait for each step of an answer, in seconds.
    headers
        Of every request.
    auth
        User and password (RFC 7617), or ``None``.
    """

    def __init__(self, timeout_s: float, headers: dict[str, str], auth: tuple[str, str] | None = None) -> None:
        self._timeout = httpx.Timeout(timeout_s)
        self._headers = {"User-Agent": "scanstream"} | headers
        self._auth = auth
        self._tls = httpx.create_ssl_context()

    def post(self, url: str, content: bytes, headers: dict[str, str]) -> str:
        """Body of the answer to a request that was accepted, at most its first 64 KiB.

        Raises
        ------
        DestinationUnavailable
            Nobody answered, a web page did, or the server cannot now (408, 425, 429, 5xx); with the seconds of a
            Retry-After.
        PermanentRejection
            It refused, or pointed elsewhere.
        """
        try:
            with (
                httpx.Client(
                    headers=self._headers,
                    auth=self._auth,
                    timeout=self._timeout,
                    verify=self._tls,
                    follow_redirects=False,
                ) as http,
                http.stream("POST", url, content=content, headers=headers) as answer,
            ):
                body = b""
                for part in answer.iter_bytes(8192):
                    body += part
                    if len(body) >= _LONGEST_ANSWER:
                        break
                _judge(answer)
                _require_no_page(url, body)
                return body[:_LONGEST_ANSWER].decode("utf-8", "replace")
        except httpx.InvalidURL as error:
            raise PermanentRejection("the URL of this channel is wrong: correct the routes file") from error
        except httpx.HTTPError as error:
            raise DestinationUnavailable(
                f"{_host(url)} did not answer ({type(error).__name__}): check that it is up and reachable"
            ) from error


def _judge(answer: httpx.Response) -> None:
    status, host = answer.status_code, _host(str(answer.url))
    if answer.is_success:
        return
    if status in _LATER or status >= 500:
        raise DestinationUnavailable(
            f"{host} answered {status}: it will be tried again", _seconds(answer.headers.get("retry-after"))
        )
    if 300 <= status < 400:
        raise PermanentRejection(
            f"{host} answered {status} and pointed elsewhere: name the final URL in the routes file", status
        )
    raise PermanentRejection(f"{host} refused with {status}: check address, secret and body", status)


def _require_no_page(url: str, body: bytes) -> None:
    """A proxy or a login page answers 200 to everything."""
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        raise DestinationUnavailable(
            f"{_host(url)} answered with a web page: a proxy or a login page may stand before it"
        )


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _host(url: str) -> str:
    """Host and port only: path and query may hold a secret of the receiver."""
    return httpx.URL(url).netloc.decode("ascii", "replace")
