"""A new model is a folder: nothing but metadata and a graph makes it read series and say findings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from engines.model import Model
from engines.outcome import Outcome
from engines.pipeline import run
from engines.steps import Infer, drive
from schemas.errors import ConfigurationError, InvalidInput
from schemas.events import Category, Laterality, LocationKind, ResultOutcome, TaskParameters
from tests.engines.dropped import CT, PHOTO, RED_GREEN, densities, red_or_green
from tests.engines.phantom import series


def answer(images: Sequence[Dataset], model: Model, parameters: TaskParameters | None = None) -> Outcome:
    return drive(run(images, model, parameters), model.engine.infer)


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return densities(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def classification(tmp_path_factory: pytest.TempPathFactory) -> Model:
    heatmap = {"method": "activation", "tensor": "maps", "weights": RED_GREEN, "always": True}
    return red_or_green(tmp_path_factory.mktemp("models"), heatmap)


def head(spacing: tuple[float, float, float] = (2, 1, 1)) -> tuple[list[Dataset], NDArray[np.bool_]]:
    """CT of a head: brain of 35 HU in a skull of 800 HU, blood of 70 HU on the patient's left, a speck of it."""
    shape = (60, 160, 160)
    slices, rows, columns = np.ogrid[:60, :160, :160]
    away = np.sqrt(
        ((slices - 30) * spacing[0]) ** 2 + ((rows - 80) * spacing[1]) ** 2 + ((columns - 80) * spacing[2]) ** 2
    )
    voxels = np.full(shape, -1000)
    voxels[away < 58] = 800
    voxels[away < 52] = 35
    blood = np.sqrt(((slices - 30) * spacing[0]) ** 2 + (rows - 80.0) ** 2 + (columns - 105.0) ** 2) < 12
    voxels[blood] = 70
    voxels[10:12, 70:74, 70:74] = 70
    images = series(voxels + 1024, spacing_mm=spacing, name="head")
    for image in images:
        image.SOPClassUID, image.Modality = CT, "CT"
        image.RescaleSlope, image.RescaleIntercept = 1, -1024
        image.FrameOfReferenceUID = "1.2.3.4"
    return images, blood


def test_a_segmentation_of_256_cubed_needs_metadata_only(segmentation: Model) -> None:
    images, blood = head()
    outcome = answer(images, segmentation)
    bleeding, bone = outcome.found
    volume_ml = blood.sum() * 2 / 1000
    assert bleeding.measurements[0].value == pytest.approx(volume_ml, rel=0.08)
    assert (bleeding.finding_type, bleeding.number, bleeding.segment_number) == ("hyperdensity", 1, 1)
    assert (bleeding.category, bleeding.laterality) == (Category.URGENT, Laterality.LEFT)
    assert (bone.finding_type, bone.number, bone.segment_number) == ("bone-volume", 2, 2)
    masks = {item.segment_number: item.array for item in outcome.arrays}
    overlap = 2 * (masks[1] & blood).sum() / (masks[1].sum() + blood.sum())
    assert overlap > 0.9
    assert not masks[1][10:12, 70:74, 70:74].any()  # the speck is below the minimum volume
    assert not (masks[1] & masks[2]).any()
    assert bleeding.evidence[0] in {image.SOPInstanceUID for image in images[29:32]}
    (place,) = bleeding.locations
    assert place.kind is LocationKind.POINT_3D
    assert place.points == pytest.approx((-50 + 105, -60 + 80, -70 + 60), abs=1.5)
    assert outcome.sop_instance_uids == tuple(image.SOPInstanceUID for image in images)


def test_segments_without_a_voxel_leave_no_gap(segmentation: Model) -> None:
    images, _ = head()
    for image in images:
        values = np.frombuffer(image.PixelData, "<i2").copy()
        values[values == 70 + 1024] = 35 + 1024
        image.PixelData = values.tobytes()
    outcome = answer(images, segmentation)
    (bone,) = outcome.found
    assert (bone.number, bone.segment_number) == (2, 1)
    assert [item.segment_number for item in outcome.arrays] == [1]


def test_what_does_not_fit_the_grid_is_refused_with_both_sizes(segmentation: Model) -> None:
    images, _ = head((6, 1, 1))
    with pytest.raises(InvalidInput, match="160 × 160 × 360 voxels after resampling and the model takes 256"):
        answer(images, segmentation)


def photo(colour: NDArray[Any], number: int = 1) -> Dataset:
    image = series(np.zeros((1, *colour.shape[:2])), name=f"photo {number}")[0]
    image.SeriesInstanceUID = "1.2.3"
    image.SOPClassUID, image.Modality, image.InstanceNumber = PHOTO, "XC", number
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.PixelData = np.ascontiguousarray(colour, np.uint8).tobytes()
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(image, keyword)
    return image


def plain(red: int, green: int, shape: tuple[int, int] = (40, 60)) -> NDArray[np.uint8]:
    colour = np.zeros((*shape, 3), np.uint8)
    colour[..., 0], colour[..., 1] = red, green
    return colour


def test_a_classification_of_colour_images_needs_metadata_only(classification: Model) -> None:
    half = plain(0, 40)
    half[:, :30] = (250, 0, 0)
    images = [photo(plain(0, 200), 1), photo(half, 2), photo(plain(0, 180), 3)]
    outcome = answer(images, classification)
    (found,) = outcome.found
    assert (found.finding_type, found.category) == ("erythema", Category.URGENT)
    assert found.probability is not None
    assert found.probability > 0.6
    assert found.evidence == (images[1].SOPInstanceUID,)
    (heat,) = outcome.arrays
    assert (heat.kind, heat.array.shape, heat.array.dtype) == ("heatmap", (3, 40, 60), np.float32)
    assert heat.array[1, :, :28].min() > 0.3
    assert heat.array[1, :, 32:].max() == 0
    assert heat.quantity is not None
    assert heat.quantity.meaning == "Class activation"


def test_no_class_above_its_threshold_is_an_answer(classification: Model) -> None:
    outcome = answer([photo(plain(0, 200))], classification)
    assert outcome.outcome is ResultOutcome.NO_FINDINGS
    strict = TaskParameters(confidence_threshold=0.999999)
    assert answer([photo(plain(120, 100))], classification, strict).found == ()
    assert answer([photo(plain(120, 100))], classification).found != ()


def test_rows_come_in_batches_of_the_declared_size(classification: Model) -> None:
    images = [photo(plain(200, 0), number) for number in range(1, 7)]
    way = run(images, classification)
    sizes, answered = [], None
    with pytest.raises(StopIteration):
        while True:
            step = way.send(answered)
            answered = None
            if isinstance(step, Infer):
                sizes.append(step.tensors["photo"].shape)
                answered = classification.engine.infer(step.tensors)
    assert sizes == [(4, 3, 32, 32), (2, 3, 32, 32)]


def test_occlusion_shows_what_the_answer_depends_on_for_any_engine(tmp_path: Path) -> None:
    model = red_or_green(tmp_path)
    half = plain(0, 40)
    half[:, :30] = (250, 0, 0)
    image = photo(half)
    assert answer([image], model).arrays == ()
    (heat,) = answer([image], model, TaskParameters(include_heatmaps=True)).arrays
    assert heat.quantity is not None
    assert heat.quantity.meaning == "Occlusion sensitivity"
    assert heat.array[0, 10:30, :20].min() > 0
    assert heat.array[0, 10:30, :20].mean() > 3 * abs(heat.array[0, 10:30, 40:].mean())


def test_the_names_of_the_graph_are_checked_before_the_first_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="output other is none of the graph's: scores, maps"):
        red_or_green(tmp_path, {"method": "activation", "tensor": "other", "weights": RED_GREEN})
