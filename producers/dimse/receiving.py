"""Messages of an association that we opened → the operation that waits for them, each of them, over pynetdicom.

As it comes, its reactor thread may take one message more after an operation has begun: told to pause, it still
looks paused from the time before. It drops what is no request, so a match of a C-FIND or the answer to a C-STORE
is lost (pynetdicom issue 875). And what comes after the end of the connection waits for its whole time limit.
"""

from __future__ import annotations

import queue
import time
from typing import Any, Final

from pynetdicom.association import Association

_LOOK_EVERY_S: Final = 0.5
#: Idle, and waiting for the transport to close (PS3.8 9.2.1).
_OVER: Final = frozenset({"Sta1", "Sta13"})


def receive_all(association: Association) -> None:
    """Make an established association give every message to the operation that waits, and tell it of the end.

    Parameters
    ----------
    association
        Opened by us, before its first operation.
    """
    dimse = association.dimse
    take = dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        if block:
            return awaited()
        # Only the reactor asks so, after it said that it goes on: either it sees here that an operation has begun,
        # or the operation sees that it must wait.
        return take(block=False) if association._reactor_checkpoint.is_set() else (None, None)

    def awaited() -> Any:
        limit = dimse.dimse_timeout
        deadline = None if limit is None else time.monotonic() + limit
        while dimse.msg_queue.empty() and (deadline is None or time.monotonic() < deadline):
            # pynetdicom leaves one note when it ends, which the reactor may have taken between two operations
            is_over = association.dul.state_machine.current_state in _OVER or not association.dul.is_alive()
            try:
                return dimse.msg_queue.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                if is_over:
                    return None, None
        return take(block=False)

    dimse.get_msg = get_msg  # type: ignore[method-assign] # the only place where both can be told apart
