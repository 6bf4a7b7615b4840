"""Small DICOM objects and requests for the tests of the DICOMweb service."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from producers.dicomweb.multipart import closing, part_head

REPOSITORY = Path(__file__).parents[3]
MALFORMED = REPOSITORY / "tests/data/malformed/stray-group-0000-and-trailing-bytes.dcm"
DEMONSTRATION = sorted((REPOSITORY / "dashboards/demo/data/mr-brain").glob("*.dcm"))

STOW_TYPE = 'multipart/related; type="application/dicom"; boundary=b0undary'


def mr_image(
    study: str | None = None, series: str | None = None, *, name: str = "Test^Patient", charset: str = "ISO_IR 192"
) -> Dataset:
    """MR image of 8 x 6 voxels with two frames' worth of recognisable values."""
    image = Dataset()
    image.SpecificCharacterSet = charset
    image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = generate_uid()
    image.StudyDate = "20240131"
    image.StudyTime = "123456"
    image.AccessionNumber = "A-17"
    image.Modality = "MR"
    image.ReferringPhysicianName = ""
    image.StudyDescription = "Brain"
    image.PatientName = name
    image.PatientID = "P-1"
    image.PatientBirthDate = ""
    image.PatientSex = "F"
    image.StudyInstanceUID = study or generate_uid()
    image.SeriesInstanceUID = series or generate_uid()
    image.StudyID = ""
    image.SeriesNumber = 3
    image.InstanceNumber = 1
    image.ImagePositionPatient = [-110.5, 0.1, 12]
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = 8, 6
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 0
    image.PixelData = np.arange(48, dtype="<u2").tobytes()
    image["PixelData"].VR = "OW"
    image.preamble = bytes(128)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def part10(data_set: Dataset) -> bytes:
    buffer = BytesIO()
    data_set.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def data_set_bytes(file: bytes) -> bytes:
    """What follows the File Meta Information."""
    meta = dcmread(BytesIO(file), stop_before_pixels=True).file_meta
    start = 132 + 12 + meta.FileMetaInformationGroupLength
    return file[start:]


def stow_body(files: Sequence[bytes], content_type: str = "application/dicom") -> bytes:
    head = part_head("b0undary", {"Content-Type": content_type})
    return b"".join(head + file for file in files) + closing("b0undary")
