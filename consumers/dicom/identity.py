"""An inference result → UIDs and times of the objects that are made of it.

UIDs follow from what the object says: study, revision, series, model, arrays, findings, warnings, the language of
its texts, the objects that it names and the report that it replaces.
The same result, or a second run with the same outcome, names the same object; another outcome names another one,
because the content of a SOP Instance UID never changes (PS3.5 9). Times are those of the result, never "now".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta, timezone
from typing import Final

from pydicom import Dataset

from consumers.dicom.prior import Prior
from schemas.codec import to_json
from schemas.events import InferenceResult
from schemas.ids import dicom_uid
from schemas.terminology import Language

#: Part of every UID: raised when a release renders the same result differently.
RENDERING: Final = 2


@dataclass(frozen=True)
class ObjectIdentity:
    """What makes one object of a result distinguishable, and when it was made.

    ``offset`` is (0008,0201) Timezone Offset From UTC, in which ``moment`` is written.
    """

    series_instance_uid: str
    sop_instance_uid: str
    moment: datetime
    offset: str

    @property
    def date(self) -> str:
        """DICOM DA of the object's content."""
        return f"{self.moment.year:04d}{self.moment:%m%d}"

    @property
    def time(self) -> str:
        """DICOM TM of the object's content, to the millisecond."""
        return f"{self.moment:%H%M%S}.{self.moment.microsecond // 1000:03d}"

    @property
    def date_time(self) -> str:
        """DICOM DT of the object's content, with its offset from UTC."""
        return f"{self.date}{self.time}{self.offset}"


def identity(
    result: InferenceResult,
    kind: str,
    source: Dataset,
    language: Language | None = None,
    prior: Prior | None = None,
    *,
    refers_to: Sequence[Dataset] = (),
    number: int = 1,
) -> ObjectIdentity:
    """Identity of one object.

    Parameters
    ----------
    result
        What the object tells.
    kind
        Value of an :class:`consumers.dicom.plan.ObjectKind`.
    source
        Header of a source image. Dates that are copied from it share (0008,0201) with ours, so its offset is kept
        where it has one; otherwise times are UTC and say so.
    language
        Of the texts in the object, where it has any.
    prior
        The report that it replaces, where it names one.
    refers_to
        Other objects that it names; which there are depends on the destination.
    number
        Tells the objects of one kind apart; they are in one series.
    """
    named = [str(item.SOPInstanceUID) for item in refers_to]
    content = json.dumps([_said(result), language, to_json(prior), named], sort_keys=True)
    parts: tuple[str | int, ...] = (
        result.study_instance_uid,
        result.revision,
        hashlib.sha256(content.encode()).hexdigest(),
        RENDERING,
    )
    zone, offset = _zone(str(source.get("TimezoneOffsetFromUTC") or ""))
    if result.occurred_at.year in (MINYEAR, MAXYEAR):  # the first and last day have no time in every zone
        zone, offset = UTC, "+0000"
    return ObjectIdentity(
        series_instance_uid=dicom_uid(f"{kind}-series", *parts),
        sop_instance_uid=dicom_uid(kind, *parts, number),
        moment=result.occurred_at.astimezone(zone),
        offset=offset,
    )


def _said(result: InferenceResult) -> dict[str, object]:
    """Everything of a result that an object may show, without what differs between two runs that say the same."""
    findings = [to_json(finding) for finding in result.findings]
    for finding in findings:
        # A verdict changes no object: what a model found stays unverified until a person signs a report of theirs.
        for of_this_run in ("event_id", "occurred_at", "finding_id", "task_id", "decision"):
            finding.pop(of_this_run)
    model = to_json(result.model)
    model.pop("engine")
    return {
        "series": result.series_instance_uid,
        "images": result.sop_instance_uids,
        "outcome": result.outcome.value,
        "model": model,
        "arrays": [
            [artifact.kind, artifact.sha256, to_json(artifact.quantity), to_json(artifact.unit)]
            for artifact in result.artifacts
        ],
        "findings": findings,
        "quality": to_json(result.quality),
        "warnings": [result.warnings, result.image_quality_warnings, result.out_of_domain_warnings],
        "limitations": result.limitations,
    }


def _zone(offset: str) -> tuple[timezone, str]:
    """Time zone of (0008,0201), ``&ZZXX`` (PS3.3 C.12.1.1.8); UTC where it is absent or unreadable."""
    sign, digits = offset[:1], offset[1:]
    if sign in ("+", "-") and len(digits) == 4 and digits.isascii() and digits.isdigit():
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        if minutes <= 14 * 60:
            return timezone(timedelta(minutes=minutes if sign == "+" else -minutes)), offset
    return UTC, "+0000"
