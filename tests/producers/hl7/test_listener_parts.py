"""Times, sources, what is known of the log, and what is kept: without any service."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from producers.hl7.listener.kept import Kept
from producers.hl7.listener.known import KnownContexts
from producers.hl7.listener.sources import at, load, parse
from producers.hl7.listener.times import date_of, moment
from schemas.codec import Codec
from schemas.errors import ConfigurationError
from schemas.events import ClinicalContext

KYIV = ZoneInfo("Europe/Kyiv")
FIRST = ClinicalContext("e1", datetime(2026, 11, 22, tzinfo=UTC), "k1", accession_number="A1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20261122113000", "2026-11-22T09:30:00+00:00"),
        ("202611221130", "2026-11-22T09:30:00+00:00"),
        ("20260722", "2026-07-21T21:00:00+00:00"),
        ("20261122113000.1239+0000", "2026-11-22T11:30:00.123000+00:00"),
        ("20261122113000-0330", "2026-11-22T15:00:00+00:00"),
        ("2026", None), ("202613", None), ("20261341", None), ("", None), ("20261122256161", None),
        ("yesterday", None), ("00000000", None), ("20261122+9999", None), ("99991231235959-1200", None),
    ],
)  # fmt: skip
def test_times(text: str, expected: str | None) -> None:
    found = moment(text, KYIV)
    assert (found.isoformat() if found else None) == expected


def test_days() -> None:
    assert date_of("196103091200") == "19610309"
    assert date_of("19610231") is None
    assert date_of("1961") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "sources"),
        ("sources: []", "sources"),
        ("sources: [{name: a}, {name: a}]", "same name"),
        ("sources: [{name: a, adresses: [1.2.3.4]}]", "adresses"),
        ("sources: [{name: a, addresses: [1.2.3.400]}]", "addresses"),
        ("sources: [{name: a, character_set: ebcdic}]", "character_set"),
        ("sources: [{name: a, time_zone: Kyiv}]", "time_zone"),
        ("sources: [{name: a, accession: [PID-3]}]", "accession"),
        ("sources: [{name: a, accession: []}]", "accession"),
        ("sources: [{name: 'a b'}]", "name"),
        ("a: [", "YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse(text, "sources.yaml")


def test_where_a_source_may_send_from() -> None:
    sources = parse(
        "sources: [{name: a, addresses: [10.1.0.0/16]}, {name: b, addresses: ['::1', 127.0.0.1]}]", "sources.yaml"
    )
    assert [source.name for source in at(sources, "10.1.2.3")] == ["a"]
    assert [source.name for source in at(sources, "::ffff:127.0.0.1")] == ["b"]
    assert [source.name for source in at(sources, "::1%lo")] == ["b"]
    assert at(sources, "10.2.0.1") == at(sources, "?") == ()
    assert [source.name for source in at(load(None), "192.0.2.1")] == ["any"]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(Path("/nowhere/sources.yaml"))


def known(remembered: int = 100) -> KnownContexts:
    return KnownContexts(Codec(), remembered)


def test_what_is_staged_counts_at_once_and_is_taken_back() -> None:
    table = known()
    table.read("A1", FIRST)
    second = replace(FIRST, event_id="e2", order_priority="S")
    table.stage([("A1", second), ("A2", replace(FIRST, event_id="e3", accession_number="A2"))])
    assert table.get("A1") == second
    assert [name for name, _ in table.orders_of("k1")] == ["A1", "A2"]
    assert [name for name, _ in table.orders_of("k1", "A2")] == ["A2"]
    assert list(table.orders_of("k2", "A2")) == []
    assert table.has_seen("e2")
    table.failed()
    assert table.get("A1") == FIRST
    assert [name for name, _ in table.orders_of("k1")] == ["A1"]
    assert not table.has_seen("e2")
    # it was written after all
    table.read("A1", second)
    assert table.get("A1") == second
    assert table.has_seen("e2")


def test_what_others_wrote_before_ours_does_not_count() -> None:
    table = known()
    ours, others, later = (replace(FIRST, event_id=name) for name in ("ours", "others", "later"))
    table.stage([("A1", ours)])
    table.written()
    table.read("A1", others)
    assert table.get("A1") == ours
    table.read("A1", ours)
    table.read("A1", later)
    assert table.get("A1") == later
    table.stage([("A1", None)])
    table.written()
    table.read("A1", others)
    assert table.get("A1") is None
    table.read("A1", None)
    table.read("A1", later)
    assert table.get("A1") == later


def test_of_two_writes_the_first_may_be_compacted_away() -> None:
    table = known()
    first, second, later = (replace(FIRST, event_id=name) for name in ("first", "second", "later"))
    table.stage([("A1", first)])
    table.stage([("A1", second)])
    table.written()
    table.read("A1", second)
    table.read("A1", later)
    assert table.get("A1") == later


def test_a_patient_that_changes_takes_its_orders_along() -> None:
    table = known()
    table.read("A1", FIRST)
    table.read("A1", replace(FIRST, event_id="e2", patient_key="k2"))
    table.read("k2", replace(FIRST, event_id="e3", patient_key="k2", accession_number=None))
    assert list(table.orders_of("k1")) == []
    assert [name for name, _ in table.orders_of("k2")] == ["A1"]
    assert len(table) == 2


def test_event_ids_are_forgotten_at_last() -> None:
    table = known(remembered=2)
    for name in ("e1", "e2", "e3"):
        table.read("A1", replace(FIRST, event_id=name))
    assert [table.has_seen(name) for name in ("e1", "e2", "e3")] == [False, True, True]


def test_rejected_messages_are_kept_for_this_user_and_not_for_ever(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "new", 3)
    names = [kept.keep(f"message {number}".encode()) for number in range(9)]
    files = sorted((tmp_path / "new").iterdir())
    assert len(files) == 3
    assert {file.read_bytes() for file in files} == {b"message 6", b"message 7", b"message 8"}
    assert names[-1] in {file.name for file in files}
    assert kept.keep(b"message 8") == names[-1]
    assert Kept(tmp_path / "none", 0).keep(b"x") is None
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").touch()
    assert Kept(tmp_path / "file", 3).keep(b"x") is None
