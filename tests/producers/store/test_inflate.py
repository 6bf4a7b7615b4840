"""Deflated bytes become a file, never more than a limit of it."""

from __future__ import annotations

import zlib
from io import BytesIO

import pytest

from producers.store.inflate import inflated


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize("size", [0, 1, 100_000, 20_000_000])
def test_all_of_it(size: int) -> None:
    data = bytes(size)
    file, is_whole = inflated(BytesIO(deflated(data) + b"\0"))
    with file:
        assert file.read() == data
    assert is_whole


def test_no_more_than_the_limit() -> None:
    file, is_whole = inflated(BytesIO(deflated(bytes(50_000_000))), most=2_000_000)
    with file:
        assert len(file.read()) < 5_000_000
    assert not is_whole


def test_what_is_cut_off_or_no_deflated_data_is_what_can_be_read() -> None:
    whole = deflated(bytes(range(256)) * 1000)
    for data in (whole[:-20], b"", b"\xff" * 100):
        file, is_whole = inflated(BytesIO(data))
        file.close()
        assert not is_whole
