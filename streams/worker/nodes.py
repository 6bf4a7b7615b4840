"""Heartbeats of the workers → which nodes are alive, what they serve, and what they worked on when they vanished.

A task may kill the worker as a whole (its memory, its driver, its machine), and then nobody is left to count the
attempt. So a heartbeat names what its node has begun; a node that is heard with a new start, or no more, without
having taken that back has vanished over it. Guarantee: a worker that ends in order counts for nothing, and a task
is given up only after a life in which it was alone: who is beside the one to blame is not. A machine that stays
away counts once others were heard for :data:`SILENT_S` and it was not. Safe to use from several threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

from schemas.events import BegunTask, Event, InferenceTask, NodeHeartbeat, NodeState, VersionState
from streams.worker.protocol import Name

#: Attempts whose deaths are remembered.
MOST: Final = 10_000

#: A node that was not heard for this long does not count.
SILENT_S: Final = 45.0

#: Workers that may vanish over an attempt before it is given up; the last of them had nothing beside it.
MOST_VANISHED: Final = 3

#: A longer time without any heartbeat counts as this: nothing could be heard then.
_LONGEST_GAP_S: Final = 20.0

#: A node, and when it began.
_Life = tuple[str, datetime]

_CAN_RUN: Final = frozenset({VersionState.SERVING, VersionState.CANARY})


class Nodes:
    """Newest heartbeat of each node."""

    def __init__(self) -> None:
        self._newest: dict[str, NodeHeartbeat] = {}
        self._vanished: OrderedDict[Name, dict[_Life, int]] = OrderedDict()
        self._heard_s: dict[str, float] = {}
        self._all_heard_s = 0.0
        self._latest: datetime | None = None
        self._lock = threading.Lock()

    def hear(self, key: str, event: Event | None) -> None:
        """Take in a message of the topic of nodes."""
        with self._lock:
            if isinstance(event, NodeHeartbeat):
                before = self._newest.get(event.node, event)
                if event.started_at < before.started_at:
                    self._take_back(event)  # a word of its former life came late
                    return
                if event.started_at > before.started_at:
                    self._note(before)
                elif event.occurred_at < before.occurred_at:
                    return  # the topic is heard again from where it begins
                self._newest[event.node] = event
                self._listened(event)
            elif event is None:
                self._newest.pop(key, None)

    def vanished(self, name: Name, node: str, started_at: datetime) -> int:
        """Lives of nodes that ended without a word while they worked on an attempt; ``node`` lives since then."""
        with self._lock:
            found = list(self._vanished.get(name, {}).values())
            for beat in self._newest.values():
                former = beat.node == node and beat.started_at < started_at
                if former or (beat.node != node and self._is_silent(beat.node)):
                    found += [_deaths(beat, entry) for entry in beat.begun if _name(entry) == name]
        # each knew of some that went before it; several at once show no more than that it is risky
        return max(max(found, default=0), min(len(found), MOST_VANISHED - 1))

    def _listened(self, event: NodeHeartbeat) -> None:
        """Count the time for which nodes were heard: while Kafka is away all are silent, and live."""
        gap_s = 0.0 if self._latest is None else (event.occurred_at - self._latest).total_seconds()
        self._all_heard_s += min(max(gap_s, 0.0), _LONGEST_GAP_S)
        if self._latest is None or gap_s > 0:
            self._latest = event.occurred_at
        self._heard_s[event.node] = self._all_heard_s

    def _is_silent(self, node: str) -> bool:
        return self._all_heard_s - self._heard_s.get(node, 0.0) > SILENT_S

    def _note(self, ended: NodeHeartbeat) -> None:
        for entry in ended.begun:
            lives = self._vanished.setdefault(_name(entry), {})
            lives[ended.node, ended.started_at] = _deaths(ended, entry)
            self._vanished.move_to_end(_name(entry))
        while len(self._vanished) > MOST:
            self._vanished.popitem(last=False)

    def _take_back(self, late: NodeHeartbeat) -> None:
        """Who was fenced off says after its successor began that it works on nothing."""
        if not late.begun:
            for lives in self._vanished.values():
                lives.pop((late.node, late.started_at), None)

    def others_for(self, task: InferenceTask, node: str, now: datetime) -> list[str]:
        """Nodes other than this one that live, serve the model of a task, and are not excluded from it."""
        oldest = now - timedelta(seconds=SILENT_S)
        with self._lock:
            beats = list(self._newest.values())
        return sorted(
            beat.node
            for beat in beats
            if beat.node != node
            and beat.node not in task.excluded_nodes
            and beat.state is NodeState.READY
            and beat.occurred_at >= oldest
            and any(model.name == task.model_name and model.state in _CAN_RUN for model in beat.models)
        )


def _name(entry: BegunTask) -> Name:
    return entry.task_id, entry.attempt


def _deaths(beat: NodeHeartbeat, entry: BegunTask) -> int:
    """Deaths that a task is known by after one more; the last one counts only for what had nothing beside it."""
    certain = entry.deaths < MOST_VANISHED - 1 or len(beat.begun) == 1
    return entry.deaths + certain
