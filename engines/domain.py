"""A series and its result → warnings where the model is outside of what it was made for."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from engines.metadata import Domain
from engines.volume import Volume

#: A mask that covers more than this share of its largest slice at an end of the stack was cut off there.
CUT_SHARE = 0.25


def input_warnings(domain: Domain, image: Dataset, volume: Volume, tilt_degrees: float) -> tuple[str, ...]:
    """What is unusual about the images.

    Parameters
    ----------
    domain
        What the model was made for.
    image
        One image of the series.
    volume
        The series.
    tilt_degrees
        Largest angle between a grid axis and its patient axis.
    """
    found = []
    if domain.weighting is not None and _is_not_t1(domain, image):
        repetition, echo = _number(image, "RepetitionTime"), _number(image, "EchoTime")
        times = f"repetition time {_ms(repetition)}, echo time {_ms(echo)}"
        found.append(f"Images do not look {domain.weighting}-weighted ({times}): the model is less accurate.")
    if volume.affine is None:
        return tuple(found)
    coarsest = max(volume.spacing_mm)
    if domain.maximum_spacing_mm is not None and coarsest > domain.maximum_spacing_mm:
        best = domain.maximum_spacing_mm if domain.spacing_mm is None else domain.spacing_mm
        found.append(
            f"Voxels are {coarsest:.1f} mm long and the model was made for {best:g} mm: it is less accurate."
        )
    if domain.maximum_tilt_degrees is not None and tilt_degrees > domain.maximum_tilt_degrees:
        found.append(f"Slices are tilted by {tilt_degrees:.0f} degrees: the model is less accurate.")
    return tuple(found)


def output_warnings(domain: Domain, label: str, areas: NDArray[np.int64], volume_ml: float) -> tuple[str, ...]:
    """What is unusual about the result.

    Parameters
    ----------
    domain
        What the model was made for.
    label
        Of the structure that is expected.
    areas
        Voxels of it in each slice.
    volume_ml
        Volume of the mask, in mL.
    """
    if not areas.any():
        return (f"No {label.lower()} was found.",)
    found = []
    if max(areas[0], areas[-1]) > CUT_SHARE * areas.max():
        found.append(f"The {label.lower()} reaches the end of the stack of slices: its volume is incomplete.")
    low, high = domain.plausible_volume_ml or (0.0, inf)
    if not low <= volume_ml <= high:
        found.append(f"The volume is outside of {low:.0f} to {high:.0f} mL: check the segmentation.")
    return tuple(found)


def _is_not_t1(domain: Domain, image: Dataset) -> bool:
    """Whether the pulse sequence contradicts T1 weighting (PS3.3 C.8.3.1); without times nothing is said."""
    repetition, echo = _number(image, "RepetitionTime"), _number(image, "EchoTime")
    sequence = image.get("ScanningSequence") or ""
    kinds = {sequence} if isinstance(sequence, str) else set(sequence)
    if "GR" in kinds:
        return _above(echo, domain.gradient_echo_maximum_echo_time_ms)
    too_slow = _above(repetition, domain.spin_echo_maximum_repetition_time_ms)
    return too_slow or _above(echo, domain.spin_echo_maximum_echo_time_ms)


def _above(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value > limit


def _number(image: Dataset, keyword: str) -> float | None:
    try:
        return float(image[keyword].value)
    except (KeyError, TypeError, ValueError):
        return None


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g} ms"
