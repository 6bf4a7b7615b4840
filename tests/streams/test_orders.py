"""Orders that come before, with and after a study, and series that start before it is whole: the state machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import CommandKind, EligibilityDecision, Event, ReadyReason
from schemas.topics import Priority
from streams.assembly import Assembler
from streams.context import ContextTable
from streams.criteria import Not
from tests.streams.department import RULES, STAT, STUDY, Department, commands, images, readies, tasks
from tests.streams.samples import at, hint, instance


def test_an_order_that_came_before_the_study_decides_and_outweighs_its_tags() -> None:
    department = Department()
    department.order(**STAT, reason="Підозра на інсульт")
    department.give(0, *images(12, requested_procedure_priority="LOW"))
    assert tasks(department.look(1.9)) == []
    (task,) = tasks(department.look(2.0))
    assert task.priority is Priority.P1_EMERGENCY
    assert task.priority_reason == "p1-emergency by rule order-stat: order priority matches 'S'"
    assert (task.indication, task.patient_key, task.partial) == ("Підозра на інсульт", "patient", False)


def test_a_task_says_when_its_study_was_made_also_after_a_restart() -> None:
    department = Department()
    department.give(0, *images(12, study_date_time="20260301075900"), *images(1, first=20))
    department.look(0.5)
    department.restart(1.0)
    (task,) = tasks(department.look(8.0))
    assert task.study_date_time == "20260301075900"


def test_an_open_study_waits_less_as_soon_as_its_order_is_urgent() -> None:
    department = Department()
    department.give(0, *images(12))
    assert department.look(3.0) == []
    department.order(**STAT)
    assert department.machine.due(behind=False) <= at(3.0).monotonic
    (task,) = tasks(department.look(3.0))
    assert task.priority is Priority.P1_EMERGENCY


def test_a_late_order_upgrades_the_tasks_of_the_last_revision_once_also_over_restarts() -> None:
    department = Department()
    department.give(0, *images(12))
    (task,) = tasks(department.look(5.0))
    department.order(**STAT)
    (command,) = commands(department.look(60.0))
    assert (command.task_id, command.kind, command.priority) == (
        task.task_id,
        CommandKind.UPGRADE,
        Priority.P1_EMERGENCY,
    )
    assert command.priority_reason == "p1-emergency by rule order-stat: order priority matches 'S'"
    assert command.deadline is not None
    assert (command.deadline - at(60.0).utc).total_seconds() == 60
    assert [one.priority for one in department.state().tasks] == [Priority.P1_EMERGENCY]
    department.restart(70.0)
    department.order(**STAT, patient_location="ICU")
    department.order(accession_number="A1", order_priority="R")
    assert commands(department.look(71.0)) == []
    # and the next revision is no less urgent
    department.give(80.0, *images(1, first=50))
    (task,) = tasks(department.look(85.0))
    assert task.priority is Priority.P1_EMERGENCY


def test_an_order_that_came_while_nobody_read_it_is_found_at_the_start() -> None:
    department = Department()
    department.give(0, *images(12))
    department.look(5.0)
    department.machine = None  # type: ignore[assignment] # the process is away
    department.order(**STAT)
    department.restart(500.0)
    assert [command.kind for command in commands(department.look(500.0))] == [CommandKind.UPGRADE]
    department.restart(501.0)
    assert commands(department.look(501.0)) == []


def test_nothing_is_decided_before_the_orders_are_read_but_not_for_ever() -> None:
    department = Department()
    department.orders = ContextTable(wait_until=at(30.0).monotonic)
    department.restart(0.0)
    department.give(0, *images(12))
    assert department.look(29.0) == []
    assert department.machine.due(behind=False) == at(30.0).monotonic
    (task,) = tasks(department.look(30.0))
    department.order(**STAT)
    department.orders.keep_only({b"order"})
    assert [command.task_id for command in commands(department.look(31.0))] == [task.task_id]


def test_a_cancelled_order_cancels_once_and_one_that_is_reinstated_makes_the_next_revision() -> None:
    department = Department()
    department.order(accession_number="A1", order_status="active")
    department.give(0, *images(12))
    (task,) = tasks(department.look(5.0))
    department.order(accession_number="A1", order_status="cancelled")
    (command,) = commands(department.look(10.0))
    assert (command.kind, command.actor, command.task_id) == (CommandKind.CANCEL, "order", task.task_id)
    department.restart(11.0)
    department.order(accession_number="A1", order_status="cancelled", order_priority="S")
    assert department.look(11.0) == []
    department.order(accession_number="A1", order_status="active")
    (again,) = tasks(department.look(12.0) + department.look(12.1))
    assert (again.revision, again.task_id == task.task_id) == (2, False)


def test_a_study_whose_order_was_cancelled_before_it_came_runs_nothing_and_says_so() -> None:
    department = Department()
    department.order(accession_number="A1", order_status="cancelled")
    department.give(0, *images(12))
    events = department.look(5.0)
    assert tasks(events) == []
    (verdict,) = [event for event in events if isinstance(event, EligibilityDecision)]
    assert verdict.reasons == ("the order was cancelled",)
    department.order(accession_number="A1", order_status="active")
    (task,) = tasks(department.look(6.0) + department.look(6.1))
    assert task.revision == 2


def test_a_refusal_cancels_like_an_order_and_consent_afterwards_makes_the_next_revision() -> None:
    department = Department()
    department.give(0, *images(12))
    (task,) = tasks(department.look(5.0))
    department.order("admission", consent="refused")
    (command,) = commands(department.look(6.0))
    assert (command.kind, command.task_id, command.reason) == (
        CommandKind.CANCEL,
        task.task_id,
        "consent was refused",
    )
    department.restart(7.0)
    department.order("admission")
    assert department.look(7.0) == []
    department.order("admission", consent="granted")
    (again,) = tasks(department.look(8.0) + department.look(8.1))
    assert again.revision == 2


def test_a_held_order_holds_its_tasks_until_it_is_released() -> None:
    department = Department()
    department.order(accession_number="A1", order_status="held")
    department.give(0, *images(12))
    events = department.look(5.0)
    (task,), (command,) = tasks(events), commands(events)
    assert (command.kind, command.task_id) == (CommandKind.HOLD, task.task_id)
    assert task.not_before == at(15.0).utc
    department.restart(6.0)
    assert department.look(6.0) == []
    department.order(accession_number="A1", order_status="active")
    (command,) = commands(department.look(7.0))
    assert (command.kind, command.task_id) == (CommandKind.RELEASE, task.task_id)
    department.order(accession_number="A1", order_status="held")
    (held,) = commands(department.look(8.0))
    assert held.kind is CommandKind.HOLD
    # a new revision takes the place of what waits: nobody would ever release it
    department.give(9.0, *images(1, first=90))
    told = [(command.kind, command.task_id == task.task_id) for command in commands(department.look(14.0))]
    assert sorted(told) == [(CommandKind.CANCEL, True), (CommandKind.HOLD, False)]


def test_a_hold_that_comes_back_is_a_command_of_its_own() -> None:
    """Workers obey a command once: the same id again would leave the task free."""
    department = Department()
    department.order("first", accession_number="A1", order_status="held")
    department.give(0, *images(12))
    (hold,) = commands(department.look(5.0))
    department.order("second", accession_number="A1", order_status="active")
    (release,) = commands(department.look(6.0))
    department.order("second", accession_number="A1", order_status="cancelled")
    (again,) = commands(department.look(7.0))
    assert [hold.kind, release.kind, again.kind] == [CommandKind.HOLD, CommandKind.RELEASE, CommandKind.HOLD]
    assert len({hold.event_id, release.event_id, again.event_id}) == 3


def test_what_is_on_hold_stays_so_while_the_orders_cannot_be_read() -> None:
    here = Department()
    here.order(**STAT, order_status="held")
    here.give(0, *images(12))
    assert [command.kind for command in commands(here.look(200))] == [CommandKind.HOLD]
    here.orders = ContextTable(wait_until=250.0)
    here.restart(201)
    assert not commands(here.look(300))
    assert here.state().order_status == "held"


def test_the_order_is_found_when_the_accession_number_comes_with_a_later_image() -> None:
    department = Department()
    department.order(**STAT)
    department.give(0, *images(11, accession_number=None, patient_key=None))
    department.give(1.0, *images(1, first=11))
    assert tasks(department.look(2.9)) == []
    (task,) = tasks(department.look(3.0))
    assert task.priority is Priority.P1_EMERGENCY


def test_a_changed_order_opens_only_the_studies_that_it_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    department = Department()
    for number in range(200):
        study = f"2.25.{number}"
        keys = {"accession_number": f"A{number}", "patient_key": f"patient-{number // 2}"}
        department.give(0, *(instance(study, one, **keys) for one in range(12)))
    department.look(5.0)
    opened: list[str] = []
    known = Assembler._known
    monkeypatch.setattr(
        Assembler, "_known", lambda self, uid, moment: (opened.append(uid), known(self, uid, moment))[1]
    )
    department.order("one", patient="patient-3", accession_number="A7", order_priority="S")
    assert [command.study_instance_uid for command in commands(department.look(6.0))] == ["2.25.7"]
    department.order("other", patient="patient-200", accession_number="A1000", order_priority="S")
    assert department.look(7.0) == []
    assert opened == ["2.25.7"]


def test_a_study_that_is_forgotten_asks_for_nothing_more() -> None:
    department = Department()
    department.give(0, *images(12))
    department.look(5.0)
    department.look(31 * 86_400.0)
    assert department.log == {}
    department.order(**STAT)
    assert department.look(31 * 86_400.0 + 1) == []


class TestSeries:
    def test_of_an_emergency_starts_while_others_arrive_and_the_whole_study_does_not_run_it_again(self) -> None:
        department = Department()
        department.order(**STAT)
        department.give(0, *images(12))
        seen: list[Event] = []
        for tenth in range(0, 40):
            department.give(tenth / 10, *images(1, first=tenth, series=2, modality="CT"))
            seen += department.look(tenth / 10)
        (ready,), (task,) = readies(seen), tasks(seen)
        assert (ready.revision, ready.complete, ready.reason) == (1, False, ReadyReason.SERIES)
        assert [series.series_instance_uid for series in ready.series] == [f"{STUDY}.1"]
        assert (ready.instance_count, task.partial, task.revision) == (12, True, 1)
        assert ready.occurred_at == at(2.0).utc
        department.restart(4.0)
        events = department.look(6.0)
        (whole,) = readies(events)
        assert (whole.revision, whole.complete, whole.instance_count) == (2, True, 52)
        assert tasks(events) == []
        (verdict,) = [event for event in events if isinstance(event, EligibilityDecision)]
        assert verdict.task_id == task.task_id
        assert [one.task_id for one in department.state().tasks] == [task.task_id]

    def test_that_grew_runs_again_with_the_whole_study(self) -> None:
        department = Department()
        department.order(**STAT)
        department.give(0, *images(12))
        department.give(1.0, *images(1, series=2))
        (first,) = tasks(department.look(2.0))
        department.give(2.5, *images(1, first=12))
        (second,) = tasks(department.look(4.5))
        assert (first.revision, second.revision, second.partial) == (1, 2, False)
        assert len(second.series[0].sop_instance_uids) == 13

    def test_whose_images_got_other_content_runs_again(self) -> None:
        department = Department()
        department.order(**STAT)
        department.give(0, *images(12))
        department.give(1.0, *images(1, series=2))
        assert len(tasks(department.look(2.0))) == 1
        department.give(2.5, *images(1, replaces=True))
        (task,) = tasks(department.look(4.5))
        assert (task.revision, task.partial) == (2, False)

    def test_when_nothing_else_came_the_same_revision_is_known_to_be_whole(self) -> None:
        department = Department()
        department.order(**STAT)
        department.give(0, *images(12))
        department.give(1.0, hint(STUDY, 2, association="x"))
        department.give(1.5, instance(STUDY, 1, series=9, sop_class="1.2.840.10008.5.1.4.1.1.88.33"))
        (early,) = readies(department.look(2.0))
        (whole,) = readies(department.look(3.5))
        assert (early.revision, early.complete, whole.revision, whole.complete) == (1, False, 1, True)
        assert early.event_id != whole.event_id
        department.give(100.0, *images(1, first=50))
        assert [ready.revision for ready in readies(department.look(110.0))] == [2]

    def test_that_no_model_wants_starts_nothing(self) -> None:
        department = Department()
        department.order(**STAT)
        department.give(0, *images(12, modality="CT"))
        department.give(1.0, *images(1, series=2, modality="CT"))
        assert department.look(2.0) == []
        assert [ready.complete for ready in readies(department.look(3.0))] == [True]

    def test_waits_where_a_further_series_could_take_back_what_the_route_requires(self) -> None:
        (route,) = RULES.routes
        no_ct = Not.model_validate_json('{"not": {"modality": ["CT"]}}')
        rules = RULES.model_copy(update={"routes": (route.model_copy(update={"requires": no_ct}),)})
        department = Department(rules)
        department.order(**STAT)
        department.give(0, *images(12))
        department.give(1.0, *images(1, series=2, modality="CT"))
        assert department.look(2.0) == []
        events = department.look(3.0)
        assert (len(readies(events)), tasks(events)) == (1, [])

    def test_of_a_study_that_is_not_urgent_waits_for_it(self) -> None:
        department = Department()
        department.give(0, *images(12))
        department.give(4.0, *images(1, series=2))
        assert department.look(8.9) == []


#: Each step: seconds, then what happens.
steps = st.lists(
    st.tuples(
        st.floats(0.1, 4.0),
        st.sampled_from(
            [
                "image",
                "other",
                "restart",
                "S",
                "A",
                "R",
                "held",
                "cancelled",
                "active",
                "gone",
                "refused",
                "granted",
            ]
        ),
    ),
    max_size=25,
)


@given(steps)
def test_whatever_happens_no_task_is_made_or_commanded_twice_and_none_becomes_less_urgent(
    happens: list[tuple[float, str]],
) -> None:
    department, seconds, number = Department(), 0.0, 20
    events: list[Event] = []
    department.give(0, *images(12))
    for wait, what in [*happens, (10.0, "image"), (10.0, "restart"), (10.0, "restart")]:
        seconds += wait
        number += 1
        match what:
            case "image" | "other":
                department.give(seconds, *images(1, first=number, series=1 if what == "image" else 2))
            case "restart":
                events += department.look(seconds)
                department.restart(seconds)
            case "gone":
                department.orders.apply(b"order", None)
            case "held" | "cancelled" | "active":
                department.order(accession_number="A1", order_status=what)
            case "refused" | "granted":
                department.order("admission", consent=what)
            case priority:
                department.order(accession_number="A1", order_priority=priority)
        events += department.look(seconds)
    made = tasks(events)
    assert len({task.task_id for task in made}) == len(made)
    rank = {task.task_id: task.priority.rank for task in made}
    held: set[str] = set()
    ended: set[str] = set()
    for command in commands(events):
        assert command.task_id not in ended
        if command.kind is CommandKind.UPGRADE:
            assert command.priority is not None
            assert command.priority.rank < rank[command.task_id]
            rank[command.task_id] = command.priority.rank
        if command.kind is CommandKind.HOLD:
            held.add(command.task_id)
        if command.kind is CommandKind.RELEASE:
            held.remove(command.task_id)
        if command.kind is CommandKind.CANCEL:
            ended.add(command.task_id)
            held.discard(command.task_id)
    state = department.state()
    # what still waits on hold is known, so that it can be released
    assert held <= {task.task_id for task in state.tasks}
    assert not held or state.order_status == "held"
    revisions = [ready.revision for ready in readies(events)]
    assert revisions == sorted(revisions)
