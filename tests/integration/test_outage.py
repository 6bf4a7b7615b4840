"""500 studies arrive without a broker; when it is back all are published in order, urgent ones first."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from schemas.events import ArrivalHint, InstanceStored
from tests.integration.outage import Figures, Seen, run

pytestmark = pytest.mark.integration


def test_an_outage_is_a_pause_and_urgent_studies_are_first_after_it(kafka: str, tmp_path: Path) -> None:
    figures = run(kafka, tmp_path, studies=500, catch_up_per_s=300, old_s=5.0, quiet_s=2.0)
    assert len(figures.studies) == 500
    check_each_study(figures)
    check_urgent_first(figures)
    # 1200 normal rows at 300 a second take some seconds, in which live urgent ones do not wait behind them.
    assert figures.catch_up_s > 3.0
    assert len(figures.catch_up["urgent"]) >= 10
    assert max(figures.catch_up["urgent"]) < figures.catch_up_s


def check_each_study(figures: Figures) -> None:
    """Each instance once and in its order, then the hint, once."""
    events: dict[str, list[InstanceStored | ArrivalHint]] = defaultdict(list)
    for one in figures.seen:
        events[one.event.study_instance_uid].append(one.event)
    for study, sops in figures.sops.items():
        *instances, hint = events[study]
        assert [event.sop_instance_uid for event in instances if isinstance(event, InstanceStored)] == sops
        assert isinstance(hint, ArrivalHint)
        assert hint.instance_count == len(sops) == len(instances)


def check_urgent_first(figures: Figures) -> None:
    partitions: dict[int, list[Seen]] = defaultdict(list)
    for one in figures.seen:
        if one.event.study_instance_uid in figures.studies:
            partitions[one.partition].append(one)
    for entries in partitions.values():
        urgent = [
            figures.studies[one.event.study_instance_uid] for one in sorted(entries, key=lambda one: one.offset)
        ]
        assert urgent == sorted(urgent, reverse=True)
