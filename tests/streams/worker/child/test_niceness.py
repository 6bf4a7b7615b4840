"""Threads that give way: as far as asked, they alone, and never further than there is."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from streams.worker.child.niceness import give_way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness of threads")


def niceness(*steps: int) -> int:
    """Of a thread that gave way so often."""
    found: list[int] = []

    def run() -> None:
        for step in steps:
            give_way(step)
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    return found[0]


def test_a_thread_gives_way_and_the_others_do_not() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness(7) == min(before + 7, 19)
    assert niceness(7, 7, 7) == 19
    assert niceness(0) == before
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
