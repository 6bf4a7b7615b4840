"""How many requests there are, and what becomes of objects that are too large for the PACS."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from consumers.stow.batches import batches
from schemas.events import DeliveryStatus
from tests.consumers.stow.connected import answering, connected
from tests.consumers.stow.objects import SEG, SR
from tests.consumers.stow.pacs import Answer, Request, ScriptedPacs, found, stored


@pytest.mark.parametrize(
    ("sizes", "limit", "expected"),
    [
        ([3, 3, 3], 9, [[3, 3, 3]]),
        ([3, 3, 3], 8, [[3, 3], [3]]),
        ([1, 9, 1], 5, [[1], [9], [1]]),
        ([9], 1, [[9]]),
        ([0, 0], 1, [[0, 0]]),
        ([], 5, []),
    ],
)
def test_requests_keep_the_order_and_the_limit(sizes: list[int], limit: int, expected: list[list[int]]) -> None:
    objects = [replace(SR, sop_instance_uid=f"1.{number}", data=bytes(size)) for number, size in enumerate(sizes)]
    made = list(batches(objects, limit))
    assert [[len(item.data) for item in batch] for batch in made] == expected
    assert [item for batch in made for item in batch] == objects


def bodies(pacs: ScriptedPacs) -> list[list[bool]]:
    return [[SEG.data in post.body, SR.data in post.body] for post in pacs.posts()]


def test_a_result_that_is_larger_than_a_request_goes_in_several(pacs: ScriptedPacs) -> None:
    answering(pacs, Answer(200, stored("1.3", "1.5")))
    with connected(pacs, batch_bytes=len(SEG.data)) as client:
        assert [one.identifier for one in client.store([SEG, SR])] == ["1.3", "1.5"]
    assert bodies(pacs) == [[True, False], [False, True]]


def at_most(most: int) -> Callable[[Request], Answer]:
    def script(request: Request) -> Answer:
        if request.method != "POST":
            return found()
        if len(request.body) > most:
            return Answer(413, b"<html>Request Entity Too Large</html>")
        return Answer(200, stored(*(uid for uid in ("1.3", "1.5") if uid.encode() in request.body)))

    return script


def test_what_the_pacs_finds_too_large_together_goes_one_by_one(pacs: ScriptedPacs) -> None:
    pacs.script = at_most(len(SEG.data) + 500)
    with connected(pacs) as client:
        outcomes = client.store([SEG, SR])
    assert [one.status for one in outcomes] == [DeliveryStatus.STORED] * 2
    assert bodies(pacs) == [[True, True], [True, False], [False, True]]


def test_what_is_too_large_alone_is_refused_with_its_size_and_the_rest_is_stored(pacs: ScriptedPacs) -> None:
    pacs.script = at_most(1_000_000)
    with connected(pacs) as client:
        seg, sr = client.store([SEG, SR])
    assert (seg.status, seg.status_code, sr.status) == (DeliveryStatus.FAILED, 413, DeliveryStatus.STORED)
    assert seg.reason is not None
    assert f"{len(SEG.data)} bytes" in seg.reason
    assert "raise its limit" in seg.reason


def test_a_server_that_refuses_before_it_has_read_everything_is_heard(pacs: ScriptedPacs) -> None:
    """nginx answers 413 to the header fields, and reads no body."""
    pacs.reads_bodies = False
    pacs.script = lambda request: Answer(413) if request.method == "POST" else found()
    with connected(pacs) as client:
        seg, sr = client.store([SEG, SR])
    assert (seg.status_code, sr.status_code) == (413, 413)


def test_half_an_answer_counts_for_its_half(pacs: ScriptedPacs) -> None:
    body = json.loads(stored("1.3"))
    answering(pacs, Answer(202, json.dumps([body]).encode()))
    with connected(pacs) as client:
        (seg,) = client.store([SEG])
    assert seg.status is DeliveryStatus.STORED
