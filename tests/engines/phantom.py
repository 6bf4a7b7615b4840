"""DICOM series made of numbers: any orientation, spacing and content, with correct geometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from engines.base import Volume32
from engines.config_pbtxt import ModelConfig, TensorSpec
from engines.input_policy import InputPolicy
from engines.metadata import ModelMetadata, read
from engines.model import Model
from engines.model_info import ModelInfo
from engines.repository import RELEASED
from schemas import ids

FOLDER = RELEASED / "mri-brain-segmentation"


def series(
    voxels: NDArray[Any],
    *,
    row: tuple[float, float, float] = (1, 0, 0),
    column: tuple[float, float, float] = (0, 1, 0),
    spacing_mm: tuple[float, float, float] = (1, 1, 1),
    origin: tuple[float, float, float] = (-50, -60, -70),
    name: str = "series",
) -> list[Dataset]:
    """Images of a volume (slices, rows, columns), the first slice at the lowest place along the normal."""
    along_row, along_column = np.array(row, float), np.array(column, float)
    normal = np.cross(along_row, along_column)
    images = []
    for index, plane in enumerate(np.asarray(voxels)):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = MRImageStorage
        image.StudyInstanceUID = ids.dicom_uid("study", name)
        image.SeriesInstanceUID = ids.dicom_uid("series", name)
        image.SOPInstanceUID = ids.dicom_uid("image", name, index)
        image.Modality = "MR"
        image.ScanningSequence = "GR"
        image.RepetitionTime, image.EchoTime = 10, 4
        image.SliceThickness = 99  # nominal and wrong on purpose: positions decide
        image.ImageOrientationPatient = [float(f"{value:.8f}") for value in (*along_row, *along_column)]
        place = np.array(origin) + normal * spacing_mm[0] * index
        image.ImagePositionPatient = [float(f"{value:.6f}") for value in place]
        image.PixelSpacing = [spacing_mm[1], spacing_mm[2]]
        image.Rows, image.Columns = plane.shape
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.PixelData = np.ascontiguousarray(plane, "<i2").tobytes()
        images.append(image)
    return images


def policy(**changes: Any) -> InputPolicy:
    """Input policy of the released brain model, changed."""
    return read(FOLDER / "metadata.json", ModelMetadata).input.model_copy(update=changes)


class FunctionEngine:
    """Engine that computes its output with a function of the grid (x, y, z): geometry can be tested exactly."""

    def __init__(self, grid: tuple[int, int, int], function: Callable[[Volume32], Volume32]) -> None:
        self._dims = (1, *grid, 1)
        self._function = function
        self.seen: Volume32 | None = None

    @classmethod
    def is_available(cls) -> bool:
        return True

    def identity(self) -> str:
        return "function"

    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("in", "float32", self._dims),)

    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("out", "float32", self._dims),)

    def infer(self, tensors: Any) -> dict[str, NDArray[Any]]:
        self.seen = tensors["in"].reshape(self._dims[1:4])
        return {"out": self._function(self.seen).reshape(self._dims)}


def model_of(
    grid: tuple[int, int, int] = (128, 128, 128), function: Callable[[Volume32], Volume32] = lambda grid: grid
) -> tuple[Model, FunctionEngine]:
    """A model with the released metadata and an engine that is a function."""
    engine = FunctionEngine(grid, function)
    config = ModelConfig("function", "onnxruntime_onnx", 0, engine.inputs(), engine.outputs())
    metadata = read(FOLDER / "metadata.json", ModelMetadata)
    return Model(read(FOLDER / "model_info.json", ModelInfo), metadata, config, engine), engine
