"""Events that are allowed and make no sense: the assembler, the retries and the findings go on with the next one.

What these three raise beyond ``InvalidMessage`` ends the process, and it reads the same message again, for ever.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import ArrivalHint, ClinicalContext, Event, InferenceResult, InferenceTask, InstanceStored
from schemas.ids import event_id, task_id
from schemas.topics import Priority
from streams.assembly import Assembler
from streams.context import ContextTable
from streams.findings.fan_out import fan_out
from streams.retry import RetryScheduler
from streams.routing import Router
from streams.rules_file import load_rules
from tests.schemas.odd_events import odd, odd_events
from tests.streams.department import Department, commands, images, readies
from tests.streams.samples import MR, at, context, received

CODEC = Codec()
RULES = load_rules()

#: A smaller example is not worth minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
FAR = float(10**8)


class Stream:
    """An assembler, of which everything can be written that it wants to write."""

    def __init__(self) -> None:
        self.orders = ContextTable()
        self.orders.keep_only(())
        self.log: dict[bytes, bytes] = {}
        self.start(0.0)

    def start(self, seconds: float) -> None:
        self.machine = Assembler(RULES, CODEC, Router(RULES, "site", "node"), self.orders, self.log, at(seconds))

    def take(self, event: Event, number: int) -> None:
        if isinstance(event, ClinicalContext):
            self.orders.apply(b"%d" % (number % 3), event)
        else:
            self.machine.accept(received(event, number), at(number))

    def look(self, seconds: float) -> None:
        for output in self.machine.wake(at(seconds), behind=False):
            assert output.key.encode() is not None
            assert CODEC.decode(CODEC.encode(output.event)) is not None
        for key, state in self.machine.changes(at(seconds)):
            if state is None:
                self.log.pop(key.encode(), None)
            else:
                self.log[key.encode()] = CODEC.encode(state)


@settings(max_examples=120, phases=PHASES)
@given(
    odd_events([InstanceStored, InstanceStored, ArrivalHint, ClinicalContext], most=10),
    st.booleans(),
    st.sampled_from([0, 1, 200]),
)
def test_nothing_that_images_hints_and_orders_say_stops_the_assembler(
    events: list[Event], are_images: bool, pace_s: int
) -> None:
    stream = Stream()
    for number, event in enumerate(events):
        read = CODEC.decode(CODEC.encode(event))
        if are_images and isinstance(read, InstanceStored):
            read = dataclasses.replace(read, sop_class_uid=MR, modality="MR", is_own_result=False)
        with suppress(InvalidMessage):
            stream.take(read, number)
        stream.look(number * pace_s)
    stream.look(FAR / 1000)
    stream.start(FAR / 1000)
    stream.look(FAR)


def test_an_order_of_any_name_is_obeyed() -> None:
    department = Department()
    department.give(0.0, *images(30))
    department.look(500.0)
    cancelled = context(accession_number="A1", order_status="cancelled")
    department.orders.apply(b"order", dataclasses.replace(cancelled, event_id="a|b"))
    assert commands(department.look(501.0))


def test_frames_are_counted_as_far_as_a_record_can_say() -> None:
    department = Department()
    department.give(0.0, *images(3, number_of_frames=2**63 - 1))
    (ready,) = readies(department.look(500.0))
    assert ready.series[0].number_of_frames == 2**31 - 1


@settings(max_examples=80, phases=PHASES)
@given(odd(InferenceTask), st.sampled_from([(), tuple(Priority)]))
def test_any_task_is_tried_again_at_its_time(task: InferenceTask, windowed: tuple[Priority, ...]) -> None:
    scheduler = RetryScheduler(windowed)
    scheduler.accept(received(CODEC.decode(CODEC.encode(task))), at(0))
    forwarded, status = scheduler.wake(at(FAR), behind=False)
    assert CODEC.encode(forwarded.event) == CODEC.encode(task)
    assert CODEC.encode(status.event)
    assert scheduler.committable(7) == 7


@settings(max_examples=80, phases=PHASES)
@given(odd(InferenceResult), st.binary(max_size=5))
def test_any_result_is_fanned_out(result: InferenceResult, traceparent: bytes) -> None:
    made = fan_out(CODEC.encode(result), [("traceparent", traceparent)], CODEC, "/site/findings")
    assert [message.value for message in made.messages] == [CODEC.encode(one) for one in result.findings]


_PARTS = st.lists(st.text('a|\\=[", ', max_size=4), max_size=3)


@given(_PARTS, _PARTS)
def test_ids_are_the_same_only_for_the_same_parts(one: list[str], other: list[str]) -> None:
    assert (event_id("kind", *one) == event_id("kind", *other)) == (one == other)


def test_ids_of_plain_parts_stay_what_they_were() -> None:
    assert task_id("1.2.3", 1, "model") == "a00d1ab1-4fbb-5399-bc37-e0386b97dd02"
