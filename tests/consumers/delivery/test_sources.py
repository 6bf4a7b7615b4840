from __future__ import annotations

from consumers.delivery.sources import Sources
from tests.consumers.delivery.test_circuit import Clock


def test_a_gateway_is_tried_again_after_a_growing_while_by_one_result_at_a_time() -> None:
    clock = Clock()
    sources = Sources(1.0, 4.0, clock)
    assert sources.may_try("a:1")
    assert sources.went("a:1")
    for wait in (1.0, 2.0, 4.0, 4.0):
        assert not sources.may_try("a:1")
        assert sources.may_try("b:1")
        clock.now += wait
        assert sources.may_try("a:1")
        sources.trying("a:1")
        assert not sources.may_try("a:1"), "one is enough"
        assert not sources.went("a:1")
    assert sources.answered("a:1")
    assert not sources.answered("a:1")
    assert sources.may_try("a:1")


def test_the_gateway_is_given_the_time_that_it_asks_for() -> None:
    clock = Clock()
    sources = Sources(1.0, 4.0, clock)
    sources.went("a:1", retry_after_s=30.0)
    clock.now += 29.0
    assert not sources.may_try("a:1")


def test_no_more_than_so_many_of_a_source_at_once() -> None:
    sources = Sources(1.0, 4.0, Clock(), at_once=2)
    for _ in range(2):
        assert sources.may_try("slow:1")
        sources.trying("slow:1")
    assert not sources.may_try("slow:1")
    assert sources.may_try("other:1")
    sources.ended("slow:1")
    assert sources.may_try("slow:1")
