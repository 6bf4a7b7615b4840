from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.store import Spool, spool


@given(st.lists(st.binary(max_size=5000), max_size=20), st.integers(0, 40_000))
def test_gives_back_what_was_put_in(fragments: list[bytes], count: int) -> None:
    spooled = Spool()
    for fragment in fragments:
        spooled.append(memoryview(fragment))
    whole = b"".join(fragments)
    assert spooled.size == len(whole)
    assert spooled.prefix(count) == whole[:count]
    assert b"".join(spooled.chunks()) == whole


def test_large_ones_go_to_an_unnamed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 10_000)
    spooled = Spool(tmp_path)
    whole = bytes(range(256)) * 400
    for start in range(0, len(whole), 3000):
        spooled.append(whole[start : start + 3000])
    assert list(tmp_path.iterdir()) == []
    assert spooled.prefix(12_345) == whole[:12_345]
    assert b"".join(spooled.chunks()) == whole
    assert spooled.failure is None
    spooled.close()


def test_full_disk_is_said_and_memory_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 10_000)
    spooled = Spool(tmp_path, lambda: True)
    for _ in range(10):
        spooled.append(bytes(4000))
    assert spooled.failure == "the disk is full to the mark"
    assert spooled.size == 40_000
    assert list(spooled.chunks()) == []


def test_file_that_takes_only_a_part_of_a_fragment_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 10_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    spooled = Spool(tmp_path)
    spooled.append(bytes(4000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_500, limits[1]))
    try:
        for _ in range(2):
            spooled.append(bytes(4000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert spooled.failure == "File too large"
    spooled.close()
