"""How an alarm moves: every event in every state, and any row of events that may come."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consumers.escalation import alarm
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, PermanentRejection, TransientFailure
from schemas.events import EscalationStage, EscalationStep, Laterality
from tests.consumers.escalation.findings import NOON, critical, three_contacts

CHAIN = three_contacts().chain("default")
AWAY = DestinationUnavailable("nobody answers")
NEVER = PermanentRejection("no such number", 404)


def begun() -> EscalationStep:
    result = critical("begun", at=NOON)
    return alarm.opened(result.findings[0], result, "default", CHAIN, NOON, rehearsal=False)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_the_first_contact_is_due_at_once_over_the_first_way() -> None:
    step = begun()
    assert (step.stage, step.level, step.due_at) == (EscalationStage.OPENED, 0, NOON)
    (notice,) = step.pending
    assert (notice.level, notice.contact, notice.channel, notice.attempt) == (1, "first", "sms", 1)
    assert alarm.due(step) == NOON


def test_a_notice_that_is_taken_gives_the_contact_time_and_then_the_second_is_due() -> None:
    step = alarm.taken(begun(), begun().pending[0], CHAIN, after(2))
    assert (step.stage, step.level, step.contact, step.channel) == (EscalationStage.NOTIFIED, 1, "first", "sms")
    assert step.notified_at == after(2)
    assert step.due_at == after(302)
    assert [(n.level, n.contact, n.due_at) for n in step.pending] == [(2, "second", after(302))]


def test_a_channel_that_is_away_makes_the_next_way_due_at_once_and_is_tried_again_later() -> None:
    step = alarm.refused(begun(), begun().pending[0], AWAY, CHAIN, after(2))
    assert step.stage is EscalationStage.NOTIFY_FAILED
    assert step.reason is not None and "nobody answers" in step.reason
    assert [(n.contact, n.channel, n.attempt, n.due_at) for n in step.pending] == [
        ("first", "pager", 1, after(2)),
        ("first", "sms", 2, after(32)),
    ]


def test_after_the_last_way_of_a_contact_the_next_contact_is_due_at_once() -> None:
    step = alarm.refused(begun(), begun().pending[0], NEVER, CHAIN, after(1))
    step = alarm.refused(step, step.pending[0], NEVER, CHAIN, after(2))
    assert [(n.level, n.contact, n.due_at) for n in step.pending] == [(2, "second", after(2))]


def test_a_refusal_for_good_is_not_tried_again() -> None:
    step = alarm.refused(begun(), begun().pending[0], NEVER, CHAIN, after(1))
    assert [n.attempt for n in step.pending] == [1]


def test_a_failed_notice_is_tried_again_as_often_as_the_rule_says() -> None:
    step = begun()
    retries = []
    now = NOON
    for _ in range(20):
        own = [n for n in step.pending if n.channel == "sms" and n.level == 1]
        if not own:
            break
        now = max(now, own[0].due_at)
        retries.append(own[0].attempt)
        step = alarm.refused(step, own[0], AWAY, CHAIN, now)
    assert retries == [1, 2, 3]


def test_a_server_that_asks_for_more_time_gets_it_within_bounds() -> None:
    step = alarm.refused(begun(), begun().pending[0], DestinationUnavailable("busy", 90), CHAIN, NOON)
    assert step.pending[1].due_at == after(90)
    step = alarm.refused(begun(), begun().pending[0], DestinationUnavailable("busy", 1e9), CHAIN, NOON)
    assert step.pending[1].due_at == after(alarm.LONGEST_ASKED_S)


def test_a_repetition_that_is_taken_leaves_the_timer_of_the_next_contact_as_it_is() -> None:
    failed = alarm.refused(begun(), begun().pending[0], AWAY, CHAIN, NOON)
    told = alarm.taken(failed, failed.pending[0], CHAIN, after(1))
    again = next(n for n in told.pending if n.attempt == 2)
    step = alarm.taken(told, again, CHAIN, after(30))
    assert step.due_at == after(301)
    assert [(n.level, n.due_at) for n in step.pending] == [(2, after(301))]


def test_it_is_exhausted_when_the_last_contact_let_its_time_pass_and_not_before() -> None:
    step = begun()
    for level, seconds in ((1, 0), (2, 300), (3, 600)):
        assert step.pending[0].level == level
        step = alarm.taken(step, step.pending[0], CHAIN, after(seconds))
        assert alarm.exhausted(step, after(seconds)) is None
    assert alarm.due(step) == after(900)
    assert alarm.exhausted(step, after(899)) is None
    over = alarm.exhausted(step, after(900))
    assert over is not None and over.stage is EscalationStage.EXHAUSTED and alarm.due(over) is None
    assert over.reason is not None and over.reason.startswith("nobody acknowledged")


def test_where_nobody_can_be_told_it_is_exhausted_only_after_the_last_repetition() -> None:
    step, now = begun(), NOON
    while step.pending:
        notice = min(step.pending, key=lambda n: n.due_at)
        now = max(now, notice.due_at)
        assert alarm.exhausted(step, now) is None
        step = alarm.refused(step, notice, AWAY, CHAIN, now)
    over = alarm.exhausted(step, now)
    assert over is not None and over.reason is not None and over.reason.startswith("nobody could be told")
    assert now == after(90)


def test_a_chain_with_repeats_begins_anew_and_counts_on() -> None:
    chain = replace(CHAIN, rounds=2)
    step = begun()
    told = []
    for round_ in range(6):
        told.append((step.pending[0].level, step.pending[0].contact))
        step = alarm.taken(step, step.pending[0], chain, after(300 * round_))
    assert told == [(1, "first"), (2, "second"), (3, "third"), (4, "first"), (5, "second"), (6, "third")]
    assert not step.pending


def test_an_answer_ends_everything_also_a_late_one_and_only_once() -> None:
    step = alarm.taken(begun(), begun().pending[0], CHAIN, NOON)
    done = alarm.acknowledged(step, "first", "їду", after(10))
    assert done is not None and (done.stage, done.actor, done.reason) == (
        EscalationStage.ACKNOWLEDGED,
        "first",
        "їду",
    )
    assert not done.pending and alarm.due(done) is None
    assert alarm.acknowledged(done, "second", None, after(11)) is None
    assert alarm.withdrawn(done, "reader", "verdict", after(12)) is None
    late = replace(step, stage=EscalationStage.EXHAUSTED, pending=())
    assert alarm.acknowledged(late, "third", None, after(5000)) is not None


def test_a_withdrawn_alarm_stays_withdrawn() -> None:
    gone = alarm.withdrawn(begun(), "reader", "verdict: rejected", NOON)
    assert gone is not None and gone.stage is EscalationStage.WITHDRAWN
    assert alarm.acknowledged(gone, "first", None, NOON) is None
    assert alarm.exhausted(gone, after(10**6)) is None


def test_the_identity_is_of_concept_site_and_side_in_a_study_and_not_of_the_run() -> None:
    first, second = critical("same", run="a").findings[0], critical("same", revision=2, run="b").findings[0]
    identity = alarm.alarm_id(first, rehearsal=False)
    assert identity == alarm.alarm_id(second, rehearsal=False)
    others = [
        replace(first, laterality=Laterality.RIGHT),
        replace(first, site=None),
        replace(first, code=replace(first.code, value="1|2")),
        critical("another").findings[0],
    ]
    assert len({identity, *(alarm.alarm_id(one, rehearsal=False) for one in others)}) == 5
    assert alarm.alarm_id(first, rehearsal=True) != identity


def test_repetitions_of_a_notice_have_one_identity_and_other_notices_have_others() -> None:
    step = begun()
    notice = step.pending[0]
    assert alarm.notice_id(step, notice) == alarm.notice_id(step, replace(notice, attempt=2))
    assert alarm.notice_id(step, notice) != alarm.notice_id(step, replace(notice, channel="pager"))
    assert alarm.notice_id(step, notice) != alarm.notice_id(replace(step, revision=2), notice)


@pytest.mark.parametrize("contacts", [("second", "third"), ("first",)])
def test_a_routes_file_that_changed_meanwhile_does_not_stop_an_alarm(contacts: tuple[str, ...]) -> None:
    chain = three_contacts(default=[{"contact": name} for name in contacts]).chain("default")
    step = alarm.refused(begun(), begun().pending[0], NEVER, chain, NOON)
    for _ in range(5):
        if not step.pending:
            break
        step = alarm.refused(step, step.pending[0], NEVER, chain, NOON)
    assert alarm.exhausted(step, NOON) is not None


class AnyAlarm(RuleBasedStateMachine):
    """Whatever happens, in any order and at any pace, also across restarts."""

    @initialize()
    def begin(self) -> None:
        self.now = NOON
        self.step = begun()
        self.told: list[tuple[int, str, int]] = []
        self.codec = Codec()

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def restart(self) -> None:
        restored = self.codec.decode(self.codec.encode(self.step))
        assert isinstance(restored, EscalationStep)
        assert [n.level for n in restored.pending] == [n.level for n in self.step.pending]
        self.step = restored

    @precondition(lambda self: any(n.due_at <= self.now for n in self.step.pending))
    @rule(data=st.data(), error=st.sampled_from([None, AWAY, NEVER, TransientFailure("hangs")]))
    def a_due_notice_ends(self, data: st.DataObject, error: Exception | None) -> None:
        notice = data.draw(st.sampled_from([n for n in self.step.pending if n.due_at <= self.now]))
        self.told.append((notice.level, notice.channel, notice.attempt))
        if error is None:
            self.step = alarm.taken(self.step, notice, CHAIN, self.now)
        else:
            assert isinstance(error, DestinationUnavailable | PermanentRejection | TransientFailure)
            self.step = alarm.refused(self.step, notice, error, CHAIN, self.now)

    @rule()
    def look(self) -> None:
        self.step = alarm.exhausted(self.step, self.now) or self.step

    @rule(late=st.booleans())
    def answer(self, late: bool) -> None:
        if late == (self.step.stage is EscalationStage.EXHAUSTED):
            self.step = alarm.acknowledged(self.step, "first", None, self.now) or self.step

    @invariant()
    def an_open_alarm_always_has_a_next_moment_and_a_closed_one_never(self) -> None:
        assert (alarm.due(self.step) is not None) == (self.step.stage in alarm.OPEN)
        assert self.step.stage in alarm.OPEN or not self.step.pending

    @invariant()
    def no_notice_is_sent_twice_under_one_attempt(self) -> None:
        assert len(self.told) == len(set(self.told))
        waiting = [(n.level, n.channel, n.attempt) for n in self.step.pending]
        assert not set(waiting) & set(self.told)

    @invariant()
    def contacts_are_told_in_their_order(self) -> None:
        first_attempts = [level for level, _, attempt in self.told if attempt == 1]
        assert first_attempts == sorted(first_attempts)
        assert sum(notice.attempt == 1 for notice in self.step.pending) <= 1


AnyAlarm.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestAnyAlarm = AnyAlarm.TestCase
