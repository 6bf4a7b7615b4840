"""Habits of DICOMweb services in paging, on a real HTTP connection."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from urllib.parse import parse_qs, urlsplit

import pytest

from producers.poller.qido import instances_in, search, study_of
from producers.poller.web import DicomWeb
from schemas.errors import DestinationUnavailable, PermanentRejection, TransientFailure
from tests.producers.poller.web_service import Quiet, serving

ROWS = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{n}"]}} for n in range(23)]


def service(*, page: int = 1000, offsets: bool = True, status: int = 200) -> AbstractContextManager[str]:
    """A service with pages of its own size, which may ignore the offset or fail."""

    class Handler(Quiet):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            start = int(query["offset"][0]) if offsets and "offset" in query else 0
            rows = ROWS[start : start + min(page, int(query["limit"][0]))]
            body = json.dumps(rows).encode() if rows else b""
            self.send_response(status if rows or status != 200 else 204)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", "7")
            self.end_headers()
            self.wfile.write(body)

    return serving(Handler)


@pytest.mark.parametrize(
    ("page", "offsets", "limit", "expected", "whole"),
    [
        (1000, True, None, 23, True),
        # smaller pages than asked for
        (10, True, None, 23, True),
        # a limit is met
        (1000, True, 5, 5, False),
        (3, True, 5, 6, False),
        # no offset: everything at once is everything
        (1000, False, None, 23, True),
        # nothing tells that this was cut, apart from the same page again
        (1000, False, 20, 20, False),
    ],
)
async def test_a_list_is_whole_or_known_to_be_cut(
    page: int, offsets: bool, limit: int | None, expected: int, whole: bool
) -> None:
    with service(page=page, offsets=offsets) as root:
        web = DicomWeb(root, "the source", 10)
        try:
            rows, complete = await search(web, "/studies", {}, "0020000D", limit)
        finally:
            await web.aclose()
    assert (len(rows), complete) == (expected, whole)
    assert len({study_of(row).study_instance_uid for row in rows}) == expected


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, DestinationUnavailable),
        (503, DestinationUnavailable),
        (500, TransientFailure),
        (400, PermanentRejection),
        (404, PermanentRejection),
    ],
)
async def test_a_status_says_what_to_do(status: int, error: type[Exception]) -> None:
    with service(status=status) as root:
        web = DicomWeb(root, "the source", 10)
        try:
            with pytest.raises(error) as caught:
                await search(web, "/studies", {}, "0020000D")
            if status == 503:
                assert isinstance(caught.value, DestinationUnavailable)
                assert caught.value.retry_after_s == 7
            if status == 404:
                # below a study it means that there is none
                assert await instances_in(web, "1.2") == []
        finally:
            await web.aclose()
