"""Reports that a PACS has of a study → the one that a new revision's report takes the place of. Pure.

Guarantee: the same answer for every delivery of a result, so that its report has the same UIDs each time. A report
that was already delivered is recognized by its own UID and is never its own predecessor; reports of later
revisions are later, and are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from pydicom import Dataset

from consumers.dicom.equipment import MANUFACTURER
from consumers.dicom.identity import identity
from consumers.dicom.plan import ObjectKind, Plan
from consumers.dicom.prior import Prior
from schemas.events import InferenceResult

REPORTS: Final = (ObjectKind.SR, ObjectKind.SR_2D)


def has_predecessor(result: InferenceResult, plan: Plan) -> bool:
    """Whether a destination may have an earlier report that this result's report replaces."""
    return result.revision > 1 and not plan.kinds.isdisjoint(REPORTS)


def predecessor(result: InferenceResult, plan: Plan, source: Dataset, reports: Iterable[Dataset]) -> Prior | None:
    """Latest report of the same model about the same series that is earlier than a result.

    Parameters
    ----------
    result
        A revision after the first.
    plan
        What is made of it.
    source
        Prepared header of a source image, from which identities follow.
    reports
        Headers of all structured reports of the study, in any order.
    """
    ours = {str(report.SOPInstanceUID): report for report in reports if _is_of(result, report)}
    for uid, report in ours.items():
        named = _named(report)
        if uid in _own_uids(result, plan, source, named):
            return named
    # the report has the time of its result in milliseconds
    limit = result.occurred_at - timedelta(microseconds=result.occurred_at.microsecond % 1000)
    before = [
        (moment, _prior(report))
        for report in ours.values()
        if (moment := _moment(report)) is not None and moment < limit
    ]
    return (
        max(before, key=lambda item: (item[0], item[1].sop_class_uid, item[1].sop_instance_uid))[1]
        if before
        else None
    )


def _own_uids(result: InferenceResult, plan: Plan, source: Dataset, prior: Prior | None) -> Iterator[str]:
    for kind in REPORTS:
        if kind in plan.kinds:
            yield identity(result, kind, source, plan.language, prior).sop_instance_uid


def _is_of(result: InferenceResult, report: Dataset) -> bool:
    """Whether a report is ours, of the result's model, and about its series."""
    if str(report.get("Manufacturer")) != MANUFACTURER:
        return False
    if str(report.get("ManufacturerModelName")) != result.model.name[:64].strip():
        return False
    return result.series_instance_uid in {
        str(series.get("SeriesInstanceUID"))
        for study in report.get("CurrentRequestedProcedureEvidenceSequence") or ()
        for series in study.get("ReferencedSeriesSequence") or ()
    }


def _prior(report: Dataset) -> Prior:
    return Prior(
        str(report.StudyInstanceUID),
        str(report.SeriesInstanceUID),
        str(report.SOPClassUID),
        str(report.SOPInstanceUID),
    )


def _named(report: Dataset) -> Prior | None:
    """Report that a report says it replaces (:func:`consumers.dicom.prior.predecessors`)."""
    for study in report.get("PredecessorDocumentsSequence") or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            for item in series.get("ReferencedSOPSequence") or ():
                return Prior(
                    str(study.get("StudyInstanceUID")),
                    str(series.get("SeriesInstanceUID")),
                    str(item.get("ReferencedSOPClassUID")),
                    str(item.get("ReferencedSOPInstanceUID")),
                )
    return None


def _moment(report: Dataset) -> datetime | None:
    """When a report of ours was made; ``None`` where the PACS does not say it as we did."""
    written = [report.get(keyword, "") for keyword in ("InstanceCreationDate", "InstanceCreationTime")]
    text = f"{written[0]}{written[1]}{report.get('TimezoneOffsetFromUTC', '+0000')}"
    for pattern in ("%Y%m%d%H%M%S.%f%z", "%Y%m%d%H%M%S%z"):
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007 - both patterns have %z
        except ValueError:
            continue
    return None
