from __future__ import annotations

import pytest

from consumers.callback.answer import verdict
from consumers.destination import SourceUnavailable
from schemas.errors import PermanentRejection, TransientFailure

PAGE = b"\n <!DOCTYPE html><html><body>Please log in</body></html>"


@pytest.mark.parametrize(
    ("status", "content_type", "beginning"),
    [
        (200, "application/json", b"{}"),
        (200, "text/html; charset=utf-8", b""),
        (201, "text/html", b"OK"),
        (202, "", b""),
        (204, "", b""),
        (200, "text/plain", PAGE),
    ],
)
def test_taken(status: int, content_type: str, beginning: bytes) -> None:
    assert verdict("ris:443", status, content_type, beginning, None) is None


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_away_is_of_the_requester_and_its_wish_is_kept(status: int) -> None:
    error = verdict("ris:443", status, "", b"", 7.0)
    assert isinstance(error, SourceUnavailable)
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize(
    "status", [300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 422]
)
def test_refused_for_good(status: int) -> None:
    error = verdict("ris:443", status, "", b"", None)
    assert isinstance(error, PermanentRejection)
    assert error.code == status
    assert "ris:443" in str(error)


@pytest.mark.parametrize(
    ("status", "content_type", "beginning"), [(500, "", b""), (501, "", b""), (200, "text/html", PAGE)]
)
def test_tried_again(status: int, content_type: str, beginning: bytes) -> None:
    assert isinstance(verdict("ris:443", status, content_type, beginning, None), TransientFailure)
