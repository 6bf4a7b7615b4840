"""Which model sees which series, and every reason why one does not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import SeriesContent
from streams.criteria import Expression
from streams.eligibility import assess, is_localizer
from streams.facts import NOTHING, Clinical
from streams.rules import Route
from tests.streams.samples import SR
from tests.streams.test_routing import STUDY, series, study


def route(**fields: Any) -> Route:
    """A route as the file gives it."""
    whole = {"model": "m", "modality": ["MR"]} | fields
    return Route.model_validate_json(json.dumps(whole))


def reasons(content: SeriesContent, **fields: Any) -> tuple[str, ...]:
    """Why a series is not seen; nothing when it is."""
    found = assess(study(content), route(**fields), NOTHING, "site-1")
    return () if found.series is not None else found.reasons


AXIAL = series(1, 20, orientation="axial", slice_spacing_mm=5.0, slice_thickness_mm=4.0, has_contrast=False)


@pytest.mark.parametrize(
    ("content", "fields", "reason"),
    [
        (AXIAL, {"modality": ["CT"]}, "modality is not CT"),
        (replace(AXIAL, modality=None), {}, "modality is missing"),
        (AXIAL, {"sop_class": ["1.2.840.10008.5.1.4.1.1.2"]}, "SOP class is not 1.2.840.10008.5.1.4.1.1.2"),
        (AXIAL, {"minimum_instances": 21}, "fewer than 21 images"),
        (AXIAL, {"maximum_instances": 19}, "more than 19 images"),
        (
            replace(AXIAL, body_part_examined="KNEE"),
            {"body_part": {"include": ["head", "brain"]}},
            "body part matches none of 'head', 'brain'",
        ),
        (AXIAL, {"body_part": {"include": ["head"], "accept_missing": False}}, "body part is missing"),
        (
            replace(AXIAL, series_description="Іваненко контроль"),
            {"series_description": {"exclude": ["контроль"]}},
            "series description matches 'контроль', which is excluded",
        ),
        (AXIAL, {"orientation": ["sagittal", "coronal"]}, "orientation is not sagittal or coronal"),
        (replace(AXIAL, orientation="mixed"), {"orientation": ["axial"]}, "orientation is not axial"),
        (
            replace(AXIAL, orientation=None),
            {"orientation": ["axial"]},
            "orientation is not known, axial is wanted",
        ),
        (AXIAL, {"slice_spacing_mm": {"maximum": 3}}, "slice spacing in mm is not at most 3"),
        (
            AXIAL,
            {"slice_thickness_mm": {"minimum": 0.5, "maximum": 1.25}},
            "slice thickness in mm is not 0.5 to 1.25",
        ),
        (
            replace(AXIAL, slice_spacing_mm=None),
            {"slice_spacing_mm": {"maximum": 3, "accept_missing": False}},
            "slice spacing in mm is not known",
        ),
        (AXIAL, {"contrast": "with"}, "contrast was not given"),
        (replace(AXIAL, has_contrast=True), {"contrast": "without"}, "contrast was given"),
        (
            replace(AXIAL, image_types=("DERIVED\\SECONDARY\\MPR",)),
            {"image_type": {"exclude": ["DERIVED\\*"]}},
            "image type matches 'DERIVED\\*', which is excluded",
        ),
    ],
)
def test_a_series_that_is_not_meant(content: SeriesContent, fields: dict[str, Any], reason: str) -> None:
    assert reasons(content, **fields) == (f"1 series: {reason}",)


@pytest.mark.parametrize(
    ("fields", "clinical", "more", "reason"),
    [
        ({}, Clinical(order_status="cancelled"), {}, "the order was cancelled"),
        ({}, Clinical(consent="refused"), {}, "consent was refused"),
        ({"consent": "granted"}, NOTHING, {}, "no consent is known, and this route requires it"),
        ({"sites": ["site-2", "clinic-*"]}, NOTHING, {}, "the route is not for site site-1"),
        ({}, NOTHING, {"quality_control": True}, "a phantom or a calibration, which this route holds back"),
        ({"age_years": {"minimum": 18}}, NOTHING, {"patient_age_years": 3.5}, "age in years is not at least 18"),
        ({"age_years": {"minimum": 18}}, Clinical(patient_age_years=3.5), {}, "age in years is not at least 18"),
        (
            {"study_description": {"exclude": ["knee"]}},
            NOTHING,
            {"study_description": "KNEE of Smith"},
            "study description matches 'knee', which is excluded",
        ),
        (
            {"requires": {"all": [{"modality": ["MR"]}, {"not": {"contrast": "without"}}]}},
            NOTHING,
            {},
            "the study does not have what the route requires: (a series (modality MR) and not a series "
            "(without contrast))",
        ),
    ],
)
def test_a_study_that_is_not_meant(
    fields: dict[str, Any], clinical: Clinical, more: dict[str, Any], reason: str
) -> None:
    assert assess(study(AXIAL, **more), route(**fields), clinical, "site-1").reasons == (reason,)
    allowed = {"quality_control": True, "consent": "not-refused"}
    assert assess(study(AXIAL), route(**allowed), Clinical(consent="granted"), "site-1").series == AXIAL


def test_all_reasons_are_told_each_once_with_its_number() -> None:
    content = [series(number, 5, modality="CT") for number in (1, 2)]
    localizer = series(3, 3, image_types=("ORIGINAL\\PRIMARY\\LOCALIZER",))
    report = series(4, 1, sop_class_uid=SR, modality="SR")
    found = assess(
        study(*content, localizer, report, quality_control=True), route(minimum_instances=10), NOTHING, "s"
    )
    assert found.reasons == (
        "a phantom or a calibration, which this route holds back",
        "2 series: modality is not MR",
        "2 series: fewer than 10 images",
        "1 series: localizer",
        "1 series: no images",
    )
    assert assess(study(report), route(), NOTHING, "s").reasons == ("the study has no images",)


def test_a_localizer_is_never_chosen_however_many_images_it_has() -> None:
    localizer = series(1, 90, image_types=("ORIGINAL\\PRIMARY\\LOCALIZER",))
    found = assess(study(localizer, series(2, 12)), route(), NOTHING, "s")
    assert found.series is not None
    assert found.series.series_instance_uid == f"{STUDY}.2"
    assert found.reasons == ("1 of 2 series meet the route",)
    # one among many other images does not make a series a localizer
    assert not is_localizer(series(1, 9, image_types=("ORIGINAL\\PRIMARY\\AXIAL", "ORIGINAL\\PRIMARY\\LOCALIZER")))


def test_frames_of_a_multi_frame_object_are_images() -> None:
    enhanced = series(1, 1, number_of_frames=176)
    found = assess(study(enhanced, series(2, 20)), route(minimum_instances=10), NOTHING, "s")
    assert found.series == enhanced
    assert found.reasons == ("2 of 2 series meet the route, of which this one has most images",)


def test_what_is_not_known_of_contrast_is_without() -> None:
    assert reasons(series(1, 20), contrast="without") == ()
    assert reasons(series(1, 20), contrast="with") == ("1 series: contrast was not given",)


conditions = st.recursive(
    st.sampled_from(["CT", "MR", "PT"]).map(lambda code: {"modality": [code]}),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=8,
)


@given(conditions, st.sets(st.sampled_from(["CT", "MR", "PT"]), min_size=1))
def test_an_expression_means_what_python_would_say(condition: dict[str, Any], there: set[str]) -> None:
    def expected(one: dict[str, Any]) -> bool:
        ((kind, inside),) = one.items()
        match kind:
            case "all":
                return all(expected(part) for part in inside)
            case "any":
                return any(expected(part) for part in inside)
            case "not":
                return not expected(inside)
        return inside[0] in there

    expression: Expression | None = route(requires=condition).requires
    assert expression is not None
    content = [series(number, 5, modality=code) for number, code in enumerate(sorted(there))]
    assert expression.holds(content) is expected(condition)
    assert expression.sentence()
    if not expression.may_turn_false and expression.holds(content):
        assert expression.holds([*content, series(9, 5, modality="US")])
