"""HTTP status and answer of the PACS → what the writer must do, and the outcome of each instance. Pure.

::

    2xx  instance named as stored               STORED, a warning is kept as the reason
    2xx  instance not named, and it is there    STORED
    2xx  instance not named, and not there      TransientFailure (HTML of a proxy, an empty body)
    any  named as failed, or refused with 4xx   STORED if the PACS has it with our content (a repeated delivery),
    or 5xx                                      FAILED if it has another object under that UID; if it is not found,
                                                STORED where it is called a duplicate (0111, 45070),
                                                TransientFailure for lack of resources and 5xx, FAILED for the rest
    401, 403, 404, 405, 407, 3xx                DestinationUnavailable: every result would be refused alike, so the
                                                writer waits for somebody to correct the setting, and loses nothing
    408, 425, 429, 502, 503, 504, 507           DestinationUnavailable, Retry-After honoured
    413                                         smaller requests; FAILED for what is too large alone

Servers differ on repeated and partly wrong requests (one answers 400 although it stored the good part, another 409
to everything that it already has), so the answer alone decides only where it names the instance as stored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from consumers.dicom.render import RenderedObject
from consumers.stow.answer import StoreAnswer
from consumers.stow.reasons import DUPLICATE, OUT_OF_RESOURCES, PASSING, conflict, remedy, said, stored
from consumers.stow.standing import Standing
from producers.retry_after import retry_after_s
from schemas.errors import DestinationUnavailable, ScanstreamError, TransientFailure
from schemas.events import DeliveryStatus, ObjectOutcome

TOO_LARGE: Final = 413

_WAIT: Final = frozenset({408, 425, 429, 502, 503, 504, 507})
_CREDENTIALS: Final = frozenset({401, 403, 407})
_ADDRESS: Final = frozenset({404, 405})


def refusal(status: int, retry_after: str | None, now: datetime) -> ScanstreamError | None:
    """Error of a status that is not about these instances but about the PACS as a whole, or ``None``.

    Parameters
    ----------
    status
        HTTP status.
    retry_after
        ``Retry-After`` field (RFC 9110 10.2.3), if any.
    now
        To which a date in it is compared.
    """
    if status in _CREDENTIALS:
        return DestinationUnavailable(
            f"the PACS refuses our credentials ({status}): "
            "set SCANSTREAM_STOW_USERNAME and SCANSTREAM_STOW_PASSWORD"
        )
    if status in _ADDRESS or 300 <= status < 400:
        return DestinationUnavailable(
            f"there is no STOW-RS service at this address ({status}): "
            "set SCANSTREAM_STOW_PACS_URL to the DICOMweb root"
        )
    if status in _WAIT:
        return DestinationUnavailable(
            f"the PACS cannot take instances now ({status}): check its load and its disk",
            retry_after_s(retry_after, now),
        )
    return None


def is_clear(status: int, answer: StoreAnswer, uid: str) -> bool:
    """Whether the answer alone proves that an instance is stored."""
    return 200 <= status < 300 and uid in answer.stored and uid not in answer.failed


def is_believed(status: int, answer: StoreAnswer, uid: str) -> bool:
    """Whether an instance is ours if only it is there: the request was taken, and nothing is said against it."""
    return 200 <= status < 300 and uid not in answer.failed


def outcome(status: int, answer: StoreAnswer, item: RenderedObject, url: str, standing: Standing) -> ObjectOutcome:
    """Outcome of one instance.

    Parameters
    ----------
    status
        HTTP status of the STOW-RS answer.
    answer
        Its body.
    item
        What was sent.
    url
        WADO-RS URL of the instance at the PACS.
    standing
        What the PACS has of it, by the answer or by looking for it.

    Raises
    ------
    TransientFailure
        It is not there, for a reason that may pass.
    """
    uid, sop_class = item.sop_instance_uid, item.sop_class_uid
    code = answer.failed.get(uid)
    if standing.differs_at is not None:
        return conflict(sop_class, uid, code or status, standing.differs_at)
    if standing.is_there or code in DUPLICATE:
        return stored(sop_class, uid, url, status, answer.stored.get(uid))
    if code is None and (status < 300 or status >= 500):
        raise TransientFailure(
            f"the PACS answered {status} but does not have the instance"
            f"{'' if answer.readable else ', and the answer is not DICOM JSON'}: "
            "check for a proxy or login page at SCANSTREAM_STOW_PACS_URL, and the log of the PACS"
        )
    if code is not None and (code in PASSING or code in OUT_OF_RESOURCES):
        raise TransientFailure(f"the PACS failed to store an instance ({said(code)}): check its log and its disk")
    number = code or status
    size = f", an object of {len(item.data)} bytes" if number == TOO_LARGE else ""
    words = said(code) if code else str(status)
    return ObjectOutcome(
        sop_class,
        uid,
        DeliveryStatus.FAILED,
        None,
        number,
        f"the PACS refused it ({words}{size}): {remedy(number)}",
    )
