from __future__ import annotations

from consumers.delivery.circuit import LONGEST_ASKED_S, Circuit, State


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def circuit(clock: Clock) -> Circuit:
    return Circuit(1.0, 8.0, clock, lambda: 0.0)


def test_closed_delivers_as_much_as_asked() -> None:
    assert circuit(Clock()).may_deliver(7)


def test_open_waits_then_probes_then_tries_one() -> None:
    clock = Clock()
    state = circuit(clock)
    assert state.failed()
    assert not state.failed(), "a second failure under way is no news"
    assert not state.may_deliver(0)
    assert not state.probe_due()
    clock.now += 1.0
    assert state.probe_due()
    state.probing()
    assert not state.probe_due()
    state.probed(answered=True)
    assert state.may_deliver(0)
    assert not state.may_deliver(1)
    assert state.delivered()
    assert state.may_deliver(5)


def test_the_wait_doubles_up_to_the_longest_and_only_a_delivery_resets_it() -> None:
    clock = Clock()
    state = circuit(clock)
    waits = []
    for _ in range(5):
        state.failed()
        started = clock.now
        while not state.probe_due():
            clock.now += 0.5
        waits.append(clock.now - started)
        state.probing()
        state.probed(answered=True)
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]
    state.delivered()
    state.failed()
    clock.now += 1.0
    assert state.probe_due()


def test_a_failed_probe_opens_again() -> None:
    clock = Clock()
    state = circuit(clock)
    state.failed()
    clock.now += 1.0
    state.probing()
    state.probed(answered=False)
    assert state.state is State.OPEN
    clock.now += 1.0
    assert not state.probe_due()
    clock.now += 1.0
    assert state.probe_due()


def test_retry_after_is_honoured() -> None:
    clock = Clock()
    state = circuit(clock)
    state.failed(retry_after_s=60.0)
    clock.now += 59.0
    assert not state.probe_due()
    clock.now += 1.0
    assert state.probe_due()


def test_without_a_result_to_try_the_circuit_closes_but_keeps_its_wait() -> None:
    clock = Clock()
    state = circuit(clock)
    state.failed()
    clock.now += 1.0
    state.probing()
    state.probed(answered=True)
    assert state.nothing_to_try()
    assert state.may_deliver(3)
    state.failed()
    clock.now += 1.0
    assert not state.probe_due(), "no delivery has succeeded since, so the second wait is longer"


def test_a_late_probe_changes_nothing_once_a_delivery_succeeded() -> None:
    clock = Clock()
    state = circuit(clock)
    state.failed()
    clock.now += 1.0
    state.probing()
    state.delivered()
    state.probed(answered=False)
    assert state.state is State.CLOSED


def test_a_destination_that_asks_for_years_gets_an_hour() -> None:
    clock = Clock()
    state = circuit(clock)
    state.failed(float("inf"))
    assert not state.probe_due()
    clock.now += LONGEST_ASKED_S
    assert state.probe_due()
