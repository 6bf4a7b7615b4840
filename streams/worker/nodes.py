"""Heartbeats of the workers → which nodes are alive and what they serve. Safe to use from several threads."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final

from schemas.events import Event, InferenceTask, NodeHeartbeat, NodeState, VersionState

#: A node that was not heard for this long does not count.
SILENT_S: Final = 45.0

_CAN_RUN: Final = frozenset({VersionState.SERVING, VersionState.CANARY})


class Nodes:
    """Newest heartbeat of each node."""

    def __init__(self) -> None:
        self._newest: dict[str, NodeHeartbeat] = {}
        self._lock = threading.Lock()

    def hear(self, key: str, event: Event | None) -> None:
        """Take in a message of the topic of nodes."""
        with self._lock:
            if isinstance(event, NodeHeartbeat):
                self._newest[event.node] = event
            elif event is None:
                self._newest.pop(key, None)

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
