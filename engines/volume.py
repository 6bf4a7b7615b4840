"""DICOM images of one series → one volume with its place in the patient.

Slices are sorted along the normal of the image plane by Image Position (Patient) (PS3.3 C.7.6.2.1.1), never by
number or file name; values are modality units (PS3.3 C.11.1). Guarantee: a set of images that is no regular volume
is refused with the image and the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from engines.base import Volume32
from engines.pixels import modality_values
from schemas.errors import InvalidInput

Matrix = NDArray[np.float64]

#: Direction cosines are written with six digits or so; one part in a thousand is 0.06 degrees.
ORIENTATION_TOLERANCE: Final = 1e-3
#: Two slices closer than this, in mm, are the same place.
SAME_PLACE_MM: Final = 0.01
#: Distances between slices may differ from their median by this share (rounded positions); more is said ...
UNEVEN_SHARE: Final = 0.05
#: ... and beyond this one a slice is missing.
GAP_SHARE: Final = 0.5


@dataclass(frozen=True)
class Volume:
    """A regular grid in the patient.

    Attributes
    ----------
    voxels
        Modality units, float32, shape (slices, rows, columns).
    affine
        4 × 4: (slice, row, column, 1) → patient coordinates in mm (LPS, PS3.3 C.7.6.2.1.1).
    sop_instance_uids
        Source images in the order of the first axis.
    warnings
        What a reader of the result should know.
    """

    voxels: Volume32
    affine: Matrix
    sop_instance_uids: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along slices, rows and columns, in mm."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL, from the positions of the slices and not from their nominal thickness."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000


def read_volume(images: Sequence[Dataset], minimum_slices: int) -> Volume:
    """Volume of the images of one series.

    Parameters
    ----------
    images
        One single-frame image per slice, in any order.
    minimum_slices
        Fewer are refused.

    Raises
    ------
    InvalidInput
        The images are too few, in colour, of different size or orientation, at the same place, unevenly spaced,
        or cannot be decoded; the message names the image.
    """
    if len(images) < minimum_slices:
        raise InvalidInput(
            f"the series has {len(images)} images and the model needs at least {minimum_slices}: "
            "send the whole series"
        )
    first = images[0]
    for image in images:
        _check_alike(first, image)
    axes = _in_plane_axes(first)
    normal = np.cross(axes[:, 1], axes[:, 0])
    places = np.array([_numbers(image, "ImagePositionPatient", 3) for image in images])
    along = places @ normal
    order = np.argsort(along, kind="stable")
    ordered = [images[index] for index in order]
    warnings = _spacing_warnings(ordered, along[order])
    affine = np.eye(4)
    affine[:3, 0] = _slice_step(places[order])
    affine[:3, 1:3] = axes * _numbers(first, "PixelSpacing", 2)
    affine[:3, 3] = places[order[0]]
    warnings += _shear_warnings(affine, normal)
    voxels = np.empty((len(ordered), int(first.Rows), int(first.Columns)), np.float32)
    for index, image in enumerate(ordered):
        voxels[index] = modality_values(image)
    return Volume(voxels, affine, tuple(str(image.SOPInstanceUID) for image in ordered), warnings)


def _check_alike(first: Dataset, image: Dataset) -> None:
    for keyword in ("SOPInstanceUID", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient"):
        if image.get(keyword) in (None, "", []):
            raise InvalidInput(f"image {_name(image)} has no {keyword}: the model needs cross-sectional images")
    if image.get("SeriesInstanceUID") != first.get("SeriesInstanceUID"):
        raise InvalidInput(f"image {_name(image)} belongs to another series: send one series at a time")
    if int(image.get("SamplesPerPixel", 1)) != 1:
        raise InvalidInput(f"image {_name(image)} is in colour: the model needs grey values")
    if int(image.get("NumberOfFrames") or 1) != 1:
        raise InvalidInput(f"image {_name(image)} is multi-frame: the model needs one image per slice")
    if (image.Rows, image.Columns) != (first.Rows, first.Columns):
        raise InvalidInput(
            f"image {_name(image)} has {image.Rows} × {image.Columns} pixels "
            f"and the first one {first.Rows} × {first.Columns}: "
            "send a series of images of one size"
        )
    for keyword, length in (("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        here, there = _numbers(image, keyword, length), _numbers(first, keyword, length)
        if not np.allclose(here, there, rtol=0, atol=ORIENTATION_TOLERANCE):
            raise InvalidInput(
                f"image {_name(image)} differs in {keyword} from the first one: send a series of parallel slices"
            )


def _in_plane_axes(image: Dataset) -> Matrix:
    """Unit vectors, as columns, towards the next row and the next column (PS3.3 C.7.6.2.1.1)."""
    cosines = _numbers(image, "ImageOrientationPatient", 6)
    along_row, along_column = cosines[:3], cosines[3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if not np.allclose(lengths, 1, atol=0.01) or abs(float(along_row @ along_column)) > 0.01:
        raise InvalidInput(
            f"image {_name(image)} has an ImageOrientationPatient that is not two perpendicular unit vectors"
        )
    if (_numbers(image, "PixelSpacing", 2) <= 0).any():
        raise InvalidInput(f"image {_name(image)} has a PixelSpacing that is not positive")
    return np.column_stack([along_column / lengths[1], along_row / lengths[0]])


def _slice_step(places: Matrix) -> NDArray[np.float64]:
    """Vector from one slice to the next: least squares over all positions, which evens out rounding."""
    index = np.arange(len(places)) - (len(places) - 1) / 2
    return index @ places / (index @ index)


def _spacing_warnings(images: list[Dataset], along: NDArray[np.float64]) -> tuple[str, ...]:
    steps = np.diff(along)
    if (steps < SAME_PLACE_MM).any():
        index = int(np.argmin(steps))
        raise InvalidInput(
            f"images {_name(images[index])} and {_name(images[index + 1])} are at the same place: "
            "send one image per slice (one echo, one phase)"
        )
    median = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - median)))
    share = abs(float(steps[worst]) - median) / median
    between = f"{steps[worst]:.2f} mm between {_name(images[worst])} and {_name(images[worst + 1])}"
    if share > GAP_SHARE:
        raise InvalidInput(f"slices are {median:.2f} mm apart but {between}: send the missing slices")
    if share > UNEVEN_SHARE:
        return (f"Slices are unevenly spaced: {median:.2f} mm, but {between}.",)
    return ()


def _shear_warnings(affine: Matrix, normal: NDArray[np.float64]) -> tuple[str, ...]:
    step = affine[:3, 0]
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt > 60:
        raise InvalidInput(f"slices lie {tilt:.0f} degrees off a stack: send a series of parallel stacked slices")
    return (f"Slices are sheared by {tilt:.0f} degrees (gantry tilt).",) if tilt > 5 else ()


def _numbers(image: Dataset, keyword: str, length: int) -> NDArray[np.float64]:
    try:
        values = np.array([float(value) for value in image[keyword].value], np.float64)
    except (KeyError, TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (length,) or not np.isfinite(values).all():
        raise InvalidInput(f"image {_name(image)} has no usable {keyword}: the model needs {length} numbers there")
    return values


def _name(image: Dataset) -> str:
    return str(image.get("SOPInstanceUID", "without SOPInstanceUID"))
