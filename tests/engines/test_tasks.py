"""Tiles, frames, classes, boxes, labels: what metadata declares, against graphs that are functions."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from engines.pipeline import run
from engines.steps import Advanced, Infer
from schemas.errors import InvalidInput
from schemas.events import Category, Laterality, LocationKind, TaskParameters, TaskState
from tests.engines.dropped import VOLUME, code
from tests.engines.phantom import series
from tests.engines.stub import MR, answer, one_segment, stub

Array = NDArray[Any]


def lumps(shape: tuple[int, int, int], seed: int = 5) -> Array:
    return (np.random.default_rng(seed).random(shape) > 0.7) * 100


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5])
@pytest.mark.parametrize("weighting", ["constant", "gaussian"])
@pytest.mark.parametrize("shape", [(9, 23, 17), (5, 40, 6), (4, 8, 8)])
def test_tiles_give_what_the_whole_gives(overlap: float, weighting: str, shape: tuple[int, int, int]) -> None:
    model, engine = stub(
        "segmentation",
        {
            "layout": "NCZYX",
            "tiles": {"overlap": overlap, "weighting": weighting},
            "window": {"low": 0, "high": 100},
            "normalisation": "window",
        },
        {"threshold": 0.5, "segments": [one_segment()]},
        (-1, 1, 4, 8, 8),
        {"out": (-1, 1, 4, 8, 8)},
        lambda tensor: {"out": tensor},
        batch=3,
    )
    voxels = lumps(shape)
    outcome = answer(series(voxels), model)
    np.testing.assert_array_equal(outcome.arrays[0].array, voxels == 100)
    assert all(seen.shape[1:] == (1, 4, 8, 8) and len(seen) <= 3 for seen in engine.seen)


def test_a_larger_volume_is_cropped_only_where_it_is_declared_and_then_said() -> None:
    model, engine = stub(
        "segmentation",
        {"layout": "NCZYX", "crop": True},
        {"threshold": 0.5, "segments": [one_segment()]},
        (1, 1, 4, 4, 4),
        {"out": (1, 1, 4, 4, 4)},
        lambda tensor: {"out": np.ones_like(tensor)},
    )
    outcome = answer(series(np.arange(6 * 8 * 2).reshape(6, 8, 2)), model)
    assert outcome.arrays[0].array.sum() == 4 * 4 * 2
    assert outcome.arrays[0].array[1:5, 2:6].all()
    assert "Only the middle" in outcome.image_quality_warnings[0]
    assert engine.seen[0][0, 0, :, :, 0].tolist() == np.zeros((4, 4)).tolist()  # padded where it is smaller


def test_an_axis_of_any_size_is_padded_to_a_multiple() -> None:
    model, engine = stub(
        "segmentation",
        {"layout": "NCZYX", "multiple_of": 4, "fill": -7},
        {"threshold": 0.5, "segments": [one_segment()]},
        (1, 1, -1, -1, -1),
        {"out": (1, 1, -1, -1, -1)},
        lambda tensor: {"out": (tensor > 3).astype(np.float32)},
    )
    voxels = np.arange(5 * 6 * 7).reshape(5, 6, 7)
    outcome = answer(series(voxels), model)
    assert engine.seen[0].shape == (1, 1, 8, 8, 8)
    assert engine.seen[0].min() == -7
    np.testing.assert_array_equal(outcome.arrays[0].array, voxels > 3)


def flat(**more: Any) -> dict[str, Any]:
    return {"dimensions": "2d", "layout": "NYXC", **more}


def test_a_2d_segmentation_reads_frame_by_frame_in_batches_and_tells_how_far_it_is() -> None:
    model, engine = stub(
        "segmentation",
        flat(orientation="LPS"),
        {"threshold": 0.5, "segments": [one_segment()]},
        (-1, 10, 12, 1),
        {"out": (-1, 10, 12, 1)},
        lambda tensor: {"out": (tensor > 50).astype(np.float32)},
        batch=4,
    )
    voxels = lumps((10, 10, 12))
    images = series(voxels)
    outcome = answer(images[::-1], model)
    np.testing.assert_array_equal(outcome.arrays[0].array, voxels == 100)
    assert [len(seen) for seen in engine.seen] == [4, 4, 2]
    way, shares, reply = run(images, model), [], None
    with pytest.raises(StopIteration):
        while True:
            step = way.send(reply)
            reply = engine.infer(step.tensors) if isinstance(step, Infer) else None
            if isinstance(step, Advanced) and step.state is TaskState.INFERRING:
                shares.append(step.fraction)
    assert shares == [0, 0.4, 0.8]


def test_a_2d_model_refuses_other_planes_than_it_reads() -> None:
    output = {"threshold": 0.5, "segments": [one_segment()]}
    shapes = (-1, 10, 12, 1), {"out": (-1, 10, 12, 1)}
    model, _ = stub("segmentation", flat(planes=["axial"]), output, *shapes, lambda t: {"out": t}, batch=4)
    with pytest.raises(InvalidInput, match="the images are coronal and the model reads axial ones"):
        answer(series(lumps((4, 10, 12)), row=(1, 0, 0), column=(0, 0, -1)), model)


def test_the_most_probable_channel_alone_where_they_exclude_each_other() -> None:
    def softly(tensor: Array) -> dict[str, Array]:
        return {"out": np.concatenate([3 - tensor, tensor * 0 + 1.2, tensor - 1], axis=1)}  # logits

    model, _ = stub(
        "segmentation",
        {"layout": "NCZYX"},
        {
            "activation": "softmax",
            "exclusive": True,
            "threshold": 0.3,
            "segments": [one_segment(1), one_segment(2)],
        },
        (1, 1, -1, -1, -1),
        {"out": (1, 3, -1, -1, -1)},
        softly,
    )
    voxels = np.repeat(np.array([0, 2, 4])[:, None, None], 5, 1).repeat(5, 2)
    outcome = answer(series(voxels), model)
    masks = {item.segment_number: item.array for item in outcome.arrays}
    np.testing.assert_array_equal(masks[1], voxels == 2)
    np.testing.assert_array_equal(masks[2], voxels == 4)


def test_whole_numbers_are_labels() -> None:
    model, _ = stub(
        "segmentation",
        {"layout": "NCZYX"},
        {"activation": "labels", "layout": "NZYX", "threshold": 0.5, "segments": [one_segment(2), one_segment(5)]},
        (1, 1, -1, -1, -1),
        {"out": (1, -1, -1, -1)},
        lambda tensor: {"out": tensor[:, 0].astype(np.int64)},
    )
    voxels = np.random.default_rng(1).integers(0, 7, (4, 6, 5))
    masks = [item.array for item in answer(series(voxels), model).arrays]
    np.testing.assert_array_equal(masks[0], voxels == 2)
    np.testing.assert_array_equal(masks[1], voxels == 5)


def test_measurements_components_category_laterality_probability_maps() -> None:
    hounsfield = {
        "kind": "mean",
        "code": code("112031", "Attenuation Coefficient", "DCM"),
        "unit": code("[hnsf'U]", "Hounsfield unit", "UCUM"),
    }
    count = {"kind": "count", "code": code("246205007", "Quantity"), "unit": code("1", "no units", "UCUM")}
    model, _ = stub(
        "segmentation",
        {"layout": "NCZYX", "window": {"low": 0, "high": 100}, "normalisation": "window"},
        {
            "threshold": 0.4,
            "probability_maps": True,
            "segments": [
                one_segment(
                    laterality="by-place",
                    minimum_volume_ml=0.005,
                    measurements=[VOLUME, count, hounsfield],
                    probability="maximum",
                    locations="boxes",
                    rules=[
                        {"of": "count", "at_least": 3, "category": "critical"},
                        {"of": "mean", "at_least": 60, "category": "urgent"},
                    ],
                )
            ],
        },
        (1, 1, -1, -1, -1),
        {"out": (1, 1, -1, -1, -1)},
        lambda tensor: {"out": tensor},
    )
    voxels = np.zeros((6, 20, 30))
    voxels[1:3, 4:8, 2:5] = 50  # 24 voxels on the patient's right
    voxels[4, 10:14, 3:6] = 90  # 12 more
    voxels[0, 0, 0] = 99  # too small
    (found,) = (outcome := answer(series(voxels), model)).found
    values = {item.code.value: item.value for item in found.measurements}
    assert values == {"118565006": 0.036, "246205007": 2, "112031": 63.3}
    assert (found.category, found.laterality) == (Category.URGENT, Laterality.RIGHT)
    assert found.probability == pytest.approx(0.99)
    assert [(place.kind, place.points) for place in found.locations] == [
        (LocationKind.BOX, (2, 4, 5, 8)),
        (LocationKind.BOX, (3, 10, 6, 14)),
    ]
    kinds = {item.kind: item for item in outcome.arrays}
    np.testing.assert_allclose(kinds["probability"].array, voxels / 100, atol=1e-6)
    assert kinds["probability"].segment_number == kinds["mask"].segment_number == 1


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"normalisation": "none"}, lambda v: v),
        ({"normalisation": "maximum"}, lambda v: v / v.max()),
        ({"normalisation": "range"}, lambda v: (v - v.min()) / (v.max() - v.min())),
        ({"normalisation": "z-score"}, lambda v: (v - v.mean()) / v.std()),
        ({"normalisation": "scale", "scale": 0.5, "offset": 3}, lambda v: v * 0.5 + 3),
        ({"normalisation": "window", "window": {"low": 5, "high": 25}}, lambda v: (v.clip(5, 25) - 5) / 20),
        ({"normalisation": "mean-std", "scale": 0.1, "mean": [2], "std": [4]}, lambda v: (v * 0.1 - 2) / 4),
        (
            {"normalisation": "mean-std", "window": {"low": 5, "high": 25}, "mean": [0.5], "std": [0.25]},
            lambda v: ((v.clip(5, 25) - 5) / 20 - 0.5) / 0.25,
        ),
        (
            {"normalisation": "z-score", "window": {"low": 5, "high": 25}},
            lambda v: (v.clip(5, 25) - v.clip(5, 25).mean()) / v.clip(5, 25).std(),
        ),
    ],
)
def test_normalisation_is_what_it_is_called(declared: Mapping[str, Any], expected: Any) -> None:
    model, engine = stub(
        "segmentation",
        {"layout": "NCZYX", **declared},
        {"threshold": 0.5, "segments": [one_segment()]},
        (1, 1, -1, -1, -1),
        {"out": (1, 1, -1, -1, -1)},
        lambda tensor: {"out": tensor * 0},
    )
    voxels = np.random.default_rng(4).integers(-20, 60, (4, 5, 6)).astype(float)
    answer(series(voxels), model)
    np.testing.assert_allclose(engine.seen[0][0, 0], expected(voxels), rtol=1e-5, atol=1e-5)


def brightest(tensor: Array) -> dict[str, Array]:
    """Boxes (N, 2, 4), scores (N, 2): around the brightest part of a row (N, 1, Y, X), and an overlapping one."""
    boxes, scores = np.zeros((len(tensor), 2, 4), np.float32), np.zeros((len(tensor), 2), np.float32)
    for index, (plane,) in enumerate(tensor):
        rows, columns = np.nonzero(plane == plane.max())
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        boxes[index] = box, box + np.array([1, 0, 1, 0])
        scores[index] = np.array([1, 0.9]) * min(1, plane.max() / 100)
    return {"boxes": boxes, "scores": scores}


def detector(**more: Any) -> Any:
    return stub(
        "detection",
        {"dimensions": "2d", "layout": "NCYX", **more},
        {
            "tensors": {"boxes": "boxes", "scores": "scores"},
            "threshold": 0.5,
            "labels": [
                {
                    "index": 0,
                    "label": "nodule",
                    "finding_type": "nodule",
                    "finding": code("27925004", "Nodule"),
                    "category": "routine",
                    "rules": [{"of": "length", "at_least": 15, "category": "urgent"}],
                    "length": code("103339001", "Long Axis"),
                    "laterality": "by-place",
                }
            ],
        },
        (-1, 1, 64, 64),
        {"boxes": (-1, 2, 4), "scores": (-1, 2)},
        brightest,
        batch=2,
    )


@pytest.mark.parametrize("resampling", ["field-of-view", "letterbox"])
def test_boxes_lie_on_the_pixels_of_the_source(resampling: str) -> None:
    model, _ = detector(orientation="RAS", resampling=resampling)
    voxels = np.zeros((5, 32, 32))
    voxels[1, 4:10, 20:24] = 70
    voxels[2, 4:10, 20:24] = 80  # the same thing on the next image
    voxels[4, 20:30, 2:6] = 60
    images = series(voxels, spacing_mm=(5, 2, 2))
    first, second = answer(images, model).found
    assert (first.number, first.probability) == (1, pytest.approx(0.8))
    assert (first.category, first.laterality) == (Category.ROUTINE, Laterality.LEFT)
    assert first.locations[0].points == pytest.approx((20, 4, 24, 10), abs=0.5)
    assert first.locations[0].sop_instance_uid == images[2].SOPInstanceUID
    assert first.evidence == (images[2].SOPInstanceUID,)
    assert (second.number, second.category, second.laterality) == (2, Category.URGENT, Laterality.RIGHT)
    assert second.locations[0].points == pytest.approx((2, 20, 6, 30), abs=0.5)
    assert second.measurements[0].value == pytest.approx(20, abs=2)  # half of the border is darker than the middle
    strict = answer(images, model, TaskParameters(confidence_threshold=0.75))
    assert [item.probability for item in strict.found] == [pytest.approx(0.8)]


def test_nothing_detected_is_an_answer() -> None:
    model, _ = detector(resampling="field-of-view")
    assert answer(series(np.ones((2, 8, 8))), model).found == ()


def test_boxes_in_a_volume() -> None:
    def one_box(tensor: Array) -> dict[str, Array]:
        z, y, x = np.nonzero(tensor[0, 0] > 50)
        corner = [z.min(), y.min(), x.min()]
        size = [z.max() + 1 - z.min(), y.max() + 1 - y.min(), x.max() + 1 - x.min()]
        return {"b": np.array([[[*corner, *size]]], np.float32), "s": np.array([[3.0]]), "c": np.array([[7]])}

    model, _ = stub(
        "detection",
        {"layout": "NCZYX", "orientation": "RAS"},
        {
            "tensors": {"boxes": "b", "scores": "s", "classes": "c", "format": "corner-size", "order": "zyx"},
            "activation": "sigmoid",
            "threshold": 0.5,
            "labels": [
                {
                    "index": 7,
                    "label": "a",
                    "finding_type": "a",
                    "finding": code("27925004", "Nodule"),
                    "category": "routine",
                    "length": code("103339001", "Long Axis"),
                }
            ],
        },
        (1, 1, -1, -1, -1),
        {"b": (1, 1, 6), "s": (1, 1), "c": (1, 1)},
        one_box,
    )
    voxels = np.zeros((8, 16, 16))
    voxels[2:5, 3:9, 10:12] = 100
    images = series(voxels, spacing_mm=(3, 1, 1))
    for image in images:
        image.FrameOfReferenceUID = "1.2.3"
    (found,) = answer(images, model).found
    shown, centre = found.locations
    assert shown.points == (10, 3, 12, 9)
    assert shown.sop_instance_uid == images[3].SOPInstanceUID
    assert centre.points == pytest.approx((-50 + 10.5, -60 + 5.5, -70 + 9))
    assert found.measurements[0].value == 9
    assert found.probability == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)


def test_series_of_pictures_without_places_can_be_classified_and_are_in_the_order_of_their_numbers() -> None:
    def by_mean(tensor: Array) -> dict[str, Array]:
        return {"out": np.stack([tensor.mean(axis=(1, 2, 3)) / 100], axis=1)}

    model, _ = stub(
        "classification",
        flat(resampling="field-of-view"),
        {
            "threshold": 0.5,
            "aggregation": "mean",
            "labels": [
                {
                    "index": 0,
                    "label": "bright",
                    "finding_type": "bright",
                    "finding": code("1", "Bright"),
                    "category": "routine",
                    "evidence": 2,
                }
            ],
        },
        (-1, 8, 8, 1),
        {"out": (-1, 1)},
        by_mean,
        batch=8,
    )
    images: list[Dataset] = series(np.array([30, 90, 60])[:, None, None] * np.ones((3, 5, 7)))
    for number, image in enumerate(images):
        image.InstanceNumber = 10 - number
        del image.ImagePositionPatient, image.ImageOrientationPatient
    (found,) = (outcome := answer(images, model)).found
    assert found.probability == pytest.approx(0.6)
    assert outcome.sop_instance_uids == tuple(image.SOPInstanceUID for image in images[::-1])
    assert found.evidence == (images[1].SOPInstanceUID, images[2].SOPInstanceUID)
    assert MR in model.metadata.input.sop_class_uids


def test_memory_follows_the_grid_of_the_model_and_not_the_series() -> None:
    model, engine = stub(
        "segmentation",
        {
            "layout": "NCZYX",
            "resampling": "field-of-view",
            "window": {"low": 0, "high": 9},
            "normalisation": "window",
        },
        {"threshold": 0.5, "segments": [one_segment()]},
        (1, 1, 32, 32, 32),
        {"out": (1, 1, 32, 32, 32)},
        lambda tensor: {"out": tensor},
    )
    voxels = np.zeros((300, 256, 256), np.int16)
    voxels[100:200, 60:200, 60:200] = 9
    images = series(voxels)
    tracemalloc.start()
    try:
        outcome = answer(images, model)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    decoded, mask = voxels.size * 4, voxels.size
    assert outcome.arrays[0].array.sum() == pytest.approx(100 * 140 * 140, rel=0.1)
    assert peak < mask + decoded / 4
    assert len(engine.seen) == 1


def test_a_volume_is_explained_where_a_requester_asks() -> None:
    model, engine = stub(
        "segmentation",
        {"layout": "NCZYX", "orientation": "RAS", "normalisation": "maximum"},
        {"threshold": 0.5, "segments": [one_segment()]},
        (-1, 1, 8, 16, 16),
        {"out": (-1, 1, 8, 16, 16)},
        lambda tensor: {"out": tensor},
        batch=5,
    )
    voxels = np.zeros((8, 16, 16))
    voxels[0:4, 0:4, 8:16] = 100
    images = series(voxels)
    assert [item.kind for item in answer(images, model).arrays] == ["mask"]
    engine.seen.clear()
    outcome = answer(images, model, TaskParameters(include_heatmaps=True))
    assert [len(seen) for seen in engine.seen] == [1, *[5] * 12, 4]
    (heat,) = [item.array for item in outcome.arrays if item.kind == "heatmap"]
    assert heat.shape == voxels.shape
    inside = voxels > 0
    assert heat[inside].min() > 0
    assert heat[inside].mean() > 10 * abs(heat[~inside].mean())
