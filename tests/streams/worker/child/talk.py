"""Listening to a computing process."""

from __future__ import annotations

import time
from typing import TypeVar

from streams.worker.child import ChildLink
from streams.worker.protocol import FromChild

T = TypeVar("T")


def until(link: ChildLink, kind: type[T], said: list[FromChild] | None = None, timeout_s: float = 120.0) -> T:
    """The next message of a kind; those before it are kept in ``said``."""
    deadline = time.monotonic() + timeout_s
    while True:
        message = link.receive(1.0)
        if isinstance(message, kind):
            return message
        if message is not None and said is not None:
            said.append(message)
        assert message is not None or link.alive, f"the child ended with {link.exitcode}"
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {kind.__name__}; said: {said}"
