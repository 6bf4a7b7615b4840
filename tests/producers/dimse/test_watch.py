from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from producers.dimse.limits import Limits
from producers.dimse.watch import Progress, Watch

LIMITS = Limits(1 << 16, artim_timeout_s=30.0, idle_timeout_s=120.0, message_timeout_s=900.0)


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A clock, and the timers of one watch."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        self.timers = [timer for timer in self.timers if not timer.cancelled]
        self.timers.append(Timer(self.now + delay, call))
        assert len(self.timers) == 1, "one timer per connection"
        return self.timers[0]

    def run(self, until: float, each: Callable[[float], None] = lambda now: None) -> None:
        while self.now < until:
            self.now += 1.0
            each(self.now)
            for timer in [timer for timer in self.timers if timer.at <= self.now and not timer.cancelled]:
                self.timers.remove(timer)
                timer.call()


class Watched:
    def __init__(self) -> None:
        self.loop = Loop()
        self.watch = Watch(self.loop, LIMITS)  # type: ignore[arg-type] # what it uses of an event loop
        self.progress = Progress(1000.0, 0, in_the_middle=False, is_busy=False)
        self.ended: list[tuple[float, str]] = []
        self.watch.start_idle(lambda: self.progress, lambda reason: self.ended.append((self.loop.now, reason)))


def test_an_association_without_a_pdu_ends_after_the_idle_time() -> None:
    one = Watched()
    one.progress = replace(one.progress, active_at=1090.0)
    one.loop.run(2000.0)
    assert one.ended == [(1210.0, "association idle for too long")]
    assert one.loop.timers == []


def test_pdus_keep_it_alive_for_as_long_as_messages_end() -> None:
    one = Watched()

    def sends(now: float) -> None:
        one.progress = Progress(now, int(now / 800), in_the_middle=True, is_busy=False)

    one.loop.run(20_000.0, sends)
    assert one.ended == []


def test_a_message_that_never_ends_does_not_keep_it_alive() -> None:
    one = Watched()

    def trickles(now: float) -> None:
        one.progress = Progress(now, 7, in_the_middle=True, is_busy=False)

    one.loop.run(5000.0, trickles)
    (ended,) = one.ended
    assert ended[1] == "a message takes too long"
    assert 1000 + 900 <= ended[0] <= 1000 + 900 + 2 * 120


def test_while_we_work_the_peer_may_wait() -> None:
    one = Watched()
    one.progress = replace(one.progress, is_busy=True)
    one.loop.run(5000.0)
    assert one.ended == []
    one.progress = replace(one.progress, is_busy=False, active_at=5000.0)
    one.loop.run(5130.0)
    assert [at for at, _ in one.ended] == [5120.0]


def test_artim_calls_once_and_not_after_a_stop() -> None:
    one = Watched()
    rang: list[float] = []
    one.watch.start_artim(lambda: rang.append(one.loop.now))
    one.loop.run(1100.0)
    assert rang == [1030.0]
    assert one.ended == []
    one.watch.start_artim(lambda: rang.append(one.loop.now))
    one.watch.stop()
    one.loop.run(1200.0)
    assert len(rang) == 1
