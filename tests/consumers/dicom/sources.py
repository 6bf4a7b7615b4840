"""Source images of every sort that builders meet, each with one finding in a box: colour, frames, compression."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLosslessSV1, RLELossless

from consumers.dicom.material import Material
from consumers.dicom.source import prepare
from schemas.events import InferenceResult, Location, LocationKind
from schemas.ids import dicom_uid
from tests.consumers.results import headers, result_with_findings

ROWS, COLUMNS = 96, 128
BOX = (20.0, 10.0, 60.0, 50.0)

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
ULTRASOUND_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"
DIGITAL_X_RAY = "1.2.840.10008.5.1.4.1.1.1.1"


def ramp(columns: int = COLUMNS, rows: int = ROWS) -> np.ndarray:
    """Dark on the left, bright on the right: 0 to 254."""
    return np.repeat((np.arange(columns) * 2)[np.newaxis], rows, axis=0)


def image(sop_class_uid: str, pixels: np.ndarray, **attributes: object) -> Dataset:
    """A small image of the demonstration patient with these stored values, and no geometry."""
    patient = headers()[0]
    made = Dataset()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID"):
        made[keyword] = patient[keyword]
    made.StudyDate, made.StudyTime = "20260301", "120000"
    made.AccessionNumber = made.ReferringPhysicianName = ""
    made.SOPClassUID = sop_class_uid
    made.SOPInstanceUID = dicom_uid("image", sop_class_uid, str(pixels.shape), str(sorted(attributes.items())))
    made.SeriesInstanceUID = dicom_uid("series", made.SOPInstanceUID)
    made.Modality, made.SeriesNumber, made.InstanceNumber = "US", 7, 1
    colour = pixels.shape[-1] == 3
    frames = pixels.ndim - (3 if colour else 2)
    made.Rows, made.Columns = (int(size) for size in pixels.shape[frames : frames + 2])
    if frames:
        made.NumberOfFrames = pixels.shape[0]
    made.SamplesPerPixel = 3 if colour else 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OB" if made.BitsAllocated == 8 else "OW"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def compressed(made: Dataset, transfer_syntax_uid: str) -> Dataset:
    """The image in RLE or JPEG baseline; in JPEG lossless, which no codec here decodes, with bytes of nothing."""
    if transfer_syntax_uid == RLELossless:
        made.compress(RLELossless)
        return made
    if transfer_syntax_uid == JPEGBaseline8Bit:
        buffer = io.BytesIO()
        Image.fromarray(made.pixel_array).save(buffer, "JPEG", quality=95)
        data = buffer.getvalue()
    else:
        data = b"\xff\xd8 no image \xff\xd9"
    made.PixelData = encapsulate([data])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return made


def gray() -> Dataset:
    return image(DIGITAL_X_RAY, ramp().astype(np.uint8))


SOURCES: dict[str, Callable[[], Dataset]] = {
    "gray": gray,
    "inverted": lambda: image(DIGITAL_X_RAY, ramp().astype(np.uint8), PhotometricInterpretation="MONOCHROME1"),
    "signed, rescaled": lambda: image(
        DIGITAL_X_RAY,
        (ramp() * 8 - 1024).astype(np.int16),
        RescaleSlope="0.5",
        RescaleIntercept="100",
        WindowCenter=["96", "40"],
        WindowWidth=["1016", "400"],
    ),
    "colour": lambda: image(ULTRASOUND, np.stack([ramp(), ramp() * 0, 254 - ramp()], axis=-1).astype(np.uint8)),
    "frames": lambda: image(
        ULTRASOUND_MULTI_FRAME, np.stack([ramp() * 0, ramp(), ramp()[:, ::-1]]).astype(np.uint8)
    ),
    "RLE": lambda: compressed(gray(), RLELossless),
    "JPEG": lambda: compressed(gray(), JPEGBaseline8Bit),
    "not square": lambda: image(DIGITAL_X_RAY, ramp().astype(np.uint8), PixelSpacing=["0.5", "0.25"]),
}


def without(source: Dataset, keyword: str) -> Dataset:
    del source[keyword]
    return source


def broken() -> Dataset:
    source = compressed(gray(), JPEGBaseline8Bit)
    source.PixelData = encapsulate([b"\xff\xd8\xff broken \xff\xd9"])
    return source


UNDECODABLE: dict[str, Callable[[], Dataset]] = {
    "no codec": lambda: compressed(gray(), JPEGLosslessSV1),
    "broken": broken,
    "no pixel data": lambda: without(gray(), "PixelData"),
    "cut off": lambda: image(DIGITAL_X_RAY, ramp().astype(np.uint8), PixelData=b"\0" * 100),
}


def about(source: Dataset, frame: int | None = None) -> tuple[InferenceResult, Material]:
    """A result with one box on this image, and its material."""
    uid = str(source.SOPInstanceUID)
    base = result_with_findings()
    box = Location(LocationKind.BOX, BOX, sop_instance_uid=uid, frame_number=frame)
    found = replace(
        base.findings[0],
        series_instance_uid=str(source.SeriesInstanceUID),
        locations=(box,),
        segment_number=None,
    )
    result = replace(
        base,
        series_instance_uid=str(source.SeriesInstanceUID),
        sop_instance_uids=(uid,),
        findings=(found,),
    )
    header = copy.deepcopy(source)
    header.pop("PixelData", None)
    return result, Material(prepare(result, [header]), lambda asked: {uid: source}[asked])
