"""The screen on heads whose lesions are known; ``benchmarks/ct_screen.py`` shows the same on hundreds."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from scipy import ndimage

from engines.base import Volume32
from engines.model import Model
from engines.outcome import Outcome
from engines.pipeline import run
from engines.records import Records
from engines.repository import RELEASED, load_version
from engines.runtimes import engine_of
from engines.steps import drive
from schemas.events import Category, Laterality
from schemas.topics import Topic, finding_topic
from tests.engines.models import validation_set
from tests.engines.models.distractors import Shape, Sheet, distractors
from tests.engines.models.phantoms import Head, Lesion, phantom, random_head, series

FOLDER = RELEASED / "ct-hyperdensity"
CENTRE = (-36.0, 0.0, 25.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_version(FOLDER, 1, engine_of, Records())


def screened(model: Model, images: list[Dataset]) -> Outcome:
    return drive(run(images, model), model.engine.infer)


def of_head(model: Model, head: Head) -> tuple[Outcome, float]:
    made = phantom(head)
    return screened(model, series(made, f"head {head.seed}")), made.volume_ml


def volume_ml(outcome: Outcome) -> float:
    (finding,) = outcome.found
    return next(item.value for item in finding.measurements if item.code.value == "118565006")


def test_the_graph_is_what_the_script_writes(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from engines.hyperdensity_graph import build

    written = build().SerializeToString(deterministic=True)
    assert (
        hashlib.sha256(written).hexdigest()
        == hashlib.sha256((FOLDER / "1" / "model.onnx").read_bytes()).hexdigest()
    )
    validation_set.write(tmp_path)
    for file in ("lesion/case.json", "lesion/series.zip", "normal/case.json", "normal/series.zip"):
        assert (tmp_path / file).read_bytes() == (FOLDER / "validation" / file).read_bytes(), file


def test_the_model_says_what_it_is_and_where_its_findings_go(model: Model) -> None:
    assert "Research" in model.info.intended_use
    assert "not a medical device" in model.metadata.limitations
    assert finding_topic("hyperdensity") is Topic.FINDINGS_HYPERDENSITY
    assert "Apache License" in (FOLDER / model.info.licence_file).read_text()


@pytest.mark.parametrize(
    ("radius_mm", "category"), [(7.0, Category.URGENT), (14.0, Category.CRITICAL), (20.0, Category.CRITICAL)]
)
def test_a_lesion_is_found_measured_and_ranked_by_its_volume(
    model: Model, radius_mm: float, category: Category
) -> None:
    outcome, truth = of_head(model, Head(3, (Lesion(CENTRE, (radius_mm,) * 3, 68),)))  # type: ignore[arg-type]
    (finding,) = outcome.found
    assert volume_ml(outcome) == pytest.approx(truth, rel=0.1 if radius_mm < 10 else 0.05)
    assert (finding.finding_type, finding.category, finding.laterality) == (
        "hyperdensity",
        category,
        Laterality.RIGHT,  # x grows to the left of the patient (PS3.3 C.7.6.2.1.1)
    )
    assert {array.kind for array in outcome.arrays} == {"mask", "probability"}
    (place,) = finding.locations
    assert np.allclose(place.points, CENTRE, atol=3)


def test_a_lesion_along_the_skull_is_found(model: Model) -> None:
    outcome, truth = of_head(model, Head(4, (Lesion((58.0, 0.0, 20.0), (30.0, 40.0, 30.0), 68, 10.0),)))
    assert volume_ml(outcome) == pytest.approx(truth, rel=0.1)
    assert outcome.found[0].laterality is Laterality.LEFT


@pytest.mark.parametrize("seed", range(101, 111, 2))
def test_a_head_without_a_lesion_has_no_finding_whatever_calcium_noise_and_hardening(
    model: Model, seed: int
) -> None:
    outcome, _ = of_head(model, random_head(seed, with_lesion=False))
    assert outcome.found == ()


@pytest.mark.parametrize("hu", [56.0, 84.0])
@pytest.mark.parametrize("blur_mm", [0.4, 1.2])
def test_faint_and_dense_lesions_are_measured_alike_whatever_the_blur(
    model: Model, hu: float, blur_mm: float
) -> None:
    outcome, truth = of_head(model, Head(9, (Lesion(CENTRE, (12.0, 12.0, 12.0), hu),), blur_mm=blur_mm))
    assert volume_ml(outcome) == pytest.approx(truth, rel=0.08)


@pytest.mark.parametrize(
    "shapes",
    [
        (Sheet(3.0, 60.0),),
        distractors(np.random.default_rng(2), "dense sinuses"),
        distractors(np.random.default_rng(3), "calcium"),
        distractors(np.random.default_rng(4), "streaks"),
    ],
    ids=["falx and tentorium", "dense sinuses", "calcium", "streaks"],
)
def test_what_looks_like_blood_and_is_none_is_no_finding(model: Model, shapes: tuple[Shape, ...]) -> None:
    outcome, _ = of_head(model, Head(10, distractors=shapes))
    assert outcome.found == ()


def test_what_is_dense_outside_of_the_skull_does_not_count(model: Model) -> None:
    made = phantom(Head(5))
    outside = dataclasses.replace(made, hu=np.where(scalp(made.hu), 65, made.hu))
    assert np.count_nonzero(outside.hu == 65) * 0.9**2 * 5 / 1000 > 50  # mL
    assert screened(model, series(outside, "outside")).found == ()


def scalp(hu: Volume32) -> NDArray[np.bool_]:
    """Soft tissue around the vault: what is joined to the corner of a slice without crossing bone."""
    found = np.zeros(hu.shape, np.bool_)
    for index in range(14, len(hu)):
        labels, _ = ndimage.label(hu[index] < 200)
        found[index] = (labels == labels[0, 0]) & (hu[index] > 0)
    return found


def test_thin_slices_and_a_turned_stack_give_the_same_volume(model: Model) -> None:
    lesion = (Lesion(CENTRE, (15.0, 15.0, 15.0), 70),)
    thick, truth = of_head(model, Head(6, lesion))
    thin, _ = of_head(model, Head(6, lesion, slice_mm=2.5, slices=58))
    assert volume_ml(thin) == pytest.approx(truth, rel=0.05)
    assert volume_ml(thick) == pytest.approx(volume_ml(thin), rel=0.05)


def test_without_a_skull_nothing_is_called_intracranial_and_that_is_said(model: Model) -> None:
    made = phantom(Head(7, (Lesion(CENTRE, (15.0, 15.0, 15.0), 70),)))
    soft = dataclasses.replace(made, hu=np.minimum(made.hu, 100))
    outcome = screened(model, series(soft, "no skull"))
    assert (outcome.found, outcome.arrays) == ((), ())
    assert outcome.out_of_domain_warnings == ("No intracranial space was found.",)


def test_a_whole_head_is_in_the_domain_and_a_part_of_it_is_said_to_be_one(model: Model) -> None:
    images = series(phantom(Head(8)), "whole")
    assert screened(model, images).out_of_domain_warnings == ()
    (warning,) = screened(model, images[:22]).out_of_domain_warnings
    assert "reaches the end of the stack of slices" in warning
