"""Small MR studies made for tests and benchmarks: a bright ellipsoid in a dark box, with real DICOM geometry."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

ROOT = "1.2.826.0.1.3680043.8.498.77"


def small_study(
    number: int | str,
    slices: int = 8,
    size: int = 64,
    patient_name: str = "Ґудзь^Євгенія",
    modality: str = "MR",
) -> list[Dataset]:
    """One axial series of ``slices`` images of ``size`` × ``size``, 3 mm pixels, 18 mm apart.

    The UIDs follow from ``number``: the same number is the same study, byte for byte.
    """
    study = f"{ROOT}.{number}"
    return [_slice(study, index, slices, size, patient_name, modality) for index in range(slices)]


def _slice(study: str, index: int, slices: int, size: int, patient_name: str, modality: str) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = f"{study}.1.{index + 1}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = Dataset()
    image.file_meta = meta
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = study
    image.SeriesInstanceUID = f"{study}.1"
    image.FrameOfReferenceUID = f"{study}.2"
    image.PatientName = patient_name
    image.PatientID = f"P-{study.rpartition('.')[2]}"
    image.PatientBirthDate = "19700101"
    image.PatientSex = "F"
    image.StudyDate, image.StudyTime = "20261122", "093000"
    image.StudyID = "1"
    image.AccessionNumber = f"A{study.rpartition('.')[2]}"[:16]
    image.ReferringPhysicianName = ""
    image.StudyDescription = "МРТ головного мозку"
    image.SeriesDescription = "Ax T1"
    image.Modality = modality
    image.Manufacturer = "Phantom"
    image.SeriesNumber = 1
    image.InstanceNumber = index + 1
    image.BodyPartExamined = "HEAD"
    image.PositionReferenceIndicator = ""
    image.PatientPosition = "HFS"
    image.ScanningSequence, image.SequenceVariant, image.ScanOptions = "SE", "NONE", ""
    image.MRAcquisitionType, image.EchoTime, image.EchoTrainLength = "2D", 10, 1
    image.RepetitionTime = 500
    image.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    image.SliceThickness = 18
    image.PixelSpacing = [3.0, 3.0]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [-1.5 * size, -1.5 * size, 18.0 * index]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows = image.Columns = size
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelData = _pixels(index, slices, size).tobytes()
    return image


def _pixels(index: int, slices: int, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint16]]:
    y, x = np.mgrid[0:size, 0:size]
    across = ((x - size / 2) / (0.38 * size)) ** 2 + ((y - size / 2) / (0.42 * size)) ** 2
    inside = across + ((index - (slices - 1) / 2) / (0.55 * slices)) ** 2 < 1
    return np.where(inside, 800, 40).astype(np.uint16)


def encoded(image: Dataset) -> bytes:
    """Part 10 file of an image."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, image, enforce_file_format=True)
    return buffer.getvalue()


def write(study: list[Dataset], folder: Path) -> list[Path]:
    """Files of a study in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04d}.dcm" for index in range(len(study))]
    for image, path in zip(study, paths, strict=True):
        path.write_bytes(encoded(image))
    return paths
