"""Everything that is in the log now → known to the live view.

The ends are asked for without regard to transactions under way, so that nothing that was committed before the
question lies beyond them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from producers.client_log import client_log
from schemas.errors import DestinationUnavailable
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, Topic

#: Where tasks are told of.
_TOPICS: Final[Sequence[Topic]] = (*TASK_TOPICS.values(), Topic.STATUS)
#: A transaction that another process left open ends after 15 s.
_PATIENCE_S: Final = 20.0
_ANSWER_S: Final = 5.0


class CatchUp:
    """Waits until the live view has read what is in the log now.

    Parameters
    ----------
    settings
        Connection to Kafka.
    has_read
        Whether the view has read so far, by topic and partition.
    """

    def __init__(self, settings: KafkaSettings, has_read: Callable[[Mapping[tuple[str, int], int]], bool]) -> None:
        self._settings = settings
        self._has_read = has_read
        self._client: AdminClient | None = None

    def __call__(self) -> None:
        """Wait.

        Raises
        ------
        DestinationUnavailable
            Kafka does not say where its ends are, or the view does not get there.
        """
        ends = self._ends()
        until = time.monotonic() + _PATIENCE_S
        while not self._has_read(ends):
            if time.monotonic() > until:
                raise DestinationUnavailable("the live view does not keep up with the log: ask again in a moment")
            time.sleep(0.005)

    def _ends(self) -> dict[tuple[str, int], int]:
        client = self._client
        try:
            if client is None:
                client = self._client = AdminClient(self._settings.librdkafka(), logger=client_log())
            known = client.list_topics(timeout=_ANSWER_S).topics
            latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the client's stubs lack it
            asked = {
                TopicPartition(topic, number): latest
                for topic in _TOPICS
                if topic in known
                for number in known[topic].partitions
            }
            answers = client.list_offsets(
                asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_ANSWER_S
            )
            return {(at.topic, at.partition): found.result().offset for at, found in answers.items()}
        except KafkaException as error:
            # this one may know no broker any more (producers.lost_brokers): the next question is another's
            self._client = None
            raise DestinationUnavailable(f"Kafka does not answer ({error.args[0].str()}): ask again") from error
