"""What was decided about a study, and what that asks of its tasks when an order says otherwise. Pure.

A task only ever becomes more urgent. Each command is made once: what was commanded is kept in the changelog record
of the study, which is written in the same transaction, and its id is made of what it says and why; what an order
asks is told apart by when, too.

A new revision withdraws what waits of the older ones and takes its place in the queue. Guarantee: that puts no
answer off for ever, as an older task that has used up half of its time stays; so does an emergency's first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from schemas import ids
from schemas.events import AssemblyState, CommandKind, TaskCommand, TaskReference
from schemas.topics import Priority
from streams.clock import Instant
from streams.facts import CANCELLED, HELD, REFUSED, Clinical
from streams.rules import Decision, Rules

#: Who commands, as the events name it.
ACTOR_ORDER: Final = "order"
ACTOR_RULES: Final = "streams"

#: So long after its deadline a task of an older revision is still told what its order says.
_MAY_STILL_WAIT: Final = timedelta(days=1)

_STOPPED: Final = {CANCELLED: "the order was cancelled", REFUSED: "consent was refused"}


@dataclass(frozen=True)
class Decided:
    """Part of a changelog record: the last decision and the tasks that it led to.

    ``tasks`` are those of the last revision, after older ones that it left to run. ``order_status`` is ``held``,
    ``cancelled`` or, for want of consent, ``refused`` once the tasks were told so; ``partial_content`` that of the
    last revision if it had only the complete series; ``lacks_context`` says that a model did not run only because
    something that orders and admissions tell is not known.
    """

    priority: Priority | None = None
    reason: str | None = None
    rule_revision: str | None = None
    tasks: tuple[TaskReference, ...] = ()
    order_status: str | None = None
    partial_content: str | None = None
    lacks_context: bool = False

    @classmethod
    def of(cls, state: AssemblyState) -> Decided:
        """What a changelog record says."""
        return cls(
            state.priority,
            state.priority_reason,
            state.rule_revision,
            state.tasks,
            state.order_status,
            state.partial_content,
            state.lacks_context,
        )

    def at_least(self, decision: Decision, revision: str) -> tuple[Decision, str]:
        """A new decision, or the former where that was more urgent: a study that was urgent once stays so.

        With it comes the revision of the rules that made it. For how long the result of the former is of use is
        not known any more, and no reason to drop it.
        """
        if self.priority is None or decision.priority.rank <= self.priority.rank:
            return decision, revision
        return Decision(self.priority, self.reason or self.priority.value), self.rule_revision or revision


@dataclass(frozen=True)
class Redecided:
    """``again`` says that a result is wanted once more, after its tasks were cancelled."""

    decided: Decided
    commands: tuple[TaskCommand, ...]
    again: bool = False


def redecide(
    study: str, decided: Decided, decision: Decision, clinical: Clinical, rules: Rules, at: Instant
) -> Redecided | None:
    """What a new word about an order changes for the tasks of a study; ``None`` when nothing."""
    if clinical.wanted_again(decided.order_status):
        return Redecided(replace(decided, order_status=None, tasks=()), (), again=True)
    after, commands = obey_order(study, decided, clinical, at)
    after, upgrades = upgrade(study, after, decision, rules, at)
    return None if after == decided else Redecided(after, (*commands, *upgrades))


def obey_order(
    study: str, decided: Decided, clinical: Clinical, at: Instant
) -> tuple[Decided, tuple[TaskCommand, ...]]:
    """Commands that the status of the order, or a refusal, asks for, and what is decided after them."""
    status, told = clinical.order_status, decided.order_status
    if told in _STOPPED or (told is None and not decided.tasks):
        return decided, ()
    if clinical.stopped is not None:
        kind, reason, after = CommandKind.CANCEL, _STOPPED[clinical.stopped], clinical.stopped
    elif status == HELD and told != HELD:
        kind, reason, after = CommandKind.HOLD, "the order is on hold", HELD
    elif status != HELD and told == HELD:
        kind, reason, after = CommandKind.RELEASE, "the order is no longer on hold", None
    else:
        return decided, ()
    # the same order may count again after another one, and who has obeyed a command does not obey it twice
    because = f"{clinical.order_event or ''} {at.utc.isoformat()}"
    commands = tuple(_command(study, task, kind, ACTOR_ORDER, reason, because, at) for task in decided.tasks)
    tasks = () if kind is CommandKind.CANCEL else decided.tasks
    return replace(decided, order_status=after, tasks=tasks), commands


def upgrade(
    study: str, decided: Decided, decision: Decision, rules: Rules, at: Instant, made_by: str | None = None
) -> tuple[Decided, tuple[TaskCommand, ...]]:
    """Commands for the tasks that are less urgent than what is decided now; never for the others.

    ``made_by`` is the revision of the rules that decided, if it is not that of ``rules``.
    """
    made_by = made_by or rules.revision
    slower = [task for task in decided.tasks if task.priority.rank > decision.priority.rank]
    if not slower:
        return decided, ()
    deadline = rules.times(decision, at.utc).deadline
    upgraded = (
        _command(study, task, CommandKind.UPGRADE, ACTOR_RULES, decision.reason, decision.priority.value, at)
        for task in slower
    )
    commands = tuple(
        replace(
            command,
            priority=decision.priority,
            priority_reason=decision.reason,
            rule_revision=made_by,
            deadline=deadline,
        )
        for command in upgraded
    )
    tasks = tuple(
        replace(task, priority=decision.priority, deadline=min(deadline, task.deadline or deadline))
        if task in slower
        else task
        for task in decided.tasks
    )
    after = replace(
        decided, priority=decision.priority, reason=decision.reason, rule_revision=made_by, tasks=tasks
    )
    return after, commands


def withdrawn(
    before: Decided,
    kept: Collection[str],
    clinical: Clinical,
    rules: Rules,
    begins: datetime,
    models: Collection[str] | None = None,
) -> tuple[TaskReference, ...]:
    """Tasks that the next revision takes the place of.

    Not those whose time is half over: they go first anyway, or are answered; and while one image follows the
    other, some revision must be. Not the oldest of a model in an emergency: its first answer is wanted at once.

    Parameters
    ----------
    before
        What was decided about the revision before.
    kept
        Names of tasks that count for the next revision, too.
    clinical
        What orders and admissions say; where no result is wanted any more, that ends all of them.
    rules
        Times of the classes.
    begins
        When tasks of the next revision may begin.
    models
        Those that it is about, where it has only the complete series: nothing takes the place of the tasks of
        others yet. ``None``: all.
    """
    if clinical.stopped is not None:
        return ()
    older = [
        task for task in before.tasks if task.task_id not in kept and (models is None or task.model_name in models)
    ]
    if before.order_status == HELD:  # nothing would ever release them
        return tuple(older)
    first = {task.model_name: task for task in reversed(before.tasks)}
    return tuple(
        task
        for task in older
        if task.deadline is not None
        and (task.deadline - begins).total_seconds() > rules.deadlines_s.of(task.priority) / 2
        and (task.priority is not Priority.P1_EMERGENCY or task is not first[task.model_name])
    )


def revised(
    study: str,
    before: Decided,
    gone: Collection[TaskReference],
    after: Decided,
    revision: int,
    clinical: Clinical,
    at: Instant,
) -> tuple[Decided, tuple[TaskCommand, ...]]:
    """What is decided with a new revision, and commands for what it withdraws or what its order is about.

    Parameters
    ----------
    study
        Study Instance UID.
    before
        What was decided about the revision before.
    gone
        Tasks of it that are withdrawn (:func:`withdrawn`).
    after
        What is decided now; its tasks are those of this revision.
    revision
        Its number.
    clinical
        What orders and admissions say.
    at
        Now.
    """
    known = {task.task_id for task in before.tasks}
    ours = {task.task_id for task in after.tasks}
    left = [
        task
        for task in before.tasks
        if task not in gone
        and task.task_id not in ours
        and (clinical.stopped is not None or (task.deadline or task.created_at) + _MAY_STILL_WAIT > at.utc)
    ]
    standing = (*left, *(task for task in after.tasks if task.task_id in known))
    new = tuple(task for task in after.tasks if task.task_id not in known)
    # what stands already was told of the order before, what is new was not
    old, told = obey_order(study, replace(before, tasks=standing), clinical, at)
    fresh, more = obey_order(study, replace(after, tasks=new, order_status=None), clinical, at)
    replaced = {task.model_name for task in after.tasks}
    withdrawals = (_withdrawal(study, task, revision, task.model_name in replaced, at) for task in gone)
    held = HELD if HELD in (old.order_status, fresh.order_status) else None
    tasks = (*old.tasks, *fresh.tasks)
    return replace(after, tasks=tasks, order_status=clinical.stopped or held), (*withdrawals, *told, *more)


def _withdrawal(study: str, task: TaskReference, revision: int, is_replaced: bool, at: Instant) -> TaskCommand:
    reason = f"revision {revision} of the study " + (
        "takes its place" if is_replaced else "is not for this model: see its eligibility"
    )
    command = _command(study, task, CommandKind.CANCEL, ACTOR_RULES, reason, "superseded", at)
    return replace(command, unless_begun=True)


def _command(
    study: str, task: TaskReference, kind: CommandKind, actor: str, reason: str, because: str, at: Instant
) -> TaskCommand:
    return TaskCommand(
        event_id=ids.event_id("task-command", task.task_id, kind.value, because),
        occurred_at=at.utc,
        task_id=task.task_id,
        study_instance_uid=study,
        kind=kind,
        actor=actor,
        reason=reason,
    )
