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
    fitting = [
        entry
        for entry in series
        if entry.modality == policy.modality
        and entry.sop_class_uid in policy.sop_class_uids
        and len(entry.sop_instance_uids) >= policy.minimum_slices
    ]
    if not fitting:
        held = ", ".join(f"{entry.modality or '?'} with {len(entry.sop_instance_uids)} images" for entry in series)
        raise InvalidInput(
            f"no series can be read by the model, which needs {policy.modality} with at least "
            f"{policy.minimum_slices} single-frame images; the study holds: {held or 'nothing'}"
        )
    return min(fitting, key=lambda entry: _rank(policy, entry))


def _rank(policy: InputPolicy, entry: SeriesContent) -> tuple[int, int, str]:
    description = (entry.series_description or "").lower()
    words = policy.preferred_descriptions
    preference = next((index for index, word in enumerate(words) if word in description), len(words))
    return preference, -len(entry.sop_instance_uids), entry.series_instance_uid
