"""Heartbeats → which nodes of workers are alive and what they can run, within a bounded memory.

Guarantee: the newest heartbeat of a node counts; at most ``most`` nodes are kept, those heard of last.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final

from schemas.events import ModelState, NodeHeartbeat, NodeState, VersionState

#: A node that was not heard of for so long is not counted on; heartbeats come every 30 s or sooner.
ALIVE: Final = timedelta(seconds=95)

#: States of a version that answers tasks.
ANSWERING: Final = frozenset({VersionState.SERVING, VersionState.CANARY})


class Nodes:
    """Nodes as their heartbeats tell them.

    Parameters
    ----------
    most
        How many are kept.
    """

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._newest: dict[str, NodeHeartbeat] = {}

    def apply(self, heartbeat: NodeHeartbeat) -> None:
        """A node was heard of."""
        with self._lock:
            known = self._newest.pop(heartbeat.node, None)
            newer = heartbeat if known is None or known.occurred_at <= heartbeat.occurred_at else known
            self._newest[heartbeat.node] = newer
            if len(self._newest) > self._most:
                del self._newest[next(iter(self._newest))]

    def all(self) -> list[NodeHeartbeat]:
        """Newest heartbeat of each node, by name."""
        with self._lock:
            return sorted(self._newest.values(), key=lambda one: one.node)

    def alive(self, now: datetime) -> list[NodeHeartbeat]:
        """Nodes that were heard of lately."""
        return [one for one in self.all() if is_alive(one, now)]

    def versions(self, model: str) -> list[tuple[NodeHeartbeat, ModelState]]:
        """Versions of a model on each node that is or was there."""
        return [(node, one) for node in self.all() for one in node.models if one.name == model]

    def models(self) -> dict[str, list[tuple[NodeHeartbeat, ModelState]]]:
        """Versions on each node, by the name of the model."""
        found: dict[str, list[tuple[NodeHeartbeat, ModelState]]] = {}
        for node in self.all():
            for one in node.models:
                found.setdefault(one.name, []).append((node, one))
        return dict(sorted(found.items()))

    def answering(self, model: str, now: datetime) -> int:
        """How many nodes that are alive and take tasks answer those of a model."""
        return sum(
            node.state is NodeState.READY
            and any(one.name == model and one.state in ANSWERING for one in node.models)
            for node in self.alive(now)
        )


def is_alive(heartbeat: NodeHeartbeat, now: datetime) -> bool:
    """Whether a node with this newest heartbeat counts as alive."""
    return heartbeat.occurred_at >= now - ALIVE
