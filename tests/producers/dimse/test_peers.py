from __future__ import annotations

from pathlib import Path

import pytest

from producers.dimse.peer_book import CHECK_EVERY_S, PeerBook
from producers.dimse.peers import load
from producers.dimse.rights import RIGHTS
from schemas.errors import ConfigurationError

GOOD = """
others: []
peers:
  - ae_title: "CT1 "
    host: 10.0.0.5
    port: 104
    networks: [10.0.0.0/24, "2001:db8::/32"]
    certificate_sha256: ["AA:BB:{rest}"]
    max_associations: 4
    urgent: true
    may: [store, commit]
  - ae_title: VIEWER
""".replace("{rest}", ":".join(["0C"] * 30))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def later(self) -> None:
        self.now += CHECK_EVERY_S


def written(path: Path, text: str) -> Path:
    """Replace a file as an editor does: another inode."""
    aside = path.with_suffix(".new")
    aside.write_text(text, encoding="utf-8")
    return aside.replace(path)


def test_entries_are_found_by_their_title(tmp_path: Path) -> None:
    peers = load(written(tmp_path / "peers.yaml", GOOD))
    scanner = peers.find("CT1")
    assert scanner is not None
    assert scanner.urgent
    assert scanner.certificate_sha256 == ("aabb" + "0c" * 30,)
    assert scanner.may == {"store", "commit"}
    assert peers.destination("CT1") == scanner
    viewer = peers.find(" VIEWER ")
    assert viewer is not None
    assert viewer.may == RIGHTS
    assert peers.destination("VIEWER") is None
    assert peers.find("OTHER") is None


def test_without_a_file_everyone_may_do_everything() -> None:
    assert load(None).others == RIGHTS


def test_a_file_that_does_not_speak_of_others_lets_nobody_else_in(tmp_path: Path) -> None:
    assert load(written(tmp_path / "peers.yaml", "peers: [{ae_title: A, may: [store]}]")).others == frozenset()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("peers: [{ae_title: A, prot: 1}]", "peers.0.prot"),
        ("peers: [{ae_title: A, port: 104}]", "host and port"),
        ("peers: [{ae_title: ' '}]", "peers.0.ae_title"),
        ("peers: [{ae_title: 'A\\B'}]", "peers.0.ae_title"),
        ("peers: [{ae_title: A}, {ae_title: 'A '}]", "A has two entries"),
        ("peers: [{ae_title: A, networks: [10.0.0.1/8]}]", "networks"),
        ("peers: [{ae_title: A, certificate_sha256: [abc]}]", "certificate_sha256"),
        ("peers: [{ae_title: A, may: [everything]}]", "may"),
        ("[1, 2]", "dictionary"),
        ("peers: [", "cannot be read"),
        ("", "is empty"),
        ("peers: 2026-99-99", "cannot be read"),
        ("others: []\nothers: [store]", "others is given twice"),
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
    ],
)
def test_a_mistake_is_a_sentence_that_names_it(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load(written(tmp_path / "peers.yaml", text))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path / "missing.yaml")


def test_a_changed_file_is_in_force_within_a_second(tmp_path: Path) -> None:
    path, clock = written(tmp_path / "peers.yaml", GOOD), Clock()
    book = PeerBook(path, clock)
    written(path, "peers: [{ae_title: NEW}]")
    assert book.current().find("NEW") is None, "looked at too soon"
    clock.later()
    assert book.current().find("NEW") is not None
    assert book.current().find("CT1") is None


def test_a_bad_new_file_is_said_once_and_the_old_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = written(tmp_path / "peers.yaml", GOOD), Clock()
    book = PeerBook(path, clock)
    for text in ("peers: [{ae_title: ''}]", "peers: 2026-99-99", None):
        caplog.clear()
        if text is None:
            path.unlink()
        else:
            written(path, text)
        for _ in range(5):
            clock.later()
            assert book.current().find("CT1") is not None
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert caplog.records[0].exc_info is None
    written(path, "peers: []")
    clock.later()
    assert book.current().find("CT1") is None


def test_the_example_is_a_good_file() -> None:
    peers = load(Path(__file__).parents[3] / "docs/peers.example.yaml")
    assert [peer.ae_title for peer in peers.peers] == ["CT-EMERGENCY", "ARCHIVE"]
    assert peers.others == {"store"}
