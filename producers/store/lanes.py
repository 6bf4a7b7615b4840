"""How urgent an instance says that it is → the lane of its events. Pure.

An image seldom carries a priority, and the orders that decide one are read later in the log: this only chooses
who is first in the queue to the log, and a wrong choice costs a normal study seconds after an outage.
"""

from __future__ import annotations

from typing import Final

from producers.store.headers import Headers
from producers.store.outbox import Lane
from producers.store.outcome import Received

#: Beginnings of Requested Procedure Priority (0040,1003) that mean haste; STAT and HIGH are its defined terms.
URGENT_TERMS: Final = ("STAT", "EMERGENCY", "HIGH")


def lane_of(received: Received, headers: Headers) -> Lane:
    """Urgent when the sender is, or when the instance says so (PS3.3 C.4.11)."""
    priority = headers.values.get("RequestedProcedurePriority")
    if received.urgent or (isinstance(priority, str) and priority.strip().upper().startswith(URGENT_TERMS)):
        return Lane.URGENT
    return Lane.NORMAL
