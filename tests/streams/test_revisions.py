"""A further revision beside the tasks of those before it: what is withdrawn, what stays, who is told what."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import CommandKind, Event, InferenceTask, TaskCommand
from schemas.topics import Priority
from streams.criteria import Not
from streams.rules import Conditions, PriorityRule, Rules
from streams.windows import Window
from tests.streams.department import RULES, STAT, STUDY, Department, commands, images, tasks
from tests.streams.samples import at, instance

NORMAL_S = RULES.deadlines_s.of(Priority.P3_NORMAL)


def withdrawn(events: list[Event]) -> list[str]:
    return [command.task_id for command in commands(events) if command.kind is CommandKind.CANCEL]


def revision(department: Department, seconds: float, number: int) -> list[Event]:
    """One more image, and what the revision that it makes leads to."""
    department.give(seconds, *images(1, first=number))
    return department.look(seconds + 5.0)


def test_a_late_image_withdraws_what_waits_and_takes_its_place_in_the_queue() -> None:
    department = Department()
    department.give(0, *images(12))
    (first,) = tasks(department.look(5.0))
    department.restart(50.0)
    events = revision(department, 60.0, 50)
    (second,), (command,) = tasks(events), commands(events)
    assert (command.kind, command.task_id, command.actor) == (CommandKind.CANCEL, first.task_id, "streams")
    assert command.unless_begun
    assert command.reason == "revision 2 of the study takes its place"
    assert second.deadline == first.deadline
    assert [one.task_id for one in department.state().tasks] == [second.task_id]


def test_what_has_used_up_half_of_its_time_stays_and_the_later_one_has_all_of_its_own() -> None:
    department = Department()
    department.give(0, *images(12))
    (first,) = tasks(department.look(5.0))
    events = revision(department, NORMAL_S / 2 + 1, 50)
    (second,) = tasks(events)
    assert commands(events) == []
    assert second.deadline == second.created_at + timedelta(seconds=NORMAL_S)
    # both are still told what their order says
    department.order(accession_number="A1", order_status="cancelled")
    told = commands(department.look(NORMAL_S))
    assert {command.task_id for command in told} == {first.task_id, second.task_id}
    assert not any(command.unless_begun for command in told)


def test_a_task_of_months_ago_is_not_spoken_of_any_more() -> None:
    department = Department()
    department.give(0, *images(12))
    department.look(5.0)
    (second,) = tasks(revision(department, 20 * 86_400.0, 50))
    assert [one.task_id for one in department.state().tasks] == [second.task_id]


def test_the_first_answer_of_an_emergency_is_never_withdrawn_and_those_between_are() -> None:
    department = Department()
    department.order(**STAT)
    department.give(0, *images(12))
    department.give(1.0, *images(1, series=2))
    (first,) = tasks(department.look(2.0))
    assert first.partial
    department.give(2.5, *images(1, first=12))
    events = department.look(4.5)
    (second,) = tasks(events)
    assert commands(events) == []
    assert second.deadline == second.created_at + timedelta(seconds=60)
    department.restart(5.0)
    events = revision(department, 6.0, 50)
    (third,) = tasks(events)
    assert withdrawn(events) == [second.task_id]
    assert third.deadline == second.deadline
    # a refusal ends them all, also the first, which may still wait
    department.order("admission", consent="refused")
    assert set(withdrawn(department.look(12.0))) == {first.task_id, third.task_id}


def test_series_that_start_early_withdraw_nothing_of_a_model_that_waits_for_all_of_the_study() -> None:
    (route,) = RULES.routes
    needs = Not.model_validate_json('{"not": {"modality": ["SR"]}}')
    patient = route.model_copy(update={"model": "patient", "requires": needs})
    assert patient.waits_for_all
    department = Department(RULES.model_copy(update={"routes": (route, patient)}))
    department.give(0, *images(12))
    first = {task.model_name: task for task in tasks(department.look(5.0))}
    # the study becomes urgent with a late image, and its series start while another still arrives
    department.give(60.0, *images(1, first=50, requested_procedure_priority="STAT"))
    department.give(61.0, *images(1, series=2))
    events = department.look(62.0)
    (early,) = tasks(events)
    assert (early.model_name, early.partial) == (route.model, True)
    assert withdrawn(events) == [first[route.model].task_id]
    # what nothing takes the place of yet becomes urgent like the study
    (upgrade,) = (one for one in commands(events) if one.kind is CommandKind.UPGRADE)
    assert upgrade.task_id == first["patient"].task_id
    events = department.look(64.0)
    assert [task.model_name for task in tasks(events)] == ["patient"]
    assert first["patient"].task_id in {one.task_id for one in department.state().tasks}


def test_what_the_last_images_make_unfit_for_a_model_is_withdrawn_and_says_why() -> None:
    (route,) = RULES.routes
    without_ct = route.model_copy(update={"requires": Not.model_validate_json('{"not": {"modality": ["CT"]}}')})
    department = Department(RULES.model_copy(update={"routes": (without_ct,)}))
    department.give(0, *images(12))
    (first,) = tasks(department.look(5.0))
    department.give(60.0, *images(1, series=2, modality="CT"))
    events = department.look(65.0)
    assert tasks(events) == []
    (command,) = commands(events)
    assert (command.kind, command.task_id, command.unless_begun) == (CommandKind.CANCEL, first.task_id, True)
    assert command.reason == "revision 2 of the study is not for this model: see its eligibility"


def test_a_study_that_became_urgent_does_not_wait_for_what_was_not() -> None:
    department = Department()
    department.give(0, *images(12))
    (first,) = tasks(department.look(5.0))
    department.give(60.0, *images(1, first=50, requested_procedure_priority="STAT"))
    events = department.look(62.0)
    (second,) = tasks(events)
    assert second.priority is Priority.P1_EMERGENCY
    assert second.deadline == second.created_at + timedelta(seconds=60)
    assert withdrawn(events) == [first.task_id]


def test_a_task_that_may_begin_now_does_not_give_way_to_one_that_waits_for_the_night() -> None:
    night = Window.model_validate_json('{"priority": ["p3-normal"], "begin": "08:00", "end": "08:10"}')
    department = Department(RULES.model_copy(update={"windows": (night,)}))
    department.give(0, *images(12))
    (first,) = tasks(department.look(5.0))
    assert first.not_before is None
    events = revision(department, 660.0, 50)
    (second,) = tasks(events)
    assert second.not_before is not None
    assert second.deadline > second.not_before
    assert commands(events) == []
    # both of these wait for the same night
    events = revision(department, 720.0, 51)
    assert withdrawn(events) == [second.task_id]
    assert tasks(events)[0].deadline == second.deadline


def test_an_order_that_is_found_with_the_last_image_is_obeyed_for_what_ran_before() -> None:
    department = Department()
    department.order(accession_number="A2", order_status="cancelled")
    department.give(0, *images(12, accession_number=None, patient_key=None))
    (first,) = tasks(department.look(5.0))
    department.give(60.0, *images(1, first=50, accession_number="A2"))
    events = department.look(65.0)
    (command,) = commands(events)
    assert (command.task_id, command.actor, command.unless_begun) == (first.task_id, "order", False)
    assert tasks(events) == []


def test_what_runs_on_with_the_next_revision_is_released_when_its_order_is_not_on_hold_any_more() -> None:
    department = Department()
    department.order(**STAT, order_status="held")
    department.order("other", accession_number="A0", order_status="active", order_priority="S")
    department.give(0, *images(12))
    department.give(1.0, *images(1, series=2))
    events = department.look(2.0)
    (first,) = tasks(events)
    assert [command.kind for command in commands(events)] == [CommandKind.HOLD]
    # the accession number was a mistake: what comes now has a lower one, of another order
    department.give(2.5, *images(1, series=2, first=5, accession_number="A0"))
    told = commands(department.look(2.6) + department.look(4.5))
    assert [(command.kind, command.task_id) for command in told] == [(CommandKind.RELEASE, first.task_id)]


def test_an_order_between_two_classes_makes_the_older_task_more_urgent_and_the_study_not_less() -> None:
    department = Department()
    department.give(0, *images(12))
    (first,) = tasks(department.look(5.0))
    late = NORMAL_S - 60.0
    department.give(late, *images(1, first=50, requested_procedure_priority="STAT"))
    (second,) = tasks(department.look(late + 2.0))
    # the first is told of the urgency of the study, as it may still wait
    assert (first.priority, second.priority) == (Priority.P3_NORMAL, Priority.P1_EMERGENCY)
    assert {one.priority for one in department.state().tasks} == {Priority.P1_EMERGENCY}
    department.order(accession_number="A1", order_priority="A")
    assert commands(department.look(late + 3.0)) == []
    assert department.state().priority is Priority.P1_EMERGENCY


def test_a_study_that_stays_urgent_says_by_which_rule_of_which_revision_and_for_how_long() -> None:
    department = Department()
    department.order(**STAT)
    department.give(0, *images(12))
    (first,) = tasks(department.look(2.0))
    screening = PriorityRule(
        name="screening-order",
        priority=Priority.P4_ROUTINE,
        when=Conditions(order_priority=("R",)),
        useful_for_s=14_400.0,
    )
    department.rules = RULES.model_copy(update={"revision": "next", "priorities": (screening,)})
    department.order(accession_number="A1", order_priority="R")
    department.restart(100.0)
    (second,) = tasks(revision(department, 200.0, 50))
    assert (second.priority, second.priority_reason) == (Priority.P1_EMERGENCY, first.priority_reason)
    assert second.rule_revision == first.rule_revision == RULES.revision
    assert department.state().rule_revision == RULES.revision
    # how long somebody wants it was said by a rule that did not decide
    assert second.useful_until is None


def rules_with(seconds: float) -> Rules:
    deadlines = RULES.deadlines_s.model_copy(update={"p3_normal": seconds})
    return RULES.model_copy(update={"deadlines_s": deadlines})


@given(st.lists(st.floats(0.1, 40.0), max_size=40), st.floats(10.0, 200.0), st.booleans())
def test_however_images_trickle_in_no_answer_is_put_off(
    pauses: list[float], deadline_s: float, urgent: bool
) -> None:
    """Whatever is withdrawn has a successor that is due no later; and one stays in each half of a deadline."""
    department, seconds = Department(rules_with(deadline_s)), 0.0
    if urgent:
        department.order(**STAT)
    made: dict[str, InferenceTask] = {}
    gone: dict[str, TaskCommand] = {}
    department.give(0, *images(12))
    for number, pause in enumerate([*pauses, 5.0, 5.0]):
        seconds += pause
        events = department.look(seconds)
        department.give(seconds, instance(STUDY, 100 + number, accession_number="A1", patient_key="patient"))
        new = {task.task_id: task for task in tasks(events)}
        for command in commands(events):
            if command.kind is CommandKind.CANCEL:
                assert command.task_id not in gone
                gone[command.task_id] = command
                successor = next(iter(new.values()))
                assert successor.deadline <= made[command.task_id].deadline
        made |= new
    assert all(command.unless_begun for command in gone.values())
    if made:
        stays = sorted(
            (task for task in made.values() if task.task_id not in gone), key=lambda one: one.created_at
        )
        assert stays[-1] is max(made.values(), key=lambda one: one.revision)
        first = min(made.values(), key=lambda one: one.created_at)
        assert min(task.deadline for task in stays) <= first.deadline
        assert not urgent or first.task_id not in gone


hours = st.lists(
    st.tuples(
        st.sampled_from([1.0, 6.0, 30.0, 600.0, 2000.0, 7200.0]),
        st.sampled_from(
            ["image", "other", "restart", "S", "A", "R", "held", "cancelled", "active", "refused", "granted"]
        ),
    ),
    max_size=30,
)


@given(hours, st.booleans())
def test_over_hours_with_windows_holds_and_late_images_each_task_can_be_done_in_time_or_has_ended(
    happens: list[tuple[float, str]], asks_for_consent: bool
) -> None:
    night = Window.model_validate_json(
        '{"priority": ["p3-normal", "p4-routine"], "begin": "09:00", "end": "09:20"}'
    )
    (route,) = RULES.routes
    other = route.model_copy(
        update={"model": "other", "consent": "granted" if asks_for_consent else "not-refused"}
    )
    department = Department(RULES.model_copy(update={"windows": (night,), "routes": (route, other)}))
    seconds, made, number = 0.0, dict[str, InferenceTask](), 20
    held, ended = set[str](), set[str]()
    department.order(accession_number="A1", order_status="active")
    department.give(0, *images(12))
    for wait, what in [
        *happens,
        (6.0, "active"),
        (6.0, "granted"),
        (6.0, "image"),
        (10.0, "R"),
    ]:
        seconds, number = seconds + wait, number + 1
        events = department.look(seconds)
        match what:
            case "image" | "other":
                department.give(seconds, *images(1, first=number, series=1 if what == "image" else 2))
            case "restart":
                department.restart(seconds)
            case "held" | "cancelled" | "active":
                department.order(accession_number="A1", order_status=what)
            case "refused" | "granted":
                department.order("admission", consent=what)
            case priority:
                department.order(accession_number="A1", order_priority=priority, order_status="active")
        events += department.look(seconds)
        for task in tasks(events):
            assert task.deadline > (task.not_before or task.created_at)
            assert task.priority_reason
            assert task.task_id not in made
            made[task.task_id] = task
        for command in commands(events):
            assert command.reason
            assert command.task_id in made
            assert command.task_id not in ended
            match command.kind:
                case CommandKind.CANCEL:
                    ended.add(command.task_id)
                    held.discard(command.task_id)
                case CommandKind.HOLD:
                    assert command.task_id not in held
                    held.add(command.task_id)
                case CommandKind.RELEASE:
                    held.remove(command.task_id)
    # the order stands and consent is given: nothing waits for ever, and both models have the last images
    assert not held
    assert made
    alive = [task for task in department.state().tasks if task.task_id not in ended]
    assert {task.model_name for task in alive} == {route.model, "other"}
    # whatever is not spoken of any more has ended, or has been due long ago
    for task in made.values():
        assert (
            task.task_id in ended
            or task.task_id in {one.task_id for one in alive}
            or task.deadline < at(seconds).utc
        )
