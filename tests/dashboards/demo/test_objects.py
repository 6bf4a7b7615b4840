"""What the demonstration reads out of data sets, and the picture that it draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dashboards.demo.audit import AUDITED, missing
from dashboards.demo.dicom_evidence import mask_of, volumes_ml, voxel_ml
from dashboards.demo.fresh import SERIES, fresh_study
from dashboards.demo.overlay import COLOUR, draw, outline, sides, slices_of
from schemas.errors import InvalidInput
from schemas.topics import Topic


def item(**elements: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def number(value: float, unit: str, code: str = "118565006") -> Dataset:
    return item(
        ValueType="NUM",
        ConceptNameCodeSequence=[item(CodeValue=code, CodingSchemeDesignator="SCT", CodeMeaning="x")],
        MeasuredValueSequence=[
            item(
                NumericValue=value,
                MeasurementUnitsCodeSequence=[
                    item(CodeValue=unit, CodingSchemeDesignator="UCUM", CodeMeaning="x")
                ],
            )
        ],
    )


def seg(frames: np.ndarray, sources: list[str]) -> Dataset:
    dataset = item(
        Rows=frames.shape[1],
        Columns=frames.shape[2],
        NumberOfFrames=len(frames),
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelRepresentation=0,
        PerFrameFunctionalGroupsSequence=[
            item(DerivationImageSequence=[item(SourceImageSequence=[item(ReferencedSOPInstanceUID=uid)])])
            for uid in sources
        ],
    )
    dataset.PixelData = np.packbits(frames, axis=None, bitorder="little").tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = item(TransferSyntaxUID="1.2.840.10008.1.2.1")
    return dataset


def test_frames_of_a_seg_go_to_their_slices_whatever_their_order():
    frames = np.random.default_rng(1).random((2, 8, 16)) > 0.5
    mask = mask_of(seg(frames, ["1.3", "1.1"]), ["1.1", "1.2", "1.3"])
    assert mask.shape == (3, 8, 16)
    assert np.array_equal(mask[0], frames[1])
    assert not mask[1].any()
    assert np.array_equal(mask[2], frames[0])


def test_a_seg_of_other_images_is_refused():
    with pytest.raises(InvalidInput, match=r"derived from 1\.9"):
        mask_of(seg(np.ones((1, 8, 8), bool), ["1.9"]), ["1.1"])


def test_volumes_are_found_at_any_depth_and_in_any_unit():
    group = item(ValueType="CONTAINER", ContentSequence=[number(1171.8, "mL"), number(3.0, "mm", "other")])
    report = item(ContentSequence=[item(ValueType="CONTAINER", ContentSequence=[group]), number(2500.0, "mm3")])
    assert volumes_ml(report) == [1171.8, 2.5]
    assert volumes_ml(item()) == []


def test_a_fresh_study_is_the_same_images_under_new_uids(tmp_path: Path):
    counter = iter(range(1000))
    study = fresh_study(tmp_path, new_uid=lambda: f"1.2.{next(counter)}")
    before = [dcmread(path) for path in sorted(SERIES.glob("*.dcm"))]
    after = [dcmread(path) for path in sorted(tmp_path.glob("*.dcm"))]
    assert len(after) == len(study.images) == 20
    for keyword, different in (("StudyInstanceUID", 1), ("SeriesInstanceUID", 1), ("FrameOfReferenceUID", 1)):
        assert len({image[keyword].value for image in after}) == different
    assert len({image.SOPInstanceUID for image in after}) == 20
    assert {image.StudyInstanceUID for image in after} == {study.study_instance_uid}
    for old, new in zip(before, after, strict=True):
        assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID != old.SOPInstanceUID
        assert new.PixelData == old.PixelData
        assert new.ImagePositionPatient == old.ImagePositionPatient


def test_two_fresh_studies_have_nothing_in_common(tmp_path: Path):
    uids = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        uids |= {str(image.SOPInstanceUID) for image in fresh_study(folder).images}
    assert len(uids) == 40


def test_voxel_volume_is_that_of_the_geometry():
    images = [dcmread(path, stop_before_pixels=True) for path in sorted(SERIES.glob("*.dcm"))]
    assert voxel_ml(images) == pytest.approx(0.859375**2 * 7.0 / 1000, rel=0.01)


def test_the_picture_shows_contour_and_images():
    images = [dcmread(path) for path in sorted(SERIES.glob("*.dcm"))]
    mask = np.zeros((20, 256, 256), bool)
    mask[5:15, 60:200, 80:180] = True
    picture = np.asarray(draw(images, mask, "title", "caption"))
    assert picture.shape[1] > 3 * 450
    contour = (picture == np.array(COLOUR)).all(axis=-1)
    for column in range(3):
        left = 18 + column * 490
        assert contour[52:532, left : left + 480].sum() > 500
    assert 60 < picture[200:400, 100:400].mean() < 220


def test_an_empty_mask_is_drawn_too():
    images = [dcmread(path) for path in sorted(SERIES.glob("*.dcm"))]
    picture = np.asarray(draw(images, np.zeros((20, 256, 256), bool), "nothing", ""))
    assert not (picture == np.array(COLOUR)).all(axis=-1).any()


def test_slices_are_chosen_within_the_mask():
    mask = np.zeros((20, 4, 4), bool)
    mask[4:13, 1, 1] = True
    assert slices_of(mask) == [6, 8, 10]


def test_outline_is_the_rim():
    mask = np.zeros((6, 6), bool)
    mask[1:5, 1:5] = True
    rim = outline(mask)
    assert rim.sum() == 12
    assert not rim[2:4, 2:4].any()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1, 0, 0], ("R", "L")),
        ([-1, 0, 0], ("L", "R")),
        ([0, 1, 0], ("A", "P")),
        ([0.1, -0.9, 0.2], ("P", "A")),
        ([0, 0, 1], ("F", "H")),
    ],
)
def test_sides_of_the_patient(row: list[float], expected: tuple[str, str]):
    assert sides(row) == expected


def test_what_a_completed_study_must_have_on_kafka():
    complete = {
        "imaging.instances": 22,
        "imaging.studies": 1,
        "inference.tasks.p3-normal": 1,
        "inference.status": 5,
        "inference.results": 1,
        "findings.brain-volume": 1,
        "delivery.outcomes": 2,
    }
    assert missing(complete, 20) is None
    for topic, number in complete.items():
        said = missing(complete | {topic: 0 if number < 3 else 1}, 20)
        assert said is not None
        assert topic.removesuffix("p3-normal") in said


def test_changelogs_are_not_audited_and_everything_else_is():
    assert set(Topic) - {Topic(topic) for topic in AUDITED} == {Topic.ASSEMBLY, Topic.RELAY}
