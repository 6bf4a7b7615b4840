"""HTTP status and answer of the PACS → what the writer must do, and the outcome of each instance. Pure.

::

    2xx  instance named as stored               STORED, a warning is kept as the reason
    any  instance named as failed               STORED if the PACS has it after all (a repeated delivery),
                                                TransientFailure for lack of resources, else FAILED
    any  instance not named, and it is there    STORED
    2xx  instance not named, and not there      TransientFailure (HTML of a proxy, an empty body)
    4xx  instance not named, and not there      FAILED
    401, 403, 404, 405, 407, 3xx                DestinationUnavailable: every result would be refused alike, so the
                                                writer waits for somebody to correct the setting, and loses nothing
    408, 425, 429, 502, 503, 504, 507           DestinationUnavailable, Retry-After honoured
    other 5xx                                   TransientFailure

Servers differ on repeated and partly wrong requests (one answers 400 although it stored the good part, another 409
to everything that it already has), so the answer alone decides only where it names the instance as stored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from consumers.dicom.render import RenderedObject
from consumers.stow.answer import StoreAnswer
from producers.retry_after import retry_after_s
from schemas.errors import DestinationUnavailable, ScanstreamError, TransientFailure
from schemas.events import DeliveryStatus, ObjectOutcome

_WAIT: Final = frozenset({408, 425, 429, 502, 503, 504, 507})
_CREDENTIALS: Final = frozenset({401, 403, 407})
_ADDRESS: Final = frozenset({404, 405})

#: Failure reasons that may pass: processing failure (0110), lack of resources (0213), Microsoft's "being created".
_PASSING: Final = frozenset({0x0110, 0x0213, 45071})
_OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)

_REMEDY: Final[dict[int, str]] = {
    0x0122: "the PACS does not take this SOP class: enable it there",
    0x0124: "the PACS does not allow it: give this writer the right to store there",
    409: "the PACS stored none of the instances: see its log for the reason",
    413: "the PACS limits the size of a request: raise its limit",
    415: "the PACS does not take application/dicom in Explicit VR Little Endian: correct its configuration",
}


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


def outcome(status: int, answer: StoreAnswer, item: RenderedObject, url: str, *, present: bool) -> ObjectOutcome:
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
    present
        Whether the PACS was found to have it, by the answer or by QIDO-RS.

    Raises
    ------
    TransientFailure
        It is not there, for a reason that may pass.
    """
    uid = item.sop_instance_uid
    if present:
        warning = answer.stored.get(uid)
        reason = None if warning is None else f"stored with warning {warning:04X}H (PS3.18 10.5.3)"
        return ObjectOutcome(item.sop_class_uid, uid, DeliveryStatus.STORED, url, warning or status, reason)
    code = answer.failed.get(uid)
    if code is None and (status < 300 or status >= 500):
        raise TransientFailure(
            f"the PACS answered {status} but does not have the instance"
            f"{'' if answer.readable else ', and the answer is not DICOM JSON'}: "
            "check for a proxy or login page at SCANSTREAM_STOW_PACS_URL, and the log of the PACS"
        )
    if code is not None and (code in _PASSING or code in _OUT_OF_RESOURCES):
        raise TransientFailure(f"the PACS failed to store an instance ({code:04X}H): check its log and its disk")
    number = code or status
    said = f"{code:04X}H" if code else str(status)
    remedy = _REMEDY.get(number, "see the log of the PACS for the reason")
    return ObjectOutcome(
        item.sop_class_uid, uid, DeliveryStatus.FAILED, None, number, f"the PACS refused it ({said}): {remedy}"
    )
