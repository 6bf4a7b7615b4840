"""A task that failed on this node → a partition of another worker, where one lives that can run it.

The key of a task binds it to a partition and so to one worker; its next attempt comes back to the worker where the
one before failed. So it is forwarded, as it is, to a partition that another node has, in one transaction with its
offset. Guarantee: a task is forwarded a bounded number of times, and then run where it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.events import InferenceTask
from schemas.logs import fields
from schemas.topics import TASK_TOPICS
from streams.worker.job import Partition

log = logging.getLogger(__name__)

#: How often a task may be forwarded between two attempts.
MOST_FORWARDS: Final = 3

#: End of the name of a static member that reads P1 only. With the name of one that reads all, it would be given
#: the partitions that it had before its mode was changed.
EMERGENCIES_ONLY: Final = ".p1"

#: How old the answer of the broker may be, in seconds.
_FRESH_S: Final = 5.0
_ASK_S: Final = 5.0


def destination(
    task: InferenceTask, others: Sequence[str], owners: Mapping[Partition, str], forwards: int
) -> Partition | None:
    """Partition of the task's class that one of these nodes has. Pure.

    Parameters
    ----------
    task
        Failed on this node before.
    others
        Nodes that could run it.
    owners
        Node that has each partition.
    forwards
        How often the task was forwarded already.
    """
    if forwards >= MOST_FORWARDS:
        return None
    topic = TASK_TOPICS[task.priority].value
    found = sorted(place for place, node in owners.items() if place.topic == topic and node in others)
    # not always the first, which a burst of failures would fill
    return found[sum(task.task_id.encode()) % len(found)] if found else None


class Owners:
    """Which node has which partition, asked of the broker in the background.

    Parameters
    ----------
    admin
        Makes a client for questions; called again when one got no answer, which may know no broker any more
        (:mod:`producers.lost_brokers`).
    group
        Group of the workers.
    suffix
        What follows the name of the node in that of a static member (:attr:`producers.process.Process.instance`).
    clock
        Monotonic seconds.
    """

    def __init__(
        self, admin: Callable[[], AdminClient], group: str, suffix: str, clock: Callable[[], float]
    ) -> None:
        self._new_admin, self._admin = admin, admin()
        self._group = group
        self._suffix = suffix
        self._clock = clock
        self._asked: Future[Any] | None = None
        self._known: dict[Partition, str] = {}
        self._known_at = float("-inf")

    def get(self) -> Mapping[Partition, str] | None:
        """Nodes by partition; ``None`` while the broker is being asked, which this begins."""
        now = self._clock()
        if now - self._known_at <= _FRESH_S:
            return self._known
        if self._asked is None:
            self._asked = self._admin.describe_consumer_groups([self._group], request_timeout=_ASK_S)[self._group]
            return None
        if not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        try:
            members = asked.result().members
        except KafkaException as error:
            log.warning("owners of partitions are not known", extra=fields(reason=error.args[0].str()))
            members = []
            self._admin = self._new_admin()
        self._known = {
            Partition(place.topic, place.partition): self._node(member.group_instance_id)
            for member in members
            if member.group_instance_id and member.assignment is not None
            for place in member.assignment.topic_partitions
        }
        self._known_at = now
        return self._known

    def _node(self, member: str) -> str:
        return member.removesuffix(EMERGENCIES_ONLY).removesuffix(self._suffix)
