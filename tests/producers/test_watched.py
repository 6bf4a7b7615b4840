from __future__ import annotations

from pathlib import Path

from producers.watched import Watched


def test_each_change_is_reported_once_and_the_disk_is_asked_seldom(tmp_path: Path) -> None:
    now = [0.0]
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1")
    watched = Watched((first, second), 1.0, lambda: now[0])
    second.write_text("2")
    assert not watched.changed(), "too soon"
    now[0] = 1.0
    assert watched.changed()
    now[0] = 2.0
    assert not watched.changed()
    second.unlink()
    now[0] = 2.5
    assert not watched.changed(), "too soon"
    now[0] = 3.0
    assert watched.changed()


def test_a_link_that_is_moved_is_a_change(tmp_path: Path) -> None:
    """So are secrets mounted into a container."""
    now = [0.0]
    for name in ("one", "two"):
        (tmp_path / name).write_text("same")
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "one")
    watched = Watched((link,), 1.0, lambda: now[0])
    aside = tmp_path / "new"
    aside.symlink_to(tmp_path / "two")
    aside.replace(link)
    now[0] = 1.0
    assert watched.changed()


def test_without_files_nothing_changes() -> None:
    assert not Watched((), 1.0, lambda: 1e9).changed()
