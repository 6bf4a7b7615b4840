"""Series of a study → the one that a model reads. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Sequence

from engines.metadata import InputPolicy
from schemas.errors import InvalidInput
from schemas.events import SeriesContent


def choose_series(policy: InputPolicy, series: Sequence[SeriesContent]) -> SeriesContent:
    """The series to run on: by preferred description, then by number of images, then by UID.

    Parameters
    ----------
    policy
        What the model reads.
    series
        What the study holds.

    Raises
    ------
    InvalidInput
        No series fits; the message says what the study holds and what is needed.
    """
    fitting = [entry for entry in series if _fits(policy, entry)]
    if not fitting:
        held = ", ".join(_told(entry) for entry in series)
        planes = f" {' or '.join(policy.planes)}" if policy.planes else ""
        raise InvalidInput(
            f"no series can be read by the model, which needs {policy.modality} with at least "
            f"{policy.minimum_slices}{planes} images or frames of its SOP classes and no localizers; "
            f"the study holds: {held or 'nothing'}"
        )
    return min(fitting, key=lambda entry: _rank(policy, entry))


def _rank(policy: InputPolicy, entry: SeriesContent) -> tuple[int, int, str]:
    description = (entry.series_description or "").lower()
    words = policy.preferred_descriptions
    preference = next((index for index, word in enumerate(words) if word in description), len(words))
    return preference, -_frames(entry), entry.series_instance_uid


def _fits(policy: InputPolicy, entry: SeriesContent) -> bool:
    """What is not known of a series is judged when its images are read."""
    return (
        entry.modality == policy.modality
        and entry.sop_class_uid in policy.sop_class_uids
        and policy.minimum_slices <= _frames(entry) <= policy.maximum_slices
        and not (entry.image_types and all("LOCALIZER" in kind.split("\\") for kind in entry.image_types))
        and (not policy.planes or entry.orientation in (None, "oblique", *policy.planes))
    )


def _frames(entry: SeriesContent) -> int:
    return max(len(entry.sop_instance_uids), entry.number_of_frames or 0)


def _told(entry: SeriesContent) -> str:
    plane = f" {entry.orientation}" if entry.orientation else ""
    return f"{entry.modality or '?'} with {_frames(entry)}{plane} images"
