"""Kafka → backlog: reads far ahead, so that an urgent result is known however many routine ones lie before it.

Guarantee: a verdict enters the backlog only after everything that lay in its partition of the results when the
verdict was read, so never before the result that it is about.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer

from consumers.delivery.backlog import Backlog
from consumers.delivery.contents import Contents
from consumers.delivery.item import Item, Received, item_of
from consumers.delivery.partitions import Partitions
from producers.telemetry import Telemetry
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.logs import fields
from schemas.topics import Priority, Topic

log = logging.getLogger(__name__)

_BATCH: Final = 500


@dataclass
class _Verdict:
    item: Item
    behind: int | None = None


class Intake:
    """Reader of one writer.

    Parameters
    ----------
    consumer
        Member of the group.
    partitions
        Book of the offsets.
    backlog, contents
        Take what was read.
    telemetry
        Counts messages.
    """

    def __init__(
        self,
        consumer: Consumer,
        partitions: Partitions,
        backlog: Backlog,
        contents: Contents,
        telemetry: Telemetry,
    ) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._backlog = backlog
        self._contents = contents
        self._telemetry = telemetry
        self._verdicts: list[_Verdict] = []

    def read(self, timeout_s: float) -> None:
        """Take in what came.

        Parameters
        ----------
        timeout_s
            How long to wait for the first message.

        Raises
        ------
        PermanentRejection
            Kafka will not let this consumer go on.
        """
        for _ in range(_BATCH):
            message = self._consumer.poll(timeout_s)
            if message is None:
                break
            timeout_s = 0
            received = self._partitions.receive(message)
            if received is not None:
                self._telemetry.count("scanstream_messages_consumed_total", topic=received.topic)
                self._take(received)
        if self._verdicts:
            self._place_verdicts()

    def forget(self) -> None:
        """Partitions came or went: what was read before is void."""
        self._verdicts.clear()

    def _take(self, received: Received) -> None:
        item = item_of(received, self._rank(received))
        if item.is_review and not item.is_retry:
            self._verdicts.append(_Verdict(item))
        else:
            self._add(item)

    def _add(self, item: Item) -> None:
        self._contents.keep(item)
        self._backlog.add(item)

    def _rank(self, received: Received) -> int:
        """Class of urgency of the headers, else of the event; what cannot be read now is routine."""
        if received.rank is not None:
            return received.rank
        try:
            return self._contents.decode(received).result.priority.rank
        except (InvalidMessage, DestinationUnavailable):
            return Priority.P4_ROUTINE.rank

    def _place_verdicts(self) -> None:
        ends: dict[int, int] = {}
        for verdict in self._verdicts:
            if verdict.behind is None:
                partition = verdict.item.place[1]
                try:
                    if partition not in ends:
                        ends[partition] = self._partitions.end_of((Topic.RESULTS, partition))
                except DestinationUnavailable as error:
                    log.warning("verdicts wait", extra=fields(reason=str(error)))
                    break
                verdict.behind = ends[partition]
        waiting = []
        for verdict in self._verdicts:
            place = (Topic.RESULTS, verdict.item.place[1])
            if verdict.behind is not None and self._partitions.has_read(place, verdict.behind):
                self._add(verdict.item)
            else:
                waiting.append(verdict)
        self._verdicts = waiting
