from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.store import files
from producers.store.files import instance_file, move_into_place, write_aside, write_parts


@given(st.lists(st.binary(max_size=300), max_size=200), st.integers(1, 5), st.integers(1, 700))
def test_writes_header_and_chunks_in_order(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], most_parts: int, most_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("incoming")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_MOST_PARTS", most_parts)
        patch.setattr(files, "_MOST_BYTES", most_bytes)
        written = write_aside(folder, b"header", iter(chunks))
    whole = b"".join(chunks)
    assert written.path.read_bytes() == b"header" + whole
    assert (written.header_bytes, written.size_bytes) == (6, len(whole))
    assert written.sha256 == hashlib.sha256(whole).hexdigest()


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=10), st.integers(0, 500))
def test_what_the_system_did_not_take_at_once_follows(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], taken: int
) -> None:
    path = tmp_path_factory.mktemp("parts") / "file"

    def writev(descriptor: int, buffers: list[bytes]) -> int:
        return os.write(descriptor, b"".join(buffers)[:taken])

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", writev)
        write_parts(descriptor, parts)
    os.close(descriptor)
    assert path.read_bytes() == b"".join(parts)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def chunks() -> object:
        yield b"first"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_aside(tmp_path, b"header", chunks())  # type: ignore[arg-type] # an iterator all the same
    assert list(tmp_path.iterdir()) == []


def test_what_arrives_together_lies_in_one_directory(tmp_path: Path) -> None:
    names = [write_aside(tmp_path, b"", [b"data"]).path.name for _ in range(20)]
    places = {instance_file(f"1.2.{number}", name) for number, name in enumerate(names)}
    assert len(places) == 20
    # Two when the clock passes a border meanwhile.
    assert len({Path(place).parent for place in places}) <= 2


def test_moving_again_after_a_failed_commit_changes_nothing(tmp_path: Path) -> None:
    written = write_aside(tmp_path, b"", [b"data"])
    target = tmp_path / "a" / "b" / "c.dcm"
    touched: set[Path] = set()
    move_into_place(written.path, target, touched)
    assert touched == {target.parent, target.parent.parent, tmp_path}
    move_into_place(written.path, target, touched)
    assert target.read_bytes() == b"data"


def test_a_file_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        move_into_place(tmp_path / "gone", tmp_path / "a" / "b.dcm", set())
