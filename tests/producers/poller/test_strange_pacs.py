"""Sources with habits: no counts, no dates, too many results, one study that cannot be read, no end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from producers.poller.check import check
from producers.poller.connect import directory_of
from producers.poller.ledger import read_standing
from producers.poller.sources_file import choose, parse
from tests.producers.poller.site import Gateway, poller, todays_study, uid_of
from tests.producers.poller.strange_pacs import StrangePacs
from tests.services import stop, wait_for

pytestmark = pytest.mark.integration

AWAY = "the source is away and will be tried until it is back"
ASIDE = "study set aside, it is tried again later"


def test_without_counts_and_dates_what_is_wanted_arrives(receiving: Gateway, tmp_path: Path, number: str) -> None:
    """A study of long ago is answered to every query, and is not taken for one of today."""
    today, old = todays_study(f"{number}.1"), todays_study(f"{number}.2")
    for image in old:
        image.StudyDate = "19990101"
    pacs = StrangePacs([today, old], counts=False, dates=False)
    with pacs.listening(), poller(tmp_path, receiving.url, pacs.source("c-get")) as running:
        wait_for(lambda: bool(running.said("study brought")), "the study of today")
        wait_for(lambda: len(pacs.queries) >= 4, "more polls")
        assert len(running.said("study brought")) == 1
    assert receiving.count(uid_of(today)) == 6
    assert receiving.count(uid_of(old)) == 0


def test_too_many_results_are_asked_for_in_parts_and_one_bad_study_holds_up_nobody(
    receiving: Gateway, tmp_path: Path, number: str
) -> None:
    """A700 for more than two studies; the objects of one study cannot be read at the source."""
    studies = [todays_study(f"{number}.{index}", slices=2) for index in range(1, 5)]
    for day, study in enumerate(studies):
        for image in study:
            image.StudyDate = time.strftime("%Y%m%d", time.gmtime(time.time() - 86400 * 3 * day))
    broken, good = uid_of(studies[0]), studies[1:]
    pacs = StrangePacs(studies, most=2, broken=broken)
    source = pacs.source("c-get", start_days=12, timeout_s=20)
    with pacs.listening(), poller(tmp_path, receiving.url, source) as running:
        wait_for(lambda: len(running.said("study brought")) == 3, "the good studies")
        wait_for(lambda: bool(running.said(ASIDE)), "the word about the bad study")
        assert stop(running.child) == 0
    assert [receiving.count(uid_of(study)) for study in good] == [2, 2, 2]
    standing = read_standing(directory_of(tmp_path, "pacs"))
    assert standing is not None
    (aside,) = standing.aside
    assert (aside.study_instance_uid, aside.attempts) == (broken, 1)
    assert "2 of 2 instances are not at the gateway" in aside.reason
    assert standing.watermark_s == standing.listed_s


async def test_an_unknown_move_destination_is_nothing_about_one_study(
    receiving: Gateway, tmp_path: Path, number: str
) -> None:
    """A801: no study is set aside, and the sentence says what to register where."""
    pacs = StrangePacs([todays_study(number)])
    with pacs.listening(), poller(tmp_path, receiving.url, pacs.source("c-move")) as running:
        wait_for(lambda: bool(running.said(AWAY)), "the complaint")
        assert "register AE title SCANSTREAM" in running.said(AWAY)[0]["reason"]
        assert not running.said(ASIDE)
        finding = await check("pacs", choose(parse((tmp_path / "sources.yaml").read_text(), "file"), "pacs"))
        assert "A801" in finding.trouble


@pytest.mark.parametrize("way", ["c-get", "c-move"])
def test_ends_within_seconds_in_the_middle_of_a_transfer(
    way: str, receiving: Gateway, tmp_path: Path, number: str
) -> None:
    pacs = StrangePacs([todays_study(number)], stalls=True)
    with pacs.listening(), poller(tmp_path, receiving.url, pacs.source(way)) as running:
        wait_for(pacs.stalled.is_set, "the transfer")
        started = time.monotonic()
        assert stop(running.child) == 0
        assert time.monotonic() - started < 20
        pacs.ended.set()
