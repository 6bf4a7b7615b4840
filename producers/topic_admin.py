"""Topic table → topics on the broker; and what a process does until they are there.

Creating is idempotent: what exists is left as it is and compared, and differences are reported, never "repaired"
(changing the number of partitions would break the order of keys). Run as ``python -m producers.topic_admin``.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stubs do not say what it re-exports
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from producers.process import Process, run
from schemas.errors import ConfigurationError, DestinationUnavailable
from schemas.logs import fields
from schemas.settings import KafkaSettings
from schemas.topics import TOPICS, FailureTopic, failure_topics, failure_topics_of

log = logging.getLogger(__name__)

State = Literal["created", "equal", "differs", "missing"]

REQUEST_TIMEOUT_S: Final = 15.0
PROBE_INTERVAL_S: Final = 0.1
SETTLE_INTERVAL_S: Final = 0.02
REMIND_INTERVAL_S: Final = 10.0


@dataclass(frozen=True)
class WantedTopic:
    """A topic as we want it: name, number of partitions, the part of its configuration that we decide."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class TopicRow:
    """What became of one topic.

    Attributes
    ----------
    name
        Of the topic.
    state
        ``created`` now, ``equal`` to the table, ``differs`` from it, or ``missing``.
    partitions
        As they are on the broker; 0 when missing.
    differences
        One phrase for each, such as ``retention.ms is 1, the table says 2``.
    """

    name: str
    state: State
    partitions: int
    differences: tuple[str, ...] = ()


def wanted() -> list[WantedTopic]:
    """Every topic that the system needs: the table, and a retry and dead-letter topic for each group."""
    table = [WantedTopic(spec.topic.value, spec.partitions, spec.config()) for spec in TOPICS]
    return table + [_wanted_failures(topic) for topic in failure_topics()]


def _wanted_failures(topic: FailureTopic) -> WantedTopic:
    return WantedTopic(topic.name, topic.partitions, topic.config())


def differences(topic: WantedTopic, partitions: int, config: Mapping[str, str | None]) -> tuple[str, ...]:
    """How a topic of the broker differs from the table. Pure.

    Parameters
    ----------
    topic
        As we want it.
    partitions
        As it has.
    config
        Its whole configuration on the broker.
    """
    found = []
    if partitions != topic.partitions:
        found.append(f"partitions is {partitions}, the table says {topic.partitions}")
    for name, value in topic.config.items():
        actual = config.get(name)
        if set((actual or "").split(",")) != set(value.split(",")):
            found.append(f"{name} is {actual}, the table says {value}")
    return tuple(found)


def create_topics(settings: KafkaSettings) -> list[TopicRow]:
    """Create what is missing and compare the rest.

    Returns
    -------
    list of TopicRow
        One for each wanted topic, in the order of the table.

    Raises
    ------
    DestinationUnavailable
        No broker answered in time.
    ConfigurationError
        The broker refuses to create a topic.
    """
    admin = _admin(settings)
    present = _partitions(admin, REQUEST_TIMEOUT_S)
    missing = [topic for topic in wanted() if topic.name not in present]
    made = _create(admin, missing, settings.replication_factor)
    return _rows(admin, _settled(admin, {topic.name for topic in missing}), made)


def create_failure_topics(settings: KafkaSettings, group: str) -> None:
    """Create the retry and dead-letter topic of a group, where they are missing.

    Raises
    ------
    DestinationUnavailable
        No broker answered in time.
    ConfigurationError
        The broker refuses to create a topic.
    """
    admin = _admin(settings)
    present = _partitions(admin, REQUEST_TIMEOUT_S)
    missing = [_wanted_failures(topic) for topic in failure_topics_of(group) if topic.name not in present]
    _create(admin, missing, settings.replication_factor)
    _settled(admin, {topic.name for topic in missing})


def describe_topics(settings: KafkaSettings) -> list[TopicRow]:
    """Compare the broker with the table and change nothing.

    Raises
    ------
    DestinationUnavailable
        No broker answered in time.
    """
    admin = _admin(settings)
    return _rows(admin, _partitions(admin, REQUEST_TIMEOUT_S), set())


def wait_until_ready(settings: KafkaSettings, stop: threading.Event) -> bool:
    """Wait until a broker answers and every wanted topic exists.

    Parameters
    ----------
    settings
        Connection.
    stop
        Ends the waiting.

    Returns
    -------
    bool
        ``False`` when ``stop`` ended it.
    """
    if not wait_until_reachable(settings, stop):
        return False
    remind = _Reminder(time.monotonic)
    admin = _admin(settings)
    while not stop.is_set():
        try:
            present = _partitions(admin, 2.0)
        except DestinationUnavailable as error:
            remind(str(error))
            # this one may know no broker any more (producers.lost_brokers)
            admin = _admin(settings)
        else:
            missing = [topic.name for topic in wanted() if topic.name not in present]
            if not missing:
                return True
            remind(f"waiting for {len(missing)} topics, such as {missing[0]}: create them with scanstream topics")
        stop.wait(PROBE_INTERVAL_S)
    return False


def wait_until_reachable(settings: KafkaSettings, stop: threading.Event) -> bool:
    """Wait until one of the bootstrap servers accepts connections; ``False`` when ``stop`` ended the waiting."""
    remind = _Reminder(time.monotonic)
    while not any(_reachable(server) for server in settings.bootstrap_servers.split(",")):
        remind(f"waiting for Kafka at {settings.bootstrap_servers}: is the broker up?")
        if stop.wait(PROBE_INTERVAL_S):
            return False
    return True


class _Reminder:
    """Logs what is waited for now and then, not at each attempt."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next = clock() + REMIND_INTERVAL_S / 2

    def __call__(self, text: str) -> None:
        if self._clock() >= self._next:
            self._next = self._clock() + REMIND_INTERVAL_S
            log.warning(text)


def _admin(settings: KafkaSettings) -> AdminClient:
    config = settings.librdkafka() | {"client.id": "topic-admin"}
    return AdminClient(dict(config), logger=logging.getLogger("librdkafka"))


def _reachable(server: str) -> bool:
    host, _, port = server.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2.0).close()
    except ValueError as error:
        raise ConfigurationError(
            f"KAFKA_BOOTSTRAP_SERVERS has {server!r}: write host:port, several separated by commas"
        ) from error
    except OSError:
        return False
    return True


def _partitions(admin: AdminClient, timeout_s: float) -> dict[str, int]:
    """Number of partitions of each topic of the broker."""
    try:
        metadata = admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise DestinationUnavailable(
            f"Kafka did not answer in {timeout_s:.0f} s ({error.args[0].str()}): "
            "start it (scanstream up), or correct KAFKA_BOOTSTRAP_SERVERS"
        ) from error
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def _create(admin: AdminClient, topics: list[WantedTopic], replication_factor: int) -> set[str]:
    """Create topics in one request and return the names of those that we made, not somebody else meanwhile."""
    if not topics:
        return set()
    requests = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replication_factor,
            config=dict(topic.config),
        )
        for topic in topics
    ]
    made = set()
    for name, future in admin.create_topics(requests, request_timeout=REQUEST_TIMEOUT_S).items():
        try:
            future.result()
            made.add(name)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            if reason.retriable() or reason.code() in _AWAY:
                raise DestinationUnavailable(
                    f"Kafka did not create topic {name} ({reason.str()}): check that the broker is up"
                ) from error
            raise ConfigurationError(
                f"Kafka refuses to create topic {name} ({reason.str()}): check KAFKA_REPLICATION_FACTOR and the "
                "rights of KAFKA_SASL_USERNAME"
            ) from error
    return made


_AWAY: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT})


def _settled(admin: AdminClient, names: set[str]) -> dict[str, int]:
    """Partitions of all topics, once the broker's metadata show what it has confirmed to be created."""
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while True:
        present = _partitions(admin, REQUEST_TIMEOUT_S)
        if names <= present.keys() or time.monotonic() >= deadline:
            return present
        time.sleep(SETTLE_INTERVAL_S)


def _rows(admin: AdminClient, present: Mapping[str, int], made: set[str]) -> list[TopicRow]:
    topics = wanted()
    compared = [topic for topic in topics if topic.name in present and topic.name not in made]
    configs = _configs(admin, [topic.name for topic in compared])
    rows = []
    for topic in topics:
        if topic.name in made:
            rows.append(TopicRow(topic.name, "created", topic.partitions))
        elif topic.name not in configs:
            rows.append(TopicRow(topic.name, "missing", 0))
        else:
            partitions = present[topic.name]
            found = differences(topic, partitions, configs[topic.name])
            rows.append(TopicRow(topic.name, "differs" if found else "equal", partitions, found))
    return rows


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str | None]]:
    """Configuration of each topic."""
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    configs = {}
    for resource, future in admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S).items():
        try:
            entries = future.result()
        except KafkaException as error:
            raise DestinationUnavailable(
                f"Kafka did not describe topic {resource.name} ({error.args[0].str()}): try again"
            ) from error
        configs[str(resource.name)] = {name: entry.value for name, entry in entries.items()}
    return configs


def body(process: Process) -> None:
    """Wait for the broker, create what is missing, say what differs, end."""
    settings = KafkaSettings()
    remind = _Reminder(time.monotonic)
    while not process.stop.is_set():
        if not wait_until_reachable(settings, process.stop):
            return
        try:
            rows = create_topics(settings)
        except DestinationUnavailable as error:
            remind(str(error))
            process.stop.wait(PROBE_INTERVAL_S)
            continue
        for row in rows:
            if row.differences:
                log.warning("topic differs from the table", extra=fields(topic=row.name, differs=row.differences))
        log.info("topics are there", extra=fields(created=sum(row.state == "created" for row in rows)))
        process.ready()
        return


def main() -> int:
    """Process ``topics``: ends when the topics exist."""
    return run("topics", body)


if __name__ == "__main__":
    sys.exit(main())
