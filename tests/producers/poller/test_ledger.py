from __future__ import annotations

from pathlib import Path

import pytest

from producers.poller.ledger import FILE, Job, Ledger, Work, read_standing
from producers.poller.plan import State, Study
from schemas.errors import ConfigurationError


def work(uid: str, day: str = "20261122", *, urgent: bool = False, instances: int = 5) -> Work:
    return Work(Study(uid, day, "1000", instances=instances), urgent, False)


def take(ledger: Ledger, now_s: float = 1e9, *, urgent_only: bool = False) -> Job:
    job = ledger.next(now_s, (), urgent_only=urgent_only)
    assert job is not None
    return job


def test_the_watermark_waits_for_what_was_listed_and_not_for_what_is_aside(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.record([work("1"), work("2")], 100.0)
        assert ledger.standing().watermark_s is None
        ledger.complete(take(ledger), 5, 110.0)
        ledger.record([work("3", "20261123")], 200.0)
        assert ledger.standing().watermark_s is None
        ledger.set_aside(Job("1", 5, 0, False), "why", 500.0)
        ledger.set_aside(Job("2", 5, 0, False), "why", 500.0)
        # the third was listed after the first listing, which is settled
        assert ledger.standing().watermark_s == 100.0
        ledger.record([work("3", "20261123")], 300.0)
        assert ledger.standing().watermark_s == 100.0
        ledger.complete(Job("3", 5, 0, False), 5, 310.0)
        assert ledger.standing().watermark_s == 300.0


def test_urgent_first_then_new_then_what_was_set_aside(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.record(
            [work("aside"), work("old", "20250101"), work("new"), work("urgent", "20200101", urgent=True)], 1.0
        )
        ledger.set_aside(Job("aside", 5, 0, False), "why", 50.0)
        order = []
        while (job := ledger.next(60.0, order, urgent_only=False)) is not None:
            order.append(job.study_instance_uid)
        assert order == ["urgent", "new", "old", "aside"]
        assert ledger.next(40.0, order[:3], urgent_only=False) is None
        # off-peak hours are over
        assert take(ledger, urgent_only=True).study_instance_uid == "urgent"
        assert ledger.next(60.0, ["urgent"], urgent_only=True) is None


def test_everything_is_there_after_a_restart_and_old_studies_are_forgotten(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.record([work("1", "20260101"), work("2")], 100.0)
        ledger.complete(Job("1", 5, 0, False), 5, 110.0)
    with Ledger(tmp_path) as ledger:
        assert ledger.listed_s() == 100.0
        assert ledger.known(["1", "2", "3"]).keys() == {"1", "2"}
        assert ledger.known(["1"])["1"].state is State.COMPLETE
        ledger.forget("20261121")
        assert ledger.known(["1", "2"]).keys() == {"2"}


def test_a_failed_study_counts_its_attempts_until_it_is_whole(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.record([work("1")], 1.0)
        for attempt in range(3):
            job = take(ledger)
            assert job.attempts == attempt
            ledger.set_aside(job, f"reason {attempt}", 10.0)
        (aside,) = ledger.standing().aside
        assert (aside.attempts, aside.reason) == (3, "reason 2")
        ledger.complete(take(ledger), 5, 20.0)
        assert ledger.standing().aside == ()


def test_two_pollers_of_one_source_are_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path / "pacs"):
        with pytest.raises(ConfigurationError, match="another poller already works for pacs"):
            Ledger(tmp_path / "pacs")
        assert read_standing(tmp_path / "pacs") is not None
    Ledger(tmp_path / "pacs").close()
    assert read_standing(tmp_path / "other") is None


def test_a_file_that_is_no_ledger_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Ledger(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_standing(tmp_path)
