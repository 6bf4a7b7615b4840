"""The report that an earlier revision of a study left at a destination → a reference to it in the new one."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset


@dataclass(frozen=True)
class Prior:
    """A structured report that a new one takes the place of; UIDs as the destination knows them."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


def predecessors(prior: Prior) -> list[Dataset]:
    """Items of Predecessor Documents Sequence (0040,A360) (PS3.3 C.17.2), which says what a report replaces."""
    instance = Dataset()
    instance.ReferencedSOPClassUID = prior.sop_class_uid
    instance.ReferencedSOPInstanceUID = prior.sop_instance_uid
    series = Dataset()
    series.SeriesInstanceUID = prior.series_instance_uid
    series.ReferencedSOPSequence = [instance]
    study = Dataset()
    study.StudyInstanceUID = prior.study_instance_uid
    study.ReferencedSeriesSequence = [series]
    return [study]
