"""Address and digest → file; kept only when it has the digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx

from schemas.errors import DestinationUnavailable, InvalidInput, PermanentRejection


def download(
    url: str,
    sha256: str,
    target: Path,
    limit_bytes: int,
    advance: Callable[[int, int | None], None] = lambda _size, _total: None,
    transport: httpx.BaseTransport | None = None,
) -> None:
    """Fetch a file by HTTP.

    Parameters
    ----------
    url
        ``http://`` or ``https://``.
    sha256
        What the file must have, in hexadecimal.
    target
        Where to; removed again when something is wrong.
    limit_bytes
        A longer answer is given up.
    advance
        Told the bytes of each part, and how many there will be if the server says.
    transport
        Where requests go; ``None`` for the network.

    Raises
    ------
    DestinationUnavailable
        The server does not answer.
    PermanentRejection
        It answers with an error.
    InvalidInput
        The file has another digest, or is too large.
    """
    verify = url.startswith("https") or transport is None
    try:
        with (
            httpx.Client(timeout=30.0, follow_redirects=True, transport=transport, verify=verify) as client,
            client.stream("GET", url) as answer,
        ):
            digest = _write(answer, target, limit_bytes, advance)
    except httpx.HTTPError as error:
        target.unlink(missing_ok=True)
        raise DestinationUnavailable(
            f"{url} cannot be fetched ({type(error).__name__}): check the address"
        ) from error
    except (PermanentRejection, InvalidInput):
        target.unlink(missing_ok=True)
        raise
    if digest != sha256.lower():
        target.unlink(missing_ok=True)
        raise InvalidInput(
            f"the file has sha256 {digest} and {sha256.lower()} was expected: it is not kept; "
            "ask its author which is right"
        )


def _write(
    answer: httpx.Response, target: Path, limit_bytes: int, advance: Callable[[int, int | None], None]
) -> str:
    """Digest of what was written."""
    if answer.is_error:
        raise PermanentRejection(
            f"{answer.url.host} answered {answer.status_code}: check the address", answer.status_code
        )
    digest, size = hashlib.sha256(), 0
    length = answer.headers.get("content-length", "")
    with target.open("wb") as file:
        for part in answer.iter_bytes(1 << 20):
            size += len(part)
            if size > limit_bytes:
                raise InvalidInput(f"the file is larger than {limit_bytes} bytes: fetch it by other means")
            digest.update(part)
            file.write(part)
            advance(len(part), int(length) if length.isdecimal() else None)
    return digest.hexdigest()
