"""The reader gives the same parts however the network cuts the body."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.dicomweb.multipart import (
    MAX_PART_HEADER_BYTES,
    MalformedMultipart,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
    PartTooLarge,
    closing,
    part_head,
)

BOUNDARY = "b0undary"


def body_of(parts: list[bytes], boundary: str = BOUNDARY) -> bytes:
    written = b"".join(part_head(boundary, {"Content-Type": "application/dicom"}) + part for part in parts)
    return written + closing(boundary)


def read(chunks: list[bytes], max_part_bytes: int = 10_000) -> list[bytes]:
    reader = MultipartReader(BOUNDARY, max_part_bytes)
    complete: list[bytes] = []
    open_part = b""
    for chunk in chunks:
        for event in reader.feed(chunk):
            match event:
                case PartBegin():
                    open_part = b""
                case PartData(data):
                    open_part += data
                case PartEnd():
                    complete.append(open_part)
    reader.finish()
    return complete


# Bodies made mostly of what a delimiter is made of: the hard cases.
tricky = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"--b0undar", b"\r\n--b0undaryX", b"x", b"\x00"]),
    max_size=8,
).map(b"".join)


@given(st.lists(tricky, max_size=4), st.lists(st.integers(0, 400), max_size=8))
def test_any_cut_gives_the_parts_that_were_written(parts: list[bytes], cuts: list[int]) -> None:
    body = body_of(parts)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    assert read([body[a:b] for a, b in itertools.pairwise(edges)]) == parts


@given(tricky)
def test_byte_by_byte(part: bytes) -> None:
    body = body_of([part, b"second"])
    assert read([body[i : i + 1] for i in range(len(body))]) == [part, b"second"]


@given(st.binary(max_size=300))
def test_any_bytes_are_parts_or_malformed(garbage: bytes) -> None:
    with contextlib.suppress(MalformedMultipart):
        read([garbage[:100], garbage[100:]])


def test_preamble_epilogue_padding_and_missing_headers() -> None:
    body = b"preamble\r\n--b0undary  \r\n\r\none\r\n--b0undary\r\nA: b\r\n\r\ntwo\r\n--b0undary--\r\nepilogue"
    assert read([body]) == [b"one", b"two"]


def test_headers_are_read_folded_and_without_case() -> None:
    reader = MultipartReader(BOUNDARY, 100)
    events = list(reader.feed(b"--b0undary\r\nCONTENT-Type: application/dicom;\r\n x=y\r\n\r\n.\r\n--b0undary--"))
    assert events == [PartBegin({"content-type": "application/dicom; x=y"}), PartData(b"."), PartEnd()]


def test_a_long_part_is_handed_on_chunk_by_chunk() -> None:
    reader = MultipartReader(BOUNDARY, 10_000)
    list(reader.feed(part_head(BOUNDARY, {})))
    for _ in range(5):
        (event,) = reader.feed(b"x" * 1000)
        assert isinstance(event, PartData)
        assert len(event.data) > 900


def test_part_whose_headers_end_at_the_delimiter_is_empty() -> None:
    assert read([b"--b0undary\r\nA: b\r\n\r\n--b0undary--"]) == [b""]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b0undary",
        b"--b0undary\r\nA: b\r\n\r\nunfinished",
        b"no delimiter",
        b"--b0undary\r\nA: b\r\n\r\nx\r\n--",
    ],
)
def test_cut_body_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMultipart, match="closing delimiter"):
        read([body])


def test_header_without_colon_is_malformed() -> None:
    with pytest.raises(MalformedMultipart, match="colon"):
        read([b"--b0undary\r\nnonsense\r\n\r\nx\r\n--b0undary--"])


@pytest.mark.parametrize("ended", [b"", b"\r\n\r\nx\r\n--b0undary--"])
def test_huge_header_is_refused_whether_it_ends_or_not(ended: bytes) -> None:
    with pytest.raises(MalformedMultipart, match=str(MAX_PART_HEADER_BYTES)):
        read([b"--b0undary\r\nA: " + b"x" * MAX_PART_HEADER_BYTES + ended])


def test_part_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert read([body_of([b"x" * 50])], max_part_bytes=50) == [b"x" * 50]
    with pytest.raises(PartTooLarge, match="50 bytes"):
        read([body_of([b"x" * 51])], max_part_bytes=50)
    reader = MultipartReader(BOUNDARY, 50)
    with pytest.raises(PartTooLarge):
        list(reader.feed(part_head(BOUNDARY, {}) + b"x" * 80))


@pytest.mark.parametrize("boundary", ["", "x" * 257, "м"])
def test_boundary_must_be_valid(boundary: str) -> None:
    with pytest.raises(MalformedMultipart, match="boundary"):
        MultipartReader(boundary, 1)
