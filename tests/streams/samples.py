"""Events and clocks for tests of the streams process."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas import ids
from schemas.events import ArrivalHint, ClinicalContext, Event, HintKind, InstanceStored, Origin
from streams.clock import Instant
from streams.partition import Received
from streams.rules import Rules
from streams.rules_file import load_rules

MR = "1.2.840.10008.5.1.4.1.1.4"
SR = "1.2.840.10008.5.1.4.1.1.88.33"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


def at(seconds: float, *, jump: float = 0.0) -> Instant:
    """Moment so many seconds after the start; ``jump`` moves the time of day alone."""
    return Instant(1000.0 + seconds, START + timedelta(seconds=seconds + jump))


def new_study() -> str:
    """A Study Instance UID that no other test has."""
    return f"2.25.{random.randrange(10**30)}"


def instance(
    study: str,
    number: int,
    *,
    series: int = 1,
    occurred: datetime = START,
    sop_class: str = MR,
    modality: str | None = "MR",
    association: str | None = None,
    own: bool = False,
    **texts: Any,
) -> InstanceStored:
    """Instance ``number`` of a series of a study."""
    series_uid = f"{study}.{series}"
    sop_uid = f"{series_uid}.{number}"
    return InstanceStored(
        event_id=ids.event_id("instance-stored", sop_uid),
        occurred_at=occurred,
        study_instance_uid=study,
        series_instance_uid=series_uid,
        sop_instance_uid=sop_uid,
        sop_class_uid=sop_class,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        gateway="gateway-1",
        origin=Origin.C_STORE,
        retrieve_url=f"http://gw/dicom-web/studies/{study}/series/{series_uid}/instances/{sop_uid}",
        sha256="0" * 64,
        size_bytes=524_288,
        modality=modality,
        association_id=association,
        is_own_result=own,
        **texts,
    )


def hint(
    study: str,
    count: int | None,
    *,
    association: str | None = None,
    kind: HintKind = HintKind.ASSOCIATION_RELEASED,
) -> ArrivalHint:
    """Hint that so many instances of a study were sent."""
    return ArrivalHint(
        event_id=ids.event_id("arrival-hint", study, association or "", count or 0, kind.value),
        occurred_at=START,
        study_instance_uid=study,
        gateway="gateway-1",
        kind=kind,
        association_id=association,
        instance_count=count,
    )


def rules_of_one_model() -> Rules:
    """Rules of the release, with the route of the brain segmentation alone."""
    rules = load_rules()
    routes = tuple(route for route in rules.routes if route.model == "mri-brain-segmentation")
    return rules.model_copy(update={"routes": routes})


_told = itertools.count()


def context(patient: str = "patient", **said: Any) -> ClinicalContext:
    """What an order (with an accession number or study) or an admission says; each later than the one before."""
    number = next(_told)
    return ClinicalContext(
        event_id=ids.event_id("clinical-context", number),
        occurred_at=START + timedelta(milliseconds=number),
        patient_key=patient,
        **said,
    )


def received(event: Event, offset: int = 0) -> Received:
    """The event as it comes from Kafka."""
    return Received(event, offset)
