"""Status of a C-STORE (PS3.4 table B.2-1) → what the writer must do, and the outcome of the instance. Pure.

::

    0000, warnings (Bxxx, 0001, 0107, 0116)     STORED, a warning is kept as the reason
    any other, and the PACS has our object      STORED: it was delivered before
    any other, and it has another object        FAILED
    0111 duplicate, and it cannot be looked at  STORED: our UIDs follow from the content, so it is ours
    A7xx out of resources                       DestinationUnavailable
    0110, 0213                                  TransientFailure
    0122, 0124, A9xx, Cxxx and all others       FAILED
"""

from __future__ import annotations

from typing import Final

from pydicom.uid import UID

from consumers.dicom.render import RenderedObject
from consumers.stow.reasons import DUPLICATE, OUT_OF_RESOURCES, PASSING, conflict, remedy, said, stored
from consumers.stow.standing import Standing
from producers.dimse.outbound import Answer
from schemas.errors import DestinationUnavailable, TransientFailure
from schemas.events import DeliveryStatus, ObjectOutcome

_NOT_SUPPORTED: Final = 0x0122


def outcome(item: RenderedObject, answer: Answer, standing: Standing, pacs: str) -> ObjectOutcome:
    """Outcome of one instance.

    Parameters
    ----------
    item
        What was sent.
    answer
        Status of its C-STORE. What the PACS says in its comment may hold a name, and is left out.
    standing
        What the PACS has of it, where the status alone does not say that it is stored.
    pacs
        AE title, for messages.

    Raises
    ------
    DestinationUnavailable
        The PACS has no resources.
    TransientFailure
        It is not there, for a reason that may pass.
    """
    code, uid, sop_class = answer.status, item.sop_instance_uid, item.sop_class_uid
    if answer.ok:
        return stored(sop_class, uid, None, code, code or None)
    if standing.differs_at is not None:
        return conflict(sop_class, uid, code, standing.differs_at)
    if standing.is_there or code in DUPLICATE:
        return stored(sop_class, uid, None, code, None)
    if code in OUT_OF_RESOURCES:
        raise DestinationUnavailable(f"{pacs} answers C-STORE with {said(code)}: it needs space, or less load")
    if code in PASSING:
        raise TransientFailure(f"{pacs} answers C-STORE with {said(code)}: check its log and its disk")
    return ObjectOutcome(
        sop_class, uid, DeliveryStatus.FAILED, None, code, f"{pacs} refused it ({said(code)}): {remedy(code)}"
    )


def not_negotiated(item: RenderedObject, pacs: str) -> ObjectOutcome:
    """Outcome of an instance for which the PACS accepted no presentation context."""
    name = UID(item.sop_class_uid).name
    return ObjectOutcome(
        item.sop_class_uid,
        item.sop_instance_uid,
        DeliveryStatus.FAILED,
        None,
        _NOT_SUPPORTED,
        f"{pacs} takes no {name} (no presentation context accepted): {remedy(_NOT_SUPPORTED)}",
    )
