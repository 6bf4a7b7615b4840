"""Commands about tasks → what becomes of each, now or when it is read. Pure.

Every worker hears all commands of the topic and keeps the newest, bounded, because their task may come later:
from a topic that was not read so far, from another worker, or as its next attempt. Guarantee: a command acts once,
however often it is read.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from schemas.events import CommandKind, InferenceTask, TaskCommand

#: Tasks whose commands are kept.
MOST: Final = 20_000


@dataclass(frozen=True)
class Orders:
    """What was asked for one task, all commands together.

    Attributes
    ----------
    cancel, hold
        The command that cancels it, or that keeps it back now.
    upgrade
        The most urgent upgrade.
    heard
        Commands that were taken in, by event id.
    """

    cancel: TaskCommand | None = None
    hold: TaskCommand | None = None
    upgrade: TaskCommand | None = None
    heard: frozenset[str] = frozenset()

    def following(self, command: TaskCommand) -> Orders:
        """Orders after one more command."""
        match command.kind:
            case CommandKind.CANCEL:
                return dataclasses.replace(self, cancel=self.cancel or command)
            case CommandKind.HOLD:
                return dataclasses.replace(self, hold=command)
            case CommandKind.RELEASE:
                return dataclasses.replace(self, hold=None)
            case CommandKind.UPGRADE:
                before = self.upgrade.priority if self.upgrade else None
                if command.priority is None or (before is not None and before.rank <= command.priority.rank):
                    return self
                return dataclasses.replace(self, upgrade=command)


class Commands:
    """Orders by task, those of the tasks that were asked about last.

    Parameters
    ----------
    most
        Tasks whose orders are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._orders: OrderedDict[str, Orders] = OrderedDict()

    def __len__(self) -> int:
        return len(self._orders)

    def hear(self, command: TaskCommand) -> bool:
        """Take a command in; ``False`` where it was heard before, as when the topic is read once more."""
        before = self.of(command.task_id)
        if command.event_id in before.heard:
            return False
        heard = before.heard | {command.event_id}
        self._orders[command.task_id] = dataclasses.replace(before.following(command), heard=heard)
        self._orders.move_to_end(command.task_id)
        if len(self._orders) > self._most:
            self._orders.popitem(last=False)
        return True

    def of(self, task_id: str) -> Orders:
        """Orders of a task."""
        return self._orders.get(task_id, _NONE)


_NONE: Final = Orders()


def upgraded(task: InferenceTask, command: TaskCommand | None) -> InferenceTask | None:
    """The task as an upgrade makes it; ``None`` where it is that urgent already."""
    if command is None or command.priority is None or command.priority.rank >= task.priority.rank:
        return None
    return dataclasses.replace(
        task,
        priority=command.priority,
        priority_reason=command.priority_reason or command.reason or task.priority_reason,
        rule_revision=command.rule_revision or task.rule_revision,
        deadline=min(task.deadline, command.deadline or task.deadline),
        not_before=None,
    )


def sentence(verb: str, command: TaskCommand) -> str:
    """Why a task moved: who asked for it, and the reason that was given."""
    reason = command.reason or ", ".join(code.meaning for code in command.reason_codes)
    return f"{verb} by {command.actor}" + (f": {reason}" if reason else "")
