"""A consumer in its group → partitions that come and go, and the word that it has fallen out without noticing.

librdkafka may stay out for ever after a broker has restarted, above all as a static member (its issue 3437): its
partitions are taken from it and no assignment follows, not even an empty one, and nothing is reported. Guarantee:
such a consumer is given up while Kafka answers, and never while Kafka is away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.errors import DestinationUnavailable

#: Longest time without an assignment, in seconds. A rebalance waits for members that are busy in a callback,
#: ours for at most half of this.
LONGEST_OUT_S: Final = 60.0

_ASK_S: Final = 2.0

OnChange = Callable[[Consumer, list[TopicPartition]], None]


class Membership:
    """The place of one consumer in its group.

    Parameters
    ----------
    consumer
        Not subscribed yet.
    clock
        Monotonic seconds.
    """

    def __init__(self, consumer: Consumer, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._clock = clock
        self._out_since: float | None = None

    def subscribe(
        self, topics: Sequence[str], *, came: OnChange, went: OnChange, lost: OnChange | None = None
    ) -> None:
        """Join the group.

        Parameters
        ----------
        topics
            What to read.
        came, went, lost
            Called from within ``poll`` when partitions are assigned, revoked, or lost without a word (default: as
            revoked).
        """

        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self._out_since = None
            came(consumer, partitions)

        def revoked(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self._out_since = self._clock()
            went(consumer, partitions)

        def taken(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self._out_since = self._clock()
            (lost or went)(consumer, partitions)

        self._out_since = self._clock()
        self._consumer.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=taken)

    def check(self) -> None:
        """Give a consumer up that has been out for too long; called at every turn of the loop that polls.

        Raises
        ------
        DestinationUnavailable
            Begin anew with another client.
        """
        if self._out_since is None or self._clock() - self._out_since < LONGEST_OUT_S:
            return
        try:
            self._consumer.list_topics(timeout=_ASK_S)
        except KafkaException:
            self._out_since = self._clock()
            return
        raise DestinationUnavailable(
            f"Kafka answers and has not given this consumer a place in its group for {LONGEST_OUT_S:.0f} s: "
            "it begins anew"
        )
