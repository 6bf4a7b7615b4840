"""Final response of a C-MOVE or C-GET → nothing, or the error that says what to do. Pure.

PS3.4 C.4.2.1.5 and C.4.3.1.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from producers.dimse.outbound import Retrieval
from producers.poller.archive import SourceMisconfigured
from schemas.errors import DestinationUnavailable, PermanentRejection, TransientFailure

_SUCCESS: Final = 0x0000
_CANCELLED: Final = 0xFE00
_WITH_FAILURES: Final = 0xB000
_CANNOT_COUNT: Final = 0xA701
_CANNOT_PERFORM: Final = 0xA702
_DESTINATION_UNKNOWN: Final = 0xA801
_NOT_AUTHORISED: Final = 0x0124


def last(states: Iterator[Retrieval]) -> Retrieval | None:
    """State in which a retrieval ended; ``None`` when nothing came."""
    final = None
    for state in states:
        final = state
    return final


def check(final: Retrieval | None, source: str, destination: str) -> None:
    """Look at how a retrieval ended.

    Parameters
    ----------
    final
        Its final state.
    source
        AE title of the PACS.
    destination
        AE title that a C-MOVE sends to; empty for C-GET.

    Raises
    ------
    SourceMisconfigured
        The PACS does not know the destination, or does not let us.
    TransientFailure
        Some instances, or all, were not sent.
    DestinationUnavailable
        The PACS has no resources now.
    PermanentRejection
        It refuses the request.
    """
    operation = "C-MOVE" if destination else "C-GET"
    if final is None or final.status == _CANCELLED:
        raise TransientFailure(f"{source} ended the {operation} before its end: see its log")
    if final.status == _DESTINATION_UNKNOWN:
        raise SourceMisconfigured(
            f"{source} does not know the move destination {destination or 'that is us'} (A801): register AE title "
            f"{destination} there with the address and the port of the gateway"
        )
    if final.status == _NOT_AUTHORISED:
        raise SourceMisconfigured(
            f"{source} does not let us do a {operation} (0124): give our AE title that right"
        )
    if final.failed or final.status == _WITH_FAILURES:
        raise TransientFailure(
            f"{source} could not send {final.failed} instances by {operation} ({final.status:04X}): see its log"
        )
    if final.status == _SUCCESS or final.status >> 12 == 0xB:
        return
    if final.status in (_CANNOT_COUNT, _CANNOT_PERFORM):
        remedy = f"check that it reaches {destination}" if destination else "see its log"
        raise TransientFailure(f"{source} cannot perform the sub-operations ({final.status:04X}): {remedy}")
    if final.status >> 8 == 0xA7:
        raise DestinationUnavailable(f"{source} is out of resources ({final.status:04X}): it is asked again later")
    # what some answer in place of A801
    remedy = f"see its log, and check that it knows our AE title {destination}" if destination else "see its log"
    raise PermanentRejection(f"{source} refuses the {operation} ({final.status:04X}): {remedy}", final.status)
