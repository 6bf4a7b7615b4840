"""Threads of channels: one that hangs keeps nobody else waiting, and no defect stops an alarm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from consumers.escalation import alarm
from consumers.escalation.channels.message import Message
from consumers.escalation.crew import PATIENCE, THREADS, Crew, Ended, Errand
from consumers.escalation.sender import Composer
from schemas.errors import PermanentRejection, TransientFailure
from tests.consumers.escalation.findings import NOON, critical, three_contacts
from tests.services import wait_for

STEP = alarm.opened(
    critical("crew", at=NOON).findings[0],
    critical("crew", at=NOON),
    "default",
    three_contacts().chain("default"),
    NOON,
    rehearsal=False,
)
MESSAGE = Composer(three_contacts(), "http://api", "of sixteen characters").message(STEP, STEP.pending[0], NOON)


def errand(channel: str, number: int = 1) -> Errand:
    return Errand(f"alarm-{number}", 1, replace(STEP.pending[0], channel=channel))


class Does:
    """A channel that does what it is told."""

    def __init__(self, what: Callable[[], None]) -> None:
        self._what = what

    def send(self, message: Message) -> None:
        self._what()


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def wait_ends(crew: Crew, count: int) -> list[Ended]:
    found: list[Ended] = []

    def enough() -> bool:
        found.extend(crew.ends())
        return len(found) >= count

    wait_for(enough, f"{count} ends", 30)
    return found


def test_a_channel_that_hangs_keeps_no_other_waiting_and_counts_as_failed(released: threading.Event) -> None:
    now = [0.0]
    channels = {"stuck": Does(lambda: (released.wait(60), None)[1]), "good": Does(lambda: None)}
    crew = Crew(channels, {"stuck": 10.0, "good": 10.0}, lambda: now[0])
    stuck = [errand("stuck", number) for number in range(THREADS * 2)]
    for one in stuck:
        crew.send(one, MESSAGE)
    crew.send(errand("good"), MESSAGE)
    (end,) = wait_ends(crew, 1)
    assert (end.errand.notice.channel, end.error) == ("good", None)
    assert crew.busy and all(crew.is_under_way(one) for one in stuck)
    now[0] = PATIENCE * 10
    given_up = list(crew.ends())
    assert {one.errand for one in given_up} == set(stuck)
    assert all(isinstance(one.error, TransientFailure) for one in given_up)
    released.set()
    time.sleep(0.1)
    assert list(crew.ends()) == []
    assert not crew.busy


def test_a_defect_of_a_channel_is_a_failure_that_quotes_nothing() -> None:
    def broken() -> None:
        raise ValueError("Іваненко Олена 1980-01-01")

    crew = Crew({"broken": Does(broken)}, {"broken": 1.0})
    crew.send(errand("broken"), MESSAGE)
    (end,) = wait_ends(crew, 1)
    assert isinstance(end.error, TransientFailure)
    assert "ValueError" in str(end.error)
    assert "Іваненко" not in str(end.error)


def test_a_channel_or_contact_that_the_file_no_longer_has_fails_at_once() -> None:
    crew = Crew({}, {})
    crew.send(errand("gone"), MESSAGE)
    (end,) = wait_ends(crew, 1)
    assert isinstance(end.error, PermanentRejection)
    composer = Composer(three_contacts(), "http://api", "of sixteen characters")
    for change in ({"contact": "nobody"}, {"channel": "mail"}):
        with pytest.raises(PermanentRejection, match="no longer tells how to reach"):
            composer.message(STEP, replace(STEP.pending[0], **change), NOON)


def test_a_message_tells_when_the_next_contact_is_told_and_that_there_is_none() -> None:
    routes = three_contacts(default=[{"contact": "second", "wait_s": 60}, {"contact": "third", "wait_s": 60}])
    composer = Composer(routes, "http://api/", "of sixteen characters")
    first = replace(STEP.pending[0], contact="second", channel="mail")
    told = composer.message(STEP, first, NOON + timedelta(seconds=5))
    assert "If nobody acknowledges by 2026-11-22 12:01 UTC, the next contact is told." in told.lines
    last = composer.message(STEP, replace(first, level=2, contact="third", channel="pager"), NOON)
    assert "This is the last contact of the list." in last.lines
    assert last.link.startswith("http://api/escalations/")
