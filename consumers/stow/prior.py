"""Reports that a PACS has of a study → the one that a new revision's report takes the place of. Pure.

Guarantee: the same answer for every delivery of a result, so that its report has the same UIDs each time. A report
that was already delivered is recognized by its own UID and is never its own predecessor; reports of later
revisions are later, and are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Final

from pydicom import Dataset

from consumers.dicom.equipment import MANUFACTURER
from consumers.dicom.plan import ObjectKind, Plan
from consumers.dicom.prior import Prior
from schemas.events import InferenceResult

REPORTS: Final = (ObjectKind.SR, ObjectKind.SR_2D)


def has_predecessor(result: InferenceResult, plan: Plan) -> bool:
    """Whether a destination may have an earlier report that this result's report replaces."""
    return result.revision > 1 and not plan.kinds.isdisjoint(REPORTS)


def predecessor(
    result: InferenceResult, reports: Iterable[Dataset], made_with: Callable[[Prior | None], Collection[str]]
) -> Prior | None:
    """Latest report of the same model about the same series that is earlier than a result.

    Parameters
    ----------
    result
        A revision after the first.
    reports
        Headers of all structured reports of the study, in any order.
    made_with
        SOP Instance UIDs of the result's reports when they name this predecessor. Asked only about those that
        reports on the same images name.
    """
    ours = {str(report.SOPInstanceUID): report for report in reports if _is_of(result, report)}
    same = {uid: _named(report) for uid, report in ours.items() if _images(result, report) == _all_images(result)}
    for named in dict.fromkeys(same.values()):
        own = made_with(named)
        if any(uid in own for uid, name in same.items() if name == named):
            return named
    # the report has the time of its result in milliseconds
    limit = result.occurred_at - timedelta(microseconds=result.occurred_at.microsecond % 1000)
    before = [
        (moment, str(report.SOPClassUID), uid)
        for uid, report in ours.items()
        if (moment := _moment(report)) is not None and moment < limit
    ]
    return _prior(ours[max(before)[2]]) if before else None


def _is_of(result: InferenceResult, report: Dataset) -> bool:
    """Whether a report is ours, of the result's model, and about its series."""
    if str(report.get("Manufacturer")) != MANUFACTURER:
        return False
    if str(report.get("ManufacturerModelName")) != result.model.name[:64].strip():
        return False
    return bool(_images(result, report))


def _images(result: InferenceResult, report: Dataset) -> frozenset[str]:
    """Images of the result's series that a report lists as evidence (0040,A375)."""
    return frozenset(
        str(item.get("ReferencedSOPInstanceUID"))
        for study in report.get("CurrentRequestedProcedureEvidenceSequence") or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        if str(series.get("SeriesInstanceUID")) == result.series_instance_uid
        for item in series.get("ReferencedSOPSequence") or ()
    )


def _all_images(result: InferenceResult) -> frozenset[str]:
    return frozenset(result.sop_instance_uids)


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
