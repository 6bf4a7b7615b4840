from __future__ import annotations

import dataclasses

import pytest

from engines.metadata import ModelMetadata, read
from engines.selection import choose_series
from schemas.errors import InvalidInput
from schemas.events import SeriesContent
from tests.engines.phantom import FOLDER

POLICY = read(FOLDER / "metadata.json", ModelMetadata).input
MR = "1.2.840.10008.5.1.4.1.1.4"


def content(uid: str, images: int, description: str | None = None, modality: str = "MR") -> SeriesContent:
    return SeriesContent(uid, modality, MR, description, None, tuple(f"{uid}.{index}" for index in range(images)))


def test_the_best_described_series_wins_then_the_longest_then_the_uid() -> None:
    flair, long_t2 = content("1.3", 30, "AX FLAIR"), content("1.4", 90, "AX T2")
    t1, mprage = content("1.5", 20, "sag T1 se"), content("1.6", 10, "Sag MPRAGE iso")
    assert choose_series(POLICY, [flair, long_t2, t1, mprage]) == mprage
    assert choose_series(POLICY, [flair, long_t2, t1]) == t1
    assert choose_series(POLICY, [flair, long_t2]) == long_t2
    twin = dataclasses.replace(long_t2, series_instance_uid="1.1")
    assert choose_series(POLICY, [long_t2, twin]) == twin


@pytest.mark.parametrize("series", [[], [content("1.2", 2)], [content("1.2", 40, modality="CT")]])
def test_a_study_without_a_fitting_series_is_refused_with_what_it_holds(series: list[SeriesContent]) -> None:
    with pytest.raises(InvalidInput, match=r"needs MR with at least 3 .*holds: (nothing|MR with 2|CT with 40)"):
        choose_series(POLICY, series)


def test_frames_count_as_slices_localizers_and_other_planes_do_not_fit() -> None:
    enhanced = dataclasses.replace(content("1.7", 1), number_of_frames=60)
    scout = dataclasses.replace(content("1.8", 90), image_types=("ORIGINAL\\PRIMARY\\LOCALIZER",))
    coronal = dataclasses.replace(content("1.9", 80), orientation="coronal")
    assert choose_series(POLICY, [enhanced, scout]) == enhanced
    axial_only = POLICY.model_copy(update={"planes": ("axial",)})
    assert choose_series(axial_only, [coronal, enhanced]) == enhanced
    with pytest.raises(InvalidInput, match=r"at least 3 axial images .* holds: MR with 80 coronal images"):
        choose_series(axial_only, [coronal])
