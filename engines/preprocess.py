"""Images of one series → samples at the model's resolution, of which rows of the graph's input are cut.

A 3-D model has one sample, the volume; a 2-D model one for each frame, made when its turn comes. Guarantee: of the
decoded images only one frame is held at a time, so memory follows the model's grid and not the series.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from engines.input_policy import InputPolicy
from engines.normalise import Normaliser, Statistics, normaliser
from engines.pixels import colours, modality_values
from engines.placement import Placement, placed
from engines.resample import NATIVE, Orientation, orientation_of, resample, resample_slices
from engines.turned import contiguous
from engines.volume import Volume, read_pictures, read_volume
from schemas.errors import InvalidInput

Floats = NDArray[np.float32]

#: Something urgent is let in after so many decoded frames.
FRAMES_BETWEEN_STEPS: Final = 16

_PLANES: Final = ("sagittal", "coronal", "axial")
_SPACINGS: Final = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@dataclass(frozen=True)
class Series:
    """Images in their order, and how their axes become the model's."""

    volume: Volume
    orientation: Orientation
    policy: InputPolicy

    def plane_to_grid(self, plane: NDArray[np.float32]) -> Floats:
        """(rows, columns) or (rows, columns, channels) as x, y."""
        first, second, _ = self.orientation.axes
        turned = plane.transpose([first - 1, second - 1, *range(2, plane.ndim)])
        return turned[self._turn()]

    def plane_to_native(self, grid: Floats) -> Floats:
        """Undoes :meth:`plane_to_grid`."""
        first, second, _ = self.orientation.axes
        return grid[self._turn()].transpose([*np.argsort([first, second]), *range(2, grid.ndim)])

    def _turn(self) -> tuple[slice, slice]:
        x, y, _ = self.orientation.flipped
        return slice(None, None, -1 if x else None), slice(None, None, -1 if y else None)


@dataclass(frozen=True)
class Sample:
    """A volume, or one frame, at the model's resolution.

    Attributes
    ----------
    frame
        Index among the volume's frames; 0 for a volume.
    grid
        Modality units, or colours with three channels at the end; x, y (and z) first.
    placement
        Which windows of it are rows.
    normalise
        What is done to each window.
    """

    frame: int
    grid: Floats
    placement: Placement
    normalise: Normaliser

    def row(self, start: tuple[int, ...]) -> Floats:
        """One row of the graph's input: x, y (and z), channels."""
        inside, at = self.placement.inside(start)
        part = self.grid[inside]
        window = self.placement.window
        if part.shape[: len(window)] != window:
            fill = 0.0 if self.grid.ndim > len(window) else self.normalise.policy.fill
            padded = np.full((*window, *self.grid.shape[len(window) :]), fill, np.float32)
            padded[at] = part
            part = padded
        return self.normalise(part)


def read_series(images: Sequence[Dataset], policy: InputPolicy, *, needs_place: bool) -> Series:
    """Images in their order; nothing is decoded yet.

    Parameters
    ----------
    images
        Of one series, in any order.
    policy
        What the model wants.
    needs_place
        Whether something is measured in the patient.

    Raises
    ------
    InvalidInput
        They are not what the model reads; the message names the image.
    """
    needs_place = needs_place or policy.dimensions == "3d" or policy.orientation != "native" or bool(policy.planes)
    if not needs_place:
        return Series(read_pictures(images, policy), NATIVE, policy)
    volume = read_volume(images, policy)
    plane = _PLANES[orientation_of(volume.geometry).axes.index(0)]
    if policy.planes and plane not in policy.planes:
        raise InvalidInput(f"the images are {plane} and the model reads {' or '.join(policy.planes)} ones")
    orientation = orientation_of(volume.geometry, policy.orientation)
    if policy.dimensions == "2d" and orientation.axes[2] != 0:
        raise InvalidInput(f"the images are {plane}, and the model reads images across {policy.orientation[2]}")
    return Series(volume, orientation, policy)


def volume_sample(series: Series, graph: tuple[int, ...]) -> Generator[float, None, Sample]:
    """The sample of a 3-D model; yields the share that is done after some frames.

    Raises
    ------
    InvalidInput
        A frame cannot be decoded, or nothing can be seen, or the volume is larger than the graph takes.
    """
    volume, policy, axes = series.volume, series.policy, series.orientation.axes
    native = volume.shape
    spacing = volume.spacing_mm
    placement = placed(policy, tuple(native[axis] for axis in axes), tuple(spacing[axis] for axis in axes), graph)
    seen = Statistics(policy)
    x, y, z = (placement.scaled[axes.index(axis)] for axis in range(3))
    made: Floats | None = None
    slices = resample_slices(_planes(series, seen), native, (x, y, z), axes, policy.interpolation)
    for index, made in enumerate(slices, start=1):  # noqa: B007 # the last one is the volume
        if index % FRAMES_BETWEEN_STEPS == 0:
            yield min(1.0, index / native[0])
    if made is None:
        raise InvalidInput("the series holds no images")
    grid = contiguous(made.transpose(axes))
    return Sample(0, grid, placement, normaliser(policy, seen, "the series"))


def frame_sample(series: Series, index: int, graph: tuple[int, ...]) -> Sample:
    """The sample of one frame for a 2-D model.

    Raises
    ------
    InvalidInput
        It cannot be decoded, or nothing can be seen, or it is larger than the graph takes.
    """
    policy, frame = series.policy, series.volume.frames[index]
    if policy.channels == "grey":
        values = modality_values(frame, policy.fill, invert_monochrome1=policy.invert_monochrome1)
    else:
        values = colours(frame)
    seen = Statistics(policy)
    seen.add(values)
    plane = series.plane_to_grid(values)
    size = (plane.shape[0], plane.shape[1])
    placement = placed(policy, size, _spacing(series, index), graph)
    grid = resample(plane, placement.scaled, policy.interpolation)
    return Sample(index, grid, placement, normaliser(policy, seen, frame.name))


def _planes(series: Series, seen: Statistics) -> Iterator[Floats]:
    """Decoded slices, turned as the model's axes run."""
    slices, rows, columns = series.orientation.native_flips()
    turn = slice(None, None, -1 if rows else None), slice(None, None, -1 if columns else None)
    frames = series.volume.frames
    for frame in reversed(frames) if slices else frames:
        values = modality_values(frame, series.policy.fill, invert_monochrome1=series.policy.invert_monochrome1)
        seen.add(values)
        yield values[turn]


def _spacing(series: Series, index: int) -> tuple[float, float] | None:
    """Distance of neighbours along x and y of a frame, in mm."""
    frame = series.volume.frames[index]
    for keyword in _SPACINGS:
        if frame.value(keyword) is not None:
            rows, columns = frame.numbers(keyword, 2)
            native = (0.0, float(rows), float(columns))
            if min(rows, columns) <= 0:
                raise InvalidInput(f"{frame.name} has a {keyword} that is not positive")
            return native[series.orientation.axes[0]], native[series.orientation.axes[1]]
    return None
