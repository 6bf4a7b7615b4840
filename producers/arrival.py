"""A stored instance, or the end of an association → messages for the outbox.

Pure. Values are framed with single-object encoding, which needs no schema registry: taking images in never waits
for one. Neither values, keys nor headers carry patient identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from producers.image_facts import Facts
from producers.store.files import Written
from producers.store.headers import Headers
from producers.store.outbox import Message
from producers.store.outcome import Received
from schemas.codec import Codec
from schemas.events import ArrivalHint, HintKind, InstanceStored
from schemas.headers import cloud_event
from schemas.ids import event_id
from schemas.topics import Topic


class Arrivals:
    """Makes the messages of one gateway.

    Parameters
    ----------
    gateway
        Stable name of the gateway that holds the pixels.
    base_url
        Root of its DICOMweb service, without a trailing slash.
    source
        CloudEvents ``source``.
    facts
        Reads what is said about images.
    """

    def __init__(self, gateway: str, base_url: str, source: str, facts: Facts | None = None) -> None:
        self._gateway = gateway
        self._base_url = base_url
        self._source = source
        self._facts = facts or Facts()
        self._codec = Codec()

    def stored(self, received: Received, headers: Headers, written: Written, stored_at: float) -> list[Message]:
        """Message of an instance that becomes durable in the same commit.

        Parameters
        ----------
        received, headers, written
            The instance.
        stored_at
            Unix time, seconds.
        """
        study, series, sop = headers.study_instance_uid, headers.series_instance_uid, headers.sop_instance_uid
        facts = self._facts.of(headers)
        event = InstanceStored(
            event_id=event_id("instance-stored", self._gateway, sop, written.sha256),
            occurred_at=_moment(stored_at),
            study_instance_uid=study,
            series_instance_uid=series,
            sop_instance_uid=sop,
            sop_class_uid=headers.sop_class_uid,
            transfer_syntax_uid=received.transfer_syntax_uid,
            gateway=self._gateway,
            origin=received.origin,
            retrieve_url=f"{self._base_url}/studies/{study}/series/{series}/instances/{sop}",
            sha256=written.sha256,
            size_bytes=written.size_bytes,
            modality=headers.text("Modality"),
            calling_ae_title=received.calling_ae_title,
            called_ae_title=received.called_ae_title,
            association_id=received.association_id,
            body_part_examined=headers.text("BodyPartExamined"),
            study_description=headers.text("StudyDescription"),
            series_description=headers.text("SeriesDescription"),
            accession_number=headers.text("AccessionNumber"),
            requested_procedure_priority=headers.text("RequestedProcedurePriority"),
            is_own_result=headers.is_own_result,
            replaces=received.replaces,
            patient_key=facts.patient_key,
            patient_age_years=facts.patient_age_years,
            image_type=facts.image_type,
            image_orientation=facts.image_orientation,
            image_position=facts.image_position,
            slice_thickness_mm=facts.slice_thickness_mm,
            has_contrast=facts.has_contrast,
            number_of_frames=facts.number_of_frames,
            quality_control=facts.quality_control,
            accession_issuer=facts.accession_issuer,
            study_date_time=facts.study_date_time,
        )
        return [self._message(event)]

    def association_released(
        self, association_id: str, instances: Mapping[str, int], released_at: float
    ) -> list[Message]:
        """One hint per study that an association stored instances of.

        Parameters
        ----------
        association_id
            Unique name of the association.
        instances
            Study Instance UID → number of instances that were stored.
        released_at
            Unix time, seconds.
        """
        return [
            self._message(
                ArrivalHint(
                    event_id=event_id("arrival-hint", self._gateway, association_id, study),
                    occurred_at=_moment(released_at),
                    study_instance_uid=study,
                    gateway=self._gateway,
                    kind=HintKind.ASSOCIATION_RELEASED,
                    association_id=association_id,
                    instance_count=count,
                )
            )
            for study, count in instances.items()
        ]

    def promised(self, kind: HintKind, study: str, count: int, about: str, promised_at: float) -> Message:
        """Hint of somebody who knows what a study holds.

        Parameters
        ----------
        kind
            Who knows it.
        study
            Study Instance UID.
        count
            Different instances that the study has at least.
        about
            UID of what was said, such as a performed procedure step; the same said again is the same event.
        promised_at
            Unix time, seconds.
        """
        return self._message(
            ArrivalHint(
                event_id=event_id("arrival-promise", self._gateway, kind.value, about, study, count),
                occurred_at=_moment(promised_at),
                study_instance_uid=study,
                gateway=self._gateway,
                kind=kind,
                instance_count=count,
            )
        )

    def _message(self, event: InstanceStored | ArrivalHint) -> Message:
        return Message(
            topic=Topic.INSTANCES.value,
            key=event.study_instance_uid.encode(),
            value=self._codec.encode(event),
            headers=cloud_event(event, self._source),
        )


def _moment(unix_s: float) -> datetime:
    """UTC time with the millisecond precision of the contract."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
