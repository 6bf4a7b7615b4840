"""When a consumer that is out of its group is given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from producers.membership import LONGEST_OUT_S, Membership
from schemas.errors import DestinationUnavailable


class Group:
    """The part of a consumer that is used, with a group that assigns and revokes on request."""

    def __init__(self) -> None:
        self.answers = True
        self.now = 0.0
        self.heard: list[str] = []
        self._callbacks: dict[str, Callable[[Consumer, list[TopicPartition]], None]] = {}

    def subscribe(self, topics: list[str], **callbacks: Callable[[Consumer, list[TopicPartition]], None]) -> None:
        assert topics == ["topic"]
        self._callbacks = callbacks

    def list_topics(self, timeout: float) -> None:
        assert timeout > 0
        if not self.answers:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def tell(self, what: str, *partitions: TopicPartition) -> None:
        self._callbacks[what](cast(Any, self), list(partitions))


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def membership(group: Group) -> Membership:
    made = Membership(cast(Any, group), lambda: group.now)
    made.subscribe(
        ["topic"], came=lambda *_: group.heard.append("came"), went=lambda *_: group.heard.append("went")
    )
    return made


def test_one_that_never_gets_a_place_is_given_up(group: Group, membership: Membership) -> None:
    group.now = LONGEST_OUT_S - 1
    membership.check()
    group.now = LONGEST_OUT_S
    with pytest.raises(DestinationUnavailable, match="begins anew"):
        membership.check()


@pytest.mark.parametrize("partitions", [[TopicPartition("topic", 0)], []])
def test_an_assignment_is_a_place_even_an_empty_one(
    group: Group, membership: Membership, partitions: list[TopicPartition]
) -> None:
    group.tell("on_assign", *partitions)
    group.now = 10 * LONGEST_OUT_S
    membership.check()
    assert group.heard == ["came"]


@pytest.mark.parametrize("how", ["on_revoke", "on_lost"])
def test_one_whose_partitions_went_and_never_came_back_is_given_up(
    group: Group, membership: Membership, how: str
) -> None:
    group.tell("on_assign", TopicPartition("topic", 0))
    group.now = 1000.0
    group.tell(how, TopicPartition("topic", 0))
    membership.check()
    group.now += LONGEST_OUT_S
    with pytest.raises(DestinationUnavailable):
        membership.check()
    assert group.heard == ["came", "went"]


def test_while_kafka_is_away_nothing_is_given_up_and_its_return_starts_the_time_anew(
    group: Group, membership: Membership
) -> None:
    group.answers = False
    group.now = 5000.0
    membership.check()
    group.answers = True
    group.now += LONGEST_OUT_S - 1
    membership.check()
    group.tell("on_assign", TopicPartition("topic", 0))
    group.now += 5000.0
    membership.check()
