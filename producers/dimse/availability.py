"""Instance Availability Notification as SCP (PS3.4 R): N-CREATE → a hint how many instances a study has.

Guarantee: success is answered only after the hint is durable. The notification itself is not kept.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from pydicom.dataset import Dataset

from producers.dimse.data_sets import Refusal, read, refused
from producers.dimse.procedure_step import INVALID_ATTRIBUTE_VALUE, MISSING_ATTRIBUTE, MISSING_ATTRIBUTE_VALUE
from producers.dimse.promises import Promises
from producers.dimse.rights import INSTANCE_AVAILABILITY
from producers.dimse.service import Exchange, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.store.headers import is_uid
from producers.store.outcome import Status
from producers.store.spool import Spool
from schemas.events import HintKind
from schemas.logs import fields

log = logging.getLogger(__name__)

ONLINE: Final = "ONLINE"
#: Instance Availability (0008,0056) (PS3.3 C.4.23).
_KNOWN: Final = frozenset({ONLINE, "NEARLINE", "OFFLINE", "UNAVAILABLE"})
_CLASS_INSTANCE_CONFLICT: Final = 0x0119
_MAX_NOTIFICATION_BYTES: Final = 8 * 1024 * 1024


class Notification(NamedTuple):
    """Study Instance UID, its instances that can be had at once, and how many it has in all."""

    study: str
    online: int
    total: int


def understand(attributes: Dataset) -> Notification:
    """What a notification says (PS3.4 table R.3.2-1).

    Raises
    ------
    Refusal
        An attribute of type 1 is missing or empty, or a value cannot be.
    """
    study = str(attributes.get("StudyInstanceUID") or "")
    if not study:
        raise Refusal(MISSING_ATTRIBUTE, "Study Instance UID is missing")
    if not is_uid(study):
        raise Refusal(INVALID_ATTRIBUTE_VALUE, "Study Instance UID is no UID")
    availability: dict[str, str] = {}
    for series in _items(attributes, "ReferencedSeriesSequence"):
        for item in _items(series, "ReferencedSOPSequence"):
            uid = str(item.get("ReferencedSOPInstanceUID") or "")
            state = str(item.get("InstanceAvailability") or "").strip()
            if not is_uid(uid) or state not in _KNOWN:
                raise Refusal(INVALID_ATTRIBUTE_VALUE, "an instance without its UID or Instance Availability")
            availability[uid] = state
    return Notification(study, list(availability.values()).count(ONLINE), len(availability))


def _items(attributes: Dataset, keyword: str) -> list[Dataset]:
    if keyword not in attributes:
        raise Refusal(MISSING_ATTRIBUTE, f"{keyword} is missing")
    items = list(attributes.get(keyword) or ())
    if not items:
        raise Refusal(MISSING_ATTRIBUTE_VALUE, f"{keyword} is empty")
    return items


class InstanceAvailability:
    """N-CREATE of notifications.

    Parameters
    ----------
    promises
        Tells how many instances the study has.
    """

    def __init__(self, promises: Promises) -> None:
        self._promises = promises

    def new_spool(self) -> Spool:
        """Place for a list of instances."""
        return BoundedSpool(_MAX_NOTIFICATION_BYTES)

    async def perform(self, exchange: Exchange) -> Response:
        """Take a notification."""
        command, association_id = exchange.message.command, exchange.session.association_id
        try:
            if command.sop_class_uid != INSTANCE_AVAILABILITY:
                raise Refusal(_CLASS_INSTANCE_CONFLICT, "not the SOP class of the presentation context")  # noqa: TRY301 - one way to refuse
            notification = await read(exchange, understand)
        except Refusal as refusal:
            return refused(exchange, refusal, "instance availability refused")
        log.info(
            "instance availability",
            extra=fields(
                association_id=association_id,
                study_instance_uid=notification.study,
                online=notification.online,
                instances=notification.total,
            ),
        )
        if notification.online == notification.total:
            counts = {notification.study: notification.total}
            await self._promises.tell(HintKind.INSTANCE_AVAILABILITY, counts, notification.study)
        return Response(command.response(Status.SUCCESS))

    async def released(self, session: Session) -> None:
        """Nothing to do at the end."""
