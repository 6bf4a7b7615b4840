"""One rendering of an invented image, so that the first real result is not the one that loads highdicom's tables.

The tables cost about half a second once per process; a writer pays it before it says that it is ready.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from consumers.dicom.material import Material
from consumers.dicom.plan import Plan
from consumers.dicom.render import render
from consumers.dicom.source import prepare
from schemas.events import (
    Category,
    Code,
    Finding,
    InferenceResult,
    Measurement,
    ModelIdentity,
    ResultOutcome,
)
from schemas.ids import dicom_uid
from schemas.topics import Priority

_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
_SIZE = 8
_SLICES = 2
_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)
_BRAIN = Code("12738006", "SCT", "Brain")


def warm_up(plan: Plan) -> None:
    """Render an invented result of two slices as a destination will want it; nothing leaves the process."""
    images = {_uid(index): _image(index) for index in range(_SLICES)}
    mask = np.ones((_SLICES, _SIZE, _SIZE), dtype=np.bool_)
    result = _result(tuple(images))
    render(result, Material(prepare(result, images.values()), images.__getitem__, masks=[mask]), plan)


def _uid(part: str | int) -> str:
    return dicom_uid("warm-up", part)


def _image(index: int) -> Dataset:
    image = Dataset()
    image.SOPClassUID = _MR_IMAGE_STORAGE
    image.SOPInstanceUID = _uid(index)
    image.StudyInstanceUID = _uid("study")
    image.SeriesInstanceUID = _uid("series")
    image.FrameOfReferenceUID = _uid("frame")
    image.Modality = "MR"
    image.Manufacturer = "none"
    image.Rows = image.Columns = _SIZE
    image.PixelSpacing = [1, 1]
    image.SliceThickness = 1
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [0, 0, index]
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 0
    image.PixelData = np.arange(_SIZE * _SIZE, dtype="<u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def _result(sop_instance_uids: tuple[str, ...]) -> InferenceResult:
    finding = Finding(
        event_id="warm-up",
        occurred_at=_MOMENT,
        finding_id="warm-up",
        finding_type="brain-volume",
        task_id="warm-up",
        study_instance_uid=_uid("study"),
        series_instance_uid=_uid("series"),
        revision=1,
        code=_BRAIN,
        category=Category.ROUTINE,
        tracking_id="warm-up",
        tracking_uid=_uid("tracking"),
        measurements=(Measurement(Code("118565006", "SCT", "Volume"), 1.0, Code("mL", "UCUM", "mL")),),
        site=_BRAIN,
        segment_number=1,
    )
    return InferenceResult(
        event_id="warm-up",
        occurred_at=_MOMENT,
        task_id="warm-up",
        study_instance_uid=_uid("study"),
        series_instance_uid=_uid("series"),
        revision=1,
        priority=Priority.P4_ROUTINE,
        outcome=ResultOutcome.FINDINGS,
        model=ModelIdentity("warm-up", "0", "0" * 64, "none", _uid("device"), "none"),
        task_created_at=_MOMENT,
        deadline=_MOMENT,
        node="none",
        attempt=1,
        retrieve_url="",
        sop_instance_uids=sop_instance_uids,
        findings=(finding,),
    )
