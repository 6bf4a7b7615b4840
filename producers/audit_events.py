"""Acts that security wants to know of → AuditEvent messages for the outbox (PS3.15 A.5). Pure.

They travel in the commit of what they tell, so an act and its record exist both or not at all. No event carries a
patient's name or identifier: studies are named by their UID, and whoever may know more looks it up there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from producers.store.index import Known
from producers.store.jobs import Deletion, Put
from producers.store.outbox import Message
from producers.store.outcome import ConflictPolicy
from schemas.codec import Codec
from schemas.events import AuditEvent
from schemas.headers import cloud_event
from schemas.ids import event_id
from schemas.topics import Topic

#: Event identifiers of PS3.16 CID 400.
APPLICATION_ACTIVITY: Final = "110100"
INSTANCES_ACCESSED: Final = "110103"
INSTANCES_TRANSFERRED: Final = "110104"
STUDY_DELETED: Final = "110105"
SECURITY_ALERT: Final = "110113"

SUCCESS: Final = 0
MINOR_FAILURE: Final = 4
SERIOUS_FAILURE: Final = 8

_FOLLOWED: Final = {
    ConflictPolicy.REJECT: ("C", MINOR_FAILURE, "it was refused and the first is kept"),
    ConflictPolicy.KEEP_FIRST: ("C", MINOR_FAILURE, "the sender got a warning and the first is kept"),
    ConflictPolicy.REPLACE: ("U", SUCCESS, "it replaced the first, which is deleted"),
}


class AuditEvents:
    """Makes the audit messages of one gateway; times are Unix seconds.

    Parameters
    ----------
    site, node
        Where the gateway runs.
    source
        CloudEvents ``source``.
    """

    def __init__(self, site: str, node: str, source: str) -> None:
        self._site = site
        self._node = node
        self._source = source
        self._codec = Codec()

    def conflict(self, policy: ConflictPolicy, put: Put, before: Known, at: float) -> Message:
        """Other bytes came under a known SOP Instance UID (DICOM Instances Transferred, PS3.15 A.5.3.7)."""
        action, outcome, followed = _FOLLOWED[policy]
        headers, received = put.headers, put.received
        detail = {
            "policy": policy.value,
            "sop_instance_uid": headers.sop_instance_uid,
            "sha256": put.written.sha256,
            "sha256_of_first": before.sha256,
            "origin": received.origin.value,
        }
        if before.study_instance_uid != headers.study_instance_uid:
            detail["study_instance_uid_of_first"] = before.study_instance_uid
        if received.calling_ae_title:
            detail["calling_ae_title"] = received.calling_ae_title
        if received.association_id:
            detail["association_id"] = received.association_id
        return self.message(
            INSTANCES_TRANSFERRED,
            action,
            outcome,
            f"an instance came whose SOP Instance UID is stored with other content: {followed}",
            at,
            headers.study_instance_uid,
            detail,
        )

    def deleted(self, deletion: Deletion, count: int, whole_study: bool, at: float) -> Message:
        """DICOM Study Deleted (PS3.15 A.5.3.8), or DICOM Instances Accessed (A.5.3.6) while some are left."""
        detail = {"who": deletion.who, "instances": str(count)}
        if deletion.series is not None:
            detail["series_instance_uid"] = deletion.series
        if deletion.sop is not None:
            detail["sop_instance_uid"] = deletion.sop
        code = STUDY_DELETED if whole_study else INSTANCES_ACCESSED
        what = "the study was deleted" if whole_study else "a part of the study was deleted"
        return self.message(code, "D", SUCCESS, what, at, deletion.study, detail)

    def disk_filling(self, used_fraction: float, at: float) -> Message:
        """The disk of the store fills up (Application Activity, A.5.3.1)."""
        return self.message(
            APPLICATION_ACTIVITY,
            "E",
            MINOR_FAILURE,
            "the disk of the store is filling up: free space before instances must be refused",
            at,
            detail={"used_percent": f"{used_fraction * 100:.1f}"},
        )

    def security_alert(self, description: str, at: float, detail: dict[str, str]) -> Message:
        """Somebody tried what they may not (Security Alert, A.5.3.11), such as a peer that is not allowed."""
        return self.message(SECURITY_ALERT, "E", SERIOUS_FAILURE, description, at, detail=detail)

    def message(
        self,
        code: str,
        action: str,
        outcome: int,
        description: str,
        at: float,
        study_instance_uid: str | None = None,
        detail: dict[str, str] | None = None,
    ) -> Message:
        """Any audit event.

        Parameters
        ----------
        code
            DCM event identifier (PS3.16 CID 400).
        action
            ``C``, ``R``, ``U``, ``D`` or ``E`` (PS3.15 A.5.2).
        outcome
            0 success, 4 minor failure, 8 serious failure, 12 major failure.
        description
            A sentence without patient identity.
        at
            Unix time, seconds.
        study_instance_uid, detail
            What it is about.
        """
        about = [f"{name}={value}".replace("|", "/") for name, value in (detail or {}).items()]
        event = AuditEvent(
            event_id=event_id("audit", self._source, code, study_instance_uid or "", round(at * 1e6), *about),
            occurred_at=_moment(at),
            site=self._site,
            node=self._node,
            code=code,
            action=action,
            outcome=outcome,
            description=description,
            study_instance_uid=study_instance_uid,
            detail=detail,
        )
        return Message(
            topic=Topic.AUDIT.value,
            key=self._site.encode(),
            value=self._codec.encode(event),
            headers=cloud_event(event, self._source),
        )


def _moment(unix_s: float) -> datetime:
    """UTC time with the millisecond precision of the contract."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
