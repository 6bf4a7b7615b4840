"""Heartbeats of the workers → which nodes are alive, what they serve, and what they worked on when they vanished.

A task may kill the worker as a whole (its memory, its driver, its machine), and then nobody is left to count the
attempt. So a heartbeat names what its node has begun; a node that is heard with a new start, or no more, without
having taken that back has vanished over it. Guarantee: a worker that ends in order counts for nothing. A machine
that does not come back counts once it has been silent for :data:`SILENT_S`. Safe to use from several threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final

from schemas.events import Event, InferenceTask, NodeHeartbeat, NodeState, VersionState
from streams.worker.protocol import Name

#: Attempts whose deaths are remembered.
MOST: Final = 10_000

#: A node that was not heard for this long does not count.
SILENT_S: Final = 45.0

_CAN_RUN: Final = frozenset({VersionState.SERVING, VersionState.CANARY})


class Nodes:
    """Newest heartbeat of each node."""

    def __init__(self) -> None:
        self._newest: dict[str, NodeHeartbeat] = {}
        self._vanished: OrderedDict[Name, list[int]] = OrderedDict()
        self._lock = threading.Lock()

    def hear(self, key: str, event: Event | None) -> None:
        """Take in a message of the topic of nodes."""
        with self._lock:
            if isinstance(event, NodeHeartbeat):
                before = self._newest.get(event.node, event)
                if event.started_at < before.started_at:
                    return  # a word of its former life came late
                if event.started_at > before.started_at:
                    self._note(before)
                self._newest[event.node] = event
            elif event is None:
                self._newest.pop(key, None)

    def vanished(self, name: Name, node: str, started_at: datetime, now: datetime) -> int:
        """Lives of nodes that ended without a word while they worked on an attempt; ``node`` lives since then."""
        oldest = now - timedelta(seconds=SILENT_S)
        with self._lock:
            found = list(self._vanished.get(name, ()))
            for beat in self._newest.values():
                former = beat.node == node and beat.started_at < started_at
                if former or (beat.node != node and beat.occurred_at < oldest):
                    found += [entry.deaths for entry in beat.begun if (entry.task_id, entry.attempt) == name]
        # each knew of some that went before it
        return max(len(found), max(found, default=-1) + 1)

    def _note(self, ended: NodeHeartbeat) -> None:
        for entry in ended.begun:
            name = (entry.task_id, entry.attempt)
            self._vanished.setdefault(name, []).append(entry.deaths)
            self._vanished.move_to_end(name)
        while len(self._vanished) > MOST:
            self._vanished.popitem(last=False)

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
