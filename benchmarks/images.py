"""Synthetic CT slices as encoded data sets, of the two sizes that the benchmarks send."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage

Size = Literal["ct", "small"]

#: Pixels per side: 512 gives 525 kB, 70 gives 10 kB.
_SIDE: Final = {"ct": 512, "small": 70}
_ROOT: Final = "1.2.826.0.1.3680043.8.498"
#: Written anew for each instance: five digits of the sender, nine of the number, no leading zero.
_TAIL: Final = "00000000000000"


@dataclass(frozen=True)
class Image:
    """One encoded data set (Explicit VR Little Endian, without Part 10 header) and its UIDs."""

    data_set: bytes
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@cache
def image(size: Size) -> Image:
    """A 16 bit CT slice of 512 × 512 (525 kB), or of 70 × 70 pixels (10 kB); noise, so that nothing compresses."""
    side = _SIDE[size]
    study, series, instance = (f"{_ROOT}.{number}{_TAIL}" for number in (1, 2, 3))
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, instance
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20261122"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "093000"
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = "A1", "CT", "Phantom"
    ds.ReferringPhysicianName, ds.StudyDescription, ds.SeriesDescription = "", "CT of a phantom", "Ax 1.0"
    ds.InstitutionName, ds.StationName, ds.ManufacturerModelName = "Bench", "CT1", "Generator"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Bench^Phantom", "P1", "19700101", "O"
    ds.BodyPartExamined, ds.SliceThickness, ds.KVP = "CHEST", 1, 120
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", 1, 1, 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-200, -200, 0], [1, 0, 0, 0, 1, 0]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{_ROOT}.4.1", ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = side
    ds.PixelSpacing = [0.78125, 0.78125]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope = -1024, 1
    ds.PixelData = np.random.default_rng(22112026).integers(0, 4096, (side, side), dtype=np.uint16).tobytes()
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return Image(buffer.getvalue(), CTImageStorage, study, series, instance)
