from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from producers.poller.connect import archive_of
from producers.poller.sources import WebSource
from schemas.errors import ConfigurationError, DestinationUnavailable
from tests.producers.poller.web_service import Quiet, serving


def service(seen: list[str | None]) -> AbstractContextManager[str]:
    """A DICOMweb service that finds nothing, and notes what it is shown."""

    class Handler(Quiet):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(204)
            self.end_headers()

    return serving(Handler)


async def test_a_token_that_is_replaced_counts_from_the_next_request_on(tmp_path: Path) -> None:
    token, seen = tmp_path / "token", list[str | None]()
    token.write_text("one\n", encoding="utf-8")
    with service(seen) as url:
        archive = archive_of(WebSource(kind="dicomweb", url=url, token_file=token))
        try:
            await archive.probe()
            token.write_text("two\n", encoding="utf-8")
            await archive.probe()
            token.unlink()
            with pytest.raises(DestinationUnavailable, match="cannot be read"):
                await archive.probe()
        finally:
            await archive.aclose()
    assert seen == ["Bearer one", "Bearer two"]


async def test_a_name_and_a_password_may_hold_every_letter(tmp_path: Path) -> None:
    password, seen = tmp_path / "password", list[str | None]()
    password.write_text("Ґанок", encoding="utf-8")
    with service(seen) as url:
        archive = archive_of(WebSource(kind="dicomweb", url=url, username="читач", password_file=password))
        try:
            await archive.probe()
        finally:
            await archive.aclose()
    assert seen == ["Basic 0YfQuNGC0LDRhzrSkNCw0L3QvtC6"]


def test_a_secret_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        archive_of(WebSource(kind="dicomweb", url="http://127.0.0.1:1", token_file=tmp_path / "none"))
