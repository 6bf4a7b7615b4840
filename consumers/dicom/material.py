"""What the builders of DICOM objects work on: source headers, arrays of the result, and pixels when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from schemas.values import Code

Mask = npt.NDArray[np.bool_]
Volume32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Heatmap:
    """A number for each voxel.

    Attributes
    ----------
    values
        (slices, rows, columns), on the voxels of the source images.
    quantity, unit
        What the numbers are.
    """

    values: Volume32
    quantity: Code
    unit: Code


@dataclass(frozen=True)
class Material:
    """Everything that belongs to one result.

    Attributes
    ----------
    sources
        Prepared headers (:func:`consumers.dicom.source.prepare`), in the order of the masks' first axis.
    image
        SOP Instance UID → its data set with pixel data, fetched when called. Raises what the claim check raises.
    masks
        (slices, rows, columns), one per segment, numbered from 1.
    probabilities
        (slices, rows, columns) in 0…1, one per segment; empty where the model gives none.
    heatmaps
        In the order of the result's artifacts.
    """

    sources: Sequence[Dataset]
    image: Callable[[str], Dataset]
    masks: Sequence[Mask] = ()
    probabilities: Sequence[Volume32] = ()
    heatmaps: Sequence[Heatmap] = ()
