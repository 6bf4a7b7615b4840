"""Objects to store: small ones of known UIDs, and all that is rendered of a generated case."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from consumers.dicom.plan import Plan, plan_of
from consumers.dicom.render import RenderedObject, render
from producers.claim_check import NotHeld
from schemas.events import Artifact
from schemas.terminology import Language
from tests.consumers.generated import Case, image

ALL = plan_of("all", Language.ENGLISH)

_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_SR = "1.2.840.10008.5.1.4.1.1.88.34"


def data_set(item: RenderedObject) -> Dataset:
    """What an object says."""
    return pydicom.dcmread(io.BytesIO(item.data))


def changed(item: RenderedObject, change: Callable[[Dataset], object]) -> RenderedObject:
    """An object of the same UIDs with another content."""
    dataset = copy.deepcopy(data_set(item))
    change(dataset)
    return replace(item, data=encoded(dataset))


def encoded(dataset: Dataset) -> bytes:
    """DICOM file of a data set."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _small(sop_class: str, series: str, sop: str) -> RenderedObject:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, sop
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.1", series
    dataset.PatientName, dataset.PatientID = "Ґалаґан^Євгенія", "4711"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    if sop_class == _SEG:
        dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 1000, 1000, 2
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        dataset.PixelData = bytes(2_000_000)
    else:
        item = Dataset()
        item.ValueType, item.TextValue = "TEXT", "найдено"
        dataset.ContentSequence = [item]
    return RenderedObject(sop_class, "1.1", series, sop, encoded(dataset))


#: A large object and a small one of one study.
SEG = _small(_SEG, "1.2", "1.3")
SR = _small(_SR, "1.4", "1.5")


def of(case: Case, plan: Plan = ALL) -> tuple[RenderedObject, ...]:
    """Everything that a plan makes of a case."""
    return render(case.result, case.material(), plan)


class CaseSource:
    """A case's gateway; instances in ``gone`` are held no more."""

    def __init__(self, case: Case, gone: Sequence[str] = ()) -> None:
        self._packed = dict(case.packed)
        self._headers = {str(header.SOPInstanceUID): header for header in case.headers}
        self._gone = frozenset(gone)

    def fetch_headers(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        return [self._headers[self._here(uid)] for uid in sop_instance_uids]

    def fetch_series(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        return [image(self._here(uid)) for uid in sop_instance_uids]

    def get_artifact(self, artifact: Artifact) -> bytes:
        return self._packed[artifact.retrieve_url]

    def _here(self, uid: str) -> str:
        if uid in self._gone:
            raise NotHeld(f"{uid} is missing")
        return uid


def renamed(case: Case, name: str, study: str) -> Case:
    """The same case of another patient and study."""
    headers = []
    for original in case.headers:
        header = copy.deepcopy(original)
        header.SpecificCharacterSet = "ISO_IR 192"
        header.PatientName, header.StudyInstanceUID = name, study
        headers.append(header)
    findings = tuple(replace(finding, study_instance_uid=study) for finding in case.result.findings)
    result = replace(case.result, study_instance_uid=study, findings=findings)
    return replace(case, result=result, headers=tuple(headers))
