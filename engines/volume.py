"""DICOM images of one series → one volume with its place in the patient.

Slices are sorted along the normal of the image plane by Image Position (Patient) (PS3.3 C.7.6.2.1.1), never by
number or file name. Pixels are decoded when they are asked for, slice by slice. Guarantee: a set of images that is
no regular volume is refused with the image and the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from engines.frames import Frame, frames_of, without_localizers
from engines.input_policy import InputPolicy
from engines.pixels import is_colour
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
#: Gantry tilt from this angle on is said.
TILT_DEGREES: Final = 5.0


@dataclass(frozen=True)
class Volume:
    """A regular grid in the patient, or with ``affine`` ``None`` pictures in a row.

    Attributes
    ----------
    frames
        In the order of the grid's first axis.
    affine
        4 × 4: (slice, row, column, 1) → patient coordinates in mm (LPS, PS3.3 C.7.6.2.1.1).
    sop_instance_uids
        Source images in the order in which the arrays of a result hold them.
    places
        Position of each frame in that order: that of the file for the frames of a multi-frame image.
    warnings
        What a reader of the result should know about the images.
    """

    frames: tuple[Frame, ...]
    affine: Matrix | None
    sop_instance_uids: tuple[str, ...]
    places: tuple[int, ...]
    warnings: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return (len(self.frames), *self.frames[0].shape)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along slices, rows and columns, in mm."""
        lengths = np.linalg.norm(self.geometry[:3, :3], axis=0)
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL, from the positions of the slices and not from their nominal thickness."""
        return float(abs(np.linalg.det(self.geometry[:3, :3]))) / 1000

    @property
    def geometry(self) -> Matrix:
        """The affine.

        Raises
        ------
        InvalidInput
            The images were read without their place.
        """
        if self.affine is None:
            raise InvalidInput("the images have no place in the patient, which the model needs")
        return self.affine

    def in_source_order(self, array: NDArray[Any]) -> NDArray[Any]:
        """Array over the grid, its first axis as ``sop_instance_uids`` and their frames are ordered."""
        if self.places == tuple(range(len(self.places))):
            return array
        return array[np.argsort(np.array(self.places))]


def read_volume(images: Sequence[Dataset], policy: InputPolicy) -> Volume:
    """Volume of the images of one series; its pixels are not decoded yet.

    Parameters
    ----------
    images
        One image per slice, or multi-frame images, in any order.
    policy
        How many slices the model needs and takes, and whether colour is refused.

    Raises
    ------
    InvalidInput
        The images are too few or too many, in colour, of different size or orientation, at the same place,
        unevenly spaced or too much sheared; the message names the image.
    """
    frames, warnings = _read(images, policy)
    first = frames[0]
    for frame in frames:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
            if not frame.has(keyword):
                raise InvalidInput(f"{frame.name} has no {keyword}: the model needs cross-sectional images")
        _check_same_size(first, frame)
    _check_parallel(frames)
    axes = _in_plane_axes(first)
    normal = np.cross(axes[:, 1], axes[:, 0])
    places = np.array([frame.numbers("ImagePositionPatient", 3) for frame in frames])
    along = places @ normal
    order = np.argsort(along, kind="stable")
    ordered = [frames[index] for index in order]
    warnings += _spacing_warnings(ordered, along[order])
    affine = np.eye(4)
    affine[:3, 0] = _slice_step(places[order]) if len(frames) > 1 else normal * _thickness(first)
    affine[:3, 1:3] = axes * first.numbers("PixelSpacing", 2)
    affine[:3, 3] = places[order[0]]
    warnings += _shear_warnings(affine, normal, policy.maximum_shear_degrees)
    return _volume(ordered, affine, warnings)


def read_pictures(images: Sequence[Dataset], policy: InputPolicy) -> Volume:
    """Images of one series as pictures without a place, by Instance Number, then UID, then frame.

    Raises
    ------
    InvalidInput
        The images are too few or too many, or in colour where the model needs grey.
    """
    frames, warnings = _read(images, policy)
    ordered = sorted(
        frames,
        key=lambda frame: (frame.number_of("InstanceNumber") or 0, frame.sop_instance_uid, frame.index or 0),
    )
    return _volume(ordered, None, warnings)


def _read(images: Sequence[Dataset], policy: InputPolicy) -> tuple[list[Frame], tuple[str, ...]]:
    frames, warnings = without_localizers(frames_of(images, policy.maximum_slices))
    if len(frames) < policy.minimum_slices:
        raise InvalidInput(
            f"the series has {len(frames)} images and the model needs at least {policy.minimum_slices}: "
            "send the whole series"
        )
    for frame in frames:
        if policy.channels == "grey" and is_colour(frame):
            raise InvalidInput(f"{frame.name} is in colour: the model needs grey values")
    return frames, warnings


def _volume(ordered: list[Frame], affine: Matrix | None, warnings: tuple[str, ...]) -> Volume:
    """The order of a multi-frame image's frames is that of the file, whatever their places are."""
    uids = tuple(dict.fromkeys(frame.sop_instance_uid for frame in ordered))
    rank = {uid: index for index, uid in enumerate(uids)}
    in_file = sorted(
        range(len(ordered)), key=lambda at: (rank[ordered[at].sop_instance_uid], ordered[at].index or 0)
    )
    places = np.empty(len(ordered), np.intp)
    places[in_file] = np.arange(len(ordered))
    return Volume(tuple(ordered), affine, uids, tuple(int(place) for place in places), warnings)


def _check_same_size(first: Frame, frame: Frame) -> None:
    if frame.shape != first.shape:
        raise InvalidInput(
            f"{frame.name} has {frame.shape[0]} × {frame.shape[1]} pixels and the first one "
            f"{first.shape[0]} × {first.shape[1]}: send a series of images of one size"
        )


def _check_parallel(frames: Sequence[Frame]) -> None:
    for keyword, length in (("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        numbers = np.array([frame.numbers(keyword, length) for frame in frames])
        other = np.flatnonzero((np.abs(numbers - numbers[0]) > ORIENTATION_TOLERANCE).any(axis=1))
        if len(other):
            raise InvalidInput(
                f"{len(other)} of {len(frames)} images differ in {keyword} from the first one, such as "
                f"{frames[other[0]].name}: send a series of parallel slices"
            )


def _in_plane_axes(frame: Frame) -> Matrix:
    """Unit vectors, as columns, towards the next row and the next column (PS3.3 C.7.6.2.1.1)."""
    cosines = frame.numbers("ImageOrientationPatient", 6)
    along_row, along_column = cosines[:3], cosines[3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if not np.allclose(lengths, 1, atol=0.01) or abs(float(along_row @ along_column)) > 0.01:
        raise InvalidInput(
            f"{frame.name} has an ImageOrientationPatient of vectors not perpendicular or not of length 1"
        )
    if (frame.numbers("PixelSpacing", 2) <= 0).any():
        raise InvalidInput(f"{frame.name} has a PixelSpacing that is not positive")
    return np.column_stack([along_column / lengths[1], along_row / lengths[0]])


def _thickness(frame: Frame) -> float:
    """Distance to a next slice, if there were one, in mm."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        found = frame.number_of(keyword)
        if found is not None and found > 0:
            return found
    raise InvalidInput(f"{frame.name} is the only slice and has no SliceThickness: send it, or more slices")


def _slice_step(places: Matrix) -> NDArray[np.float64]:
    """Vector from one slice to the next: least squares over all positions, which evens out rounding."""
    index = np.arange(len(places)) - (len(places) - 1) / 2
    return index @ places / (index @ index)


def _spacing_warnings(frames: Sequence[Frame], along: NDArray[np.float64]) -> tuple[str, ...]:
    steps = np.diff(along)
    if not len(steps):
        return ()
    if (steps < SAME_PLACE_MM).any():
        index = int(np.argmin(steps))
        raise InvalidInput(
            f"{frames[index].name} and {frames[index + 1].name} are at the same place{_acquisitions(frames)}: "
            "send one image per slice (one acquisition, one echo, one phase)"
        )
    median = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - median)))
    share = abs(float(steps[worst]) - median) / median
    between = f"{steps[worst]:.2f} mm between {frames[worst].name} and {frames[worst + 1].name}"
    if share > GAP_SHARE:
        raise InvalidInput(
            f"slices are {median:.2f} mm apart but {between}{_acquisitions(frames)}: send the missing slices"
        )
    if share > UNEVEN_SHARE:
        return (f"Slices are unevenly spaced: {median:.2f} mm, but {between}.",)
    return ()


def _acquisitions(frames: Sequence[Frame]) -> str:
    """What is said where the series holds several acquisitions."""
    numbers = Counter(str(frame.value("AcquisitionNumber") or "") for frame in frames)
    numbers.pop("", None)
    if len(numbers) < 2:
        return ""
    return f"; the series holds {len(numbers)} acquisitions (AcquisitionNumber {', '.join(sorted(numbers))})"


def _shear_warnings(affine: Matrix, normal: NDArray[np.float64], limit: float) -> tuple[str, ...]:
    step = affine[:3, 0]
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt > limit:
        raise InvalidInput(
            f"slices are sheared by {tilt:.0f} degrees (gantry tilt) and the model takes at most {limit:g}: "
            "send a series that was reconstructed without tilt"
        )
    return (f"Slices are sheared by {tilt:.0f} degrees (gantry tilt).",) if tilt > TILT_DEGREES else ()
