from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.hl7.mllp import Deframer, FrameError, frame

payloads = st.binary(max_size=60).filter(lambda data: b"\x1c\r" not in data and not data.endswith(b"\x1c"))


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, rest = [], data
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    return [*pieces, rest]


@given(st.lists(payloads, max_size=5), st.lists(st.integers(0, 9), max_size=40))
def test_payloads_come_out_as_they_went_in_however_the_bytes_are_cut(sent: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(frame, sent))
    reader = Deframer(1000)
    assert [payload for piece in cut(stream, sizes) for payload in reader.feed(piece)] == sent
    assert not reader.is_inside


@given(st.binary(max_size=40).filter(lambda data: b"\x0b" not in data), payloads)
def test_what_stands_between_blocks_is_passed_over(noise: bytes, payload: bytes) -> None:
    reader = Deframer(1000)
    assert reader.feed(noise + frame(payload) + noise + frame(payload)) == [payload, payload]


def test_a_vertical_tab_and_a_lone_end_byte_inside_a_block_belong_to_it() -> None:
    assert Deframer(100).feed(b"\x0ba\x0bb\x1cc\x1c\r") == [b"a\x0bb\x1cc"]


@pytest.mark.parametrize("payload", [b"a\x1c\rb", b"a\x1c"])
def test_a_payload_that_would_end_its_own_block_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError, match="escaped"):
        frame(payload)


@pytest.mark.parametrize("data", [b"\x0b" + b"a" * 102, b"x" * 101, b"\x0b" + b"a" * 101 + b"\x1c\r"])
def test_no_more_than_the_bound_is_held(data: bytes) -> None:
    reader = Deframer(100)
    with pytest.raises(FrameError, match="100 bytes"):
        for index in range(len(data)):
            reader.feed(data[index : index + 1])
    with pytest.raises(FrameError, match="100 bytes"):
        Deframer(100).feed(data)


def test_a_payload_of_exactly_the_bound_is_read() -> None:
    reader = Deframer(100)
    assert [payload for byte in frame(b"a" * 100) for payload in reader.feed(bytes([byte]))] == [b"a" * 100]


def test_line_ends_between_blocks_are_not_counted_as_noise() -> None:
    reader = Deframer(100)
    for _ in range(200):
        assert reader.feed(b"\r\n") == []
    assert reader.passed_over == 0
    reader.feed(b"HTTP/1.1 400\r\n")
    assert reader.passed_over == 12
