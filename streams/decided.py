"""What was decided about a study, and what that asks of its tasks when an order says otherwise. Pure.

A task only ever becomes more urgent. Each command is made once: what was commanded is kept in the changelog record
of the study, which is written in the same transaction, and its id is made of what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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

_STOPPED: Final = {CANCELLED: "the order was cancelled", REFUSED: "consent was refused"}


@dataclass(frozen=True)
class Decided:
    """Part of a changelog record: the last decision and the tasks that it led to.

    ``order_status`` is ``held``, ``cancelled`` or, for want of consent, ``refused`` once the tasks were told so;
    ``partial_content`` that of the last revision if it had only the complete series.
    """

    priority: Priority | None = None
    reason: str | None = None
    rule_revision: str | None = None
    tasks: tuple[TaskReference, ...] = ()
    order_status: str | None = None
    partial_content: str | None = None

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
        )

    def at_least(self, decision: Decision) -> Decision:
        """A new decision, or the former where that was more urgent: a study that was urgent once stays so."""
        if self.priority is None or decision.priority.rank <= self.priority.rank:
            return decision
        return Decision(self.priority, self.reason or self.priority.value, decision.useful_for_s)


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
    event = clinical.order_event or ""
    commands = tuple(_command(study, task, kind, ACTOR_ORDER, reason, event, at) for task in decided.tasks)
    tasks = () if kind is CommandKind.CANCEL else decided.tasks
    return replace(decided, order_status=after, tasks=tasks), commands


def upgrade(
    study: str, decided: Decided, decision: Decision, rules: Rules, at: Instant
) -> tuple[Decided, tuple[TaskCommand, ...]]:
    """Commands for the tasks that are less urgent than what is decided now; never for the others."""
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
            rule_revision=rules.revision,
            deadline=deadline,
        )
        for command in upgraded
    )
    tasks = tuple(replace(task, priority=decision.priority) if task in slower else task for task in decided.tasks)
    after = replace(
        decided, priority=decision.priority, reason=decision.reason, rule_revision=rules.revision, tasks=tasks
    )
    return after, commands


def superseded(study: str, before: Decided, after: Decided, at: Instant) -> tuple[TaskCommand, ...]:
    """Commands for tasks on hold that a new revision replaces: nothing would ever release them."""
    if before.order_status != HELD:
        return ()
    kept = {task.task_id for task in after.tasks}
    reason = "a later revision takes its place"
    return tuple(
        _command(study, task, CommandKind.CANCEL, ACTOR_RULES, reason, "superseded", at)
        for task in before.tasks
        if task.task_id not in kept
    )


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
