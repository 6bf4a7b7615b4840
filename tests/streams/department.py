"""A department for tests of the state machine: studies, orders, restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.codec import Codec
from schemas.events import AssemblyState, Event, InferenceTask, StudyReady, TaskCommand
from streams.assembly import Assembler
from streams.context import ContextTable
from streams.routing import Router
from streams.rules import Rules
from tests.streams.samples import at, context, instance, received, rules_of_one_model

RULES = rules_of_one_model()
CODEC = Codec()
STUDY = "2.25.1"
STAT = {"accession_number": "A1", "order_priority": "S"}


class Department:
    """An assembler with its changelog and its orders; a restart keeps what was written, and the orders."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.log: dict[str, bytes] = {}
        self.orders = ContextTable()
        self.orders.keep_only(())
        self.restart(0.0)

    def restart(self, seconds: float) -> None:
        latest = {key.encode(): value for key, value in self.log.items()}
        router = Router(self.rules, "site-1", "node-1")
        self.machine = Assembler(self.rules, CODEC, router, self.orders, latest, at(seconds))

    def order(self, key: str = "order", patient: str = "patient", **said: Any) -> None:
        self.orders.apply(key.encode(), context(patient, **said))

    def give(self, seconds: float, *events: Event) -> None:
        for event in events:
            self.machine.accept(received(event), at(seconds))

    def look(self, seconds: float) -> list[Event]:
        """What happens by then; the records go to the changelog."""
        outputs = self.machine.wake(at(seconds), False)
        for key, state in self.machine.changes(at(seconds)):
            if state is None:
                self.log.pop(key, None)
            else:
                self.log[key] = CODEC.encode(state)
        return [output.event for output in outputs]

    def state(self) -> AssemblyState:
        state = CODEC.decode(self.log[STUDY])
        assert isinstance(state, AssemblyState)
        return state


def images(count: int, *, first: int = 0, **more: Any) -> list[Event]:
    more = {"accession_number": "A1", "patient_key": "patient"} | more
    return [instance(STUDY, first + number, **more) for number in range(count)]


def tasks(events: Sequence[Event]) -> list[InferenceTask]:
    return [event for event in events if isinstance(event, InferenceTask)]


def commands(events: Sequence[Event]) -> list[TaskCommand]:
    return [event for event in events if isinstance(event, TaskCommand)]


def readies(events: Sequence[Event]) -> list[StudyReady]:
    return [event for event in events if isinstance(event, StudyReady)]
