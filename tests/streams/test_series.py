"""Geometry and content of a series from single images: in any order, over restarts, with wrong numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.events import AssemblyState, SeriesContent
from streams.geometry import normal_of, orientation_name
from streams.rules_file import load_rules
from streams.series import Series
from streams.study import Study
from tests.streams.samples import at, instance

CODEC = Codec()
RULES = load_rules()
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def tilted(degrees: float) -> tuple[float, ...]:
    angle = math.radians(degrees)
    return (1.0, 0.0, 0.0, 0.0, math.cos(angle), math.sin(angle))


def content(*images: dict[str, Any]) -> SeriesContent:
    series = Series()
    for number, image in enumerate(images):
        series.add(instance("2.25.1", number, **image), 0.0)
    return series.content("2.25.1.1")


@pytest.mark.parametrize(
    ("orientation", "name"),
    [
        (AXIAL, "axial"),
        (CORONAL, "coronal"),
        (SAGITTAL, "sagittal"),
        (tilted(30), "axial"),
        (tilted(31), "oblique"),
        (tilted(59), "oblique"),
        (tilted(61), "coronal"),
        (tilted(-20), "axial"),
    ],
)
def test_orientation_is_that_of_the_nearest_axis(orientation: tuple[float, ...], name: str) -> None:
    normal = normal_of(orientation)
    assert normal is not None
    assert orientation_name(normal) == name


@pytest.mark.parametrize(
    "orientation",
    [
        (),
        (1.0, 0.0),
        (0.0,) * 6,
        (1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
        (math.nan,) * 6,
        (math.inf, 0, 0, 0, 1, 0),
        (5.0, 0, 0, 0, 5, 0),
    ],
)
def test_what_is_no_orientation_is_unknown(orientation: tuple[float, ...]) -> None:
    assert normal_of(orientation) is None
    found = content({"image_orientation": orientation, "image_position": (0.0, 0.0, 1.0)})
    assert (found.orientation, found.slice_spacing_mm, found.position_range_mm) == (None, None, ())


def test_the_slices_of_a_series_are_told() -> None:
    images = [
        {
            "image_orientation": AXIAL,
            "image_position": (-120.0, -130.0, z),
            "slice_thickness_mm": thickness,
            "image_type": kind,
            "has_contrast": contrast,
        }
        for z, thickness, kind, contrast in (
            (10.0, 4.0, "ORIGINAL\\PRIMARY\\AXIAL", None),
            (-10.0, 5.0, "ORIGINAL\\PRIMARY\\AXIAL", False),
            (0.0, 4.0, "DERIVED\\SECONDARY", True),
            (0.0, math.nan, None, None),
        )
    ]
    found = content(*images)
    assert (found.orientation, found.slice_spacing_mm, found.slice_thickness_mm) == ("axial", 10.0, 5.0)
    assert (found.position_range_mm, found.has_contrast) == ((-10.0, 10.0), True)
    assert found.image_types == ("DERIVED\\SECONDARY", "ORIGINAL\\PRIMARY\\AXIAL")
    assert found.number_of_frames is None


def test_a_tilted_gantry_is_measured_along_its_normal() -> None:
    angle = math.radians(20)
    images = [
        {
            "image_orientation": tilted(20),
            "image_position": (0.0, -math.sin(angle) * place, math.cos(angle) * place),
        }
        for place in (0.0, 3.0, 6.0)
    ]
    assert content(*images).slice_spacing_mm == 3.0


def test_slices_of_several_orientations_have_no_spacing() -> None:
    images = [{"image_orientation": one, "image_position": (0.0, 0.0, 1.0)} for one in (AXIAL, CORONAL, SAGITTAL)]
    found = content(*images)
    assert (found.orientation, found.slice_spacing_mm, found.position_range_mm) == ("mixed", None, ())


def test_frames_are_counted_once_for_each_object() -> None:
    series = Series()
    for _ in range(2):
        series.add(instance("2.25.1", 1, number_of_frames=30), 0.0)
    series.add(instance("2.25.1", 2, number_of_frames=12), 0.0)
    assert series.content("x").number_of_frames == 42


def test_a_study_is_a_phantom_when_all_of_it_is() -> None:
    def told(*phantoms: bool) -> bool:
        study = Study("2.25.1", RULES.periods, 2)
        for number, phantom in enumerate(phantoms):
            study.add(instance("2.25.1", number, quality_control=phantom), at(0))
        return study.state().quality_control

    assert told(True, True)
    assert not told(True, False)
    assert not told(False, True)


def test_a_record_of_an_older_release_is_read() -> None:
    study = Study("2.25.1", RULES.periods, 2)
    for number in range(3):
        study.add(instance("2.25.1", number), at(0))
    state = study.state()
    assert (state.geometry, state.series[0].orientation, state.tasks) == ((), None, ())
    restored = Study.restore(state, RULES.periods, 2, at(1))
    restored.add(instance("2.25.1", 3, image_orientation=AXIAL, image_position=(0.0, 0.0, 3.0)), at(1))
    assert restored.state().series[0].orientation == "axial"


image = st.fixed_dictionaries(
    {},
    optional={
        "image_orientation": st.sampled_from([AXIAL, AXIAL, tilted(10), CORONAL, (), (math.nan,) * 6]),
        "image_position": st.one_of(
            st.tuples(*(st.floats(-500, 500) for _ in range(3))), st.just((math.inf, 0.0, 0.0)), st.just(())
        ),
        "slice_thickness_mm": st.one_of(st.none(), st.floats(allow_nan=True)),
        "image_type": st.sampled_from(["ORIGINAL\\PRIMARY", "DERIVED\\SECONDARY", None]),
        "has_contrast": st.one_of(st.none(), st.booleans()),
        "number_of_frames": st.one_of(st.none(), st.integers(-1, 300)),
        "patient_key": st.sampled_from([None, "a", "b"]),
        "patient_age_years": st.one_of(st.none(), st.floats(0, 120)),
        "quality_control": st.booleans(),
    },
)


@given(st.lists(image, min_size=1, max_size=12), st.randoms(), st.sets(st.integers(0, 12)))
def test_neither_order_nor_restarts_nor_duplicates_show(
    images: list[dict[str, Any]], chance: Any, restarts: set[int]
) -> None:
    arrivals = [instance("2.25.1", number, **one) for number, one in enumerate(images)]

    def told(order: list[int], restart_at: set[int]) -> AssemblyState:
        study = Study("2.25.1", RULES.periods, 2)
        for step, number in enumerate(order):
            study.add(arrivals[number], at(0))
            if step in restart_at:
                state = CODEC.decode(CODEC.encode(study.state()))
                assert isinstance(state, AssemblyState)
                study = Study.restore(state, RULES.periods, 2, at(0))
        return study.state()

    order = list(range(len(arrivals)))
    shuffled = [*order, chance.choice(order)]
    chance.shuffle(shuffled)
    assert told(order, set()) == told(shuffled, restarts)
