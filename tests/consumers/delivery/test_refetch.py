from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from consumers.delivery.item import Received
from consumers.delivery.refetch import Refetch
from schemas.errors import DestinationUnavailable
from tests.consumers.delivery.items import item, received


class Told:
    """A message that is an error."""

    def __init__(self, code: int) -> None:
        self._error = KafkaError(code)

    def error(self) -> KafkaError:
        return self._error


class Given(Told):
    """A message."""

    def __init__(self) -> None:
        """Nothing is wrong."""

    def error(self) -> Any:
        return None


class Client:
    """A client of Kafka that gives what it was filled with."""

    def __init__(self, *come: Told) -> None:
        self.come = list(come)

    def assign(self, _: object) -> None:
        """From where."""

    def unassign(self) -> None:
        """No more."""

    def close(self) -> None:
        """Gone."""
        self.come.clear()

    def poll(self, _: float) -> Told | None:
        return self.come.pop(0) if self.come else None


def read(*come: Told) -> list[Received]:
    client: Any = Client(*come)
    return list(Refetch(lambda: client, lambda _: received(7)).read(item("study", 7)))


def test_the_end_of_the_partition_says_that_the_message_is_gone() -> None:
    assert read(Told(KafkaError._PARTITION_EOF)) == []


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._UNKNOWN_PARTITION])
def test_an_error_of_kafka_does_not_say_that_the_message_is_gone(code: int) -> None:
    with pytest.raises(DestinationUnavailable, match="again"):
        read(Told(code))


def test_an_error_behind_the_message_ends_the_reading() -> None:
    assert [one.offset for one in read(Given(), Told(KafkaError.TOPIC_AUTHORIZATION_FAILED))] == [7]


def test_a_client_that_gives_nothing_is_left_for_another() -> None:
    clients: list[Any] = [Client(), Client(Given())]
    refetch = Refetch(lambda: clients.pop(0), lambda _: received(7))
    with pytest.raises(DestinationUnavailable, match="in time"):
        list(refetch.read(item("study", 7)))
    assert [one.offset for one in refetch.read(item("study", 7))] == [7]
