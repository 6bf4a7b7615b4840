from __future__ import annotations

import asyncio
from collections.abc import Sequence

from producers.audit_events import AuditEvents
from producers.dimse.acse import APPLICATION_CONTEXT, AssociationRequest
from producers.dimse.admission import TOO_MANY, UNKNOWN, Caller
from producers.dimse.refused import Alarm, RefusedPeers
from producers.store.outbox import Message
from schemas.codec import Codec
from schemas.events import AuditEvent


def test_the_same_peer_is_told_of_once_in_ten_minutes() -> None:
    alarm = Alarm()
    rang = [alarm.rings(("CT1", "10.0.0.1"), float(second)) for second in range(0, 1300, 10)]
    assert [10 * index for index, rings in enumerate(rang) if rings] == [0, 600, 1200]


def test_a_scanner_is_told_of_a_few_times_and_remembered_in_bounded_memory() -> None:
    alarm = Alarm()
    told = sum(alarm.rings((f"AE{number}", "10.0.0.1"), number / 100) for number in range(60_000))
    assert told == 10 + 9, "ten at once, and one for each minute of ten"
    assert alarm.untold == 60_000 - told
    for number in range(5000):
        alarm.rings((f"AE{number}", ""), 1000.0 + number * 60)
    assert len(alarm._told) <= 1024


async def test_a_rejected_peer_is_a_security_alert_and_a_full_house_is_none() -> None:
    put: list[Message] = []

    async def announce(messages: Sequence[Message]) -> None:
        put.extend(messages)

    refused = RefusedPeers(AuditEvents("site", "node", "/gateway"), announce, lambda: 1.0, lambda: 1.0)
    request = AssociationRequest(1, APPLICATION_CONTEXT, "SCANSTREAM", "STRANGER", ())
    caller = Caller("10.0.0.9")
    refused(request, caller, TOO_MANY)
    refused(request, caller, UNKNOWN)
    refused(request, caller, UNKNOWN)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (message,) = put
    event = Codec().decode(message.value)
    assert isinstance(event, AuditEvent)
    assert event.detail is not None
    assert (event.code, event.outcome) == ("110113", 8)
    assert (event.detail["calling_ae_title"], event.detail["address"]) == ("STRANGER", "10.0.0.9")
