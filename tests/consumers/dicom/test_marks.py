from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom import Dataset

from consumers.dicom.marks import Mark, marks_of
from consumers.dicom.material import Material
from consumers.dicom.outline import MOST_POINTS
from consumers.dicom.planes import Plane, frames_of, plane_of, spacing_of, thickness_mm
from consumers.dicom.source import prepare
from schemas.events import Location, LocationKind
from tests.consumers.dicom.sources import SOURCES, about
from tests.consumers.generated import generated
from tests.consumers.results import headers, mask, result_with_findings

UID = str(headers()[7].SOPInstanceUID)
FRAME_OF_REFERENCE = str(headers()[0].FrameOfReferenceUID)


def no_image(uid: str) -> Dataset:
    raise AssertionError(f"pixels of {uid} were asked for")


def marks(*locations: Location, masks: tuple[np.ndarray, ...] = ()) -> dict[int, list[Mark]]:
    base = result_with_findings()
    found = replace(base.findings[0], locations=locations, segment_number=1 if masks else None)
    result = replace(base, findings=(found,))
    return marks_of(result, Material(prepare(result, headers()), no_image, masks))


def in_patient(index: int, column: float, row: float, away_mm: float = 0.0) -> tuple[float, float, float]:
    """A place on an image as x, y, z: by the definition of PS3.3 C.7.6.2.1.1, pixel centres counted from 0."""
    header = headers()[index]
    across, down = np.array(header.ImageOrientationPatient[:3]), np.array(header.ImageOrientationPatient[3:])
    place = np.array(header.ImagePositionPatient, dtype=float)
    place += (column - 0.5) * float(header.PixelSpacing[1]) * across
    place += (row - 0.5) * float(header.PixelSpacing[0]) * down
    x, y, z = (place + away_mm * np.cross(across, down)).tolist()
    return x, y, z


def test_a_box_on_an_image_is_its_four_corners() -> None:
    found = marks(Location(LocationKind.BOX, (10, 20, 30, 45), sop_instance_uid=UID))
    assert {index: [mark.points.tolist() for mark in on_it] for index, on_it in found.items()} == {
        7: [[[10, 20], [30, 20], [30, 45], [10, 45]]]
    }


def test_a_point_in_the_patient_lies_on_the_nearest_image() -> None:
    place = in_patient(5, 100.25, 60.75, away_mm=0.4)
    (on_it,) = marks(Location(LocationKind.POINT_3D, place, frame_of_reference_uid=FRAME_OF_REFERENCE))[5]
    assert on_it.points == pytest.approx(np.array([[100.25, 60.75]]), abs=1e-4)


def test_hundreds_of_places_are_not_looked_for_on_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Plane] = []
    seen = Plane.seen

    def counted(plane: Plane, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(plane)
        return seen(plane, points)

    monkeypatch.setattr(Plane, "seen", counted)
    places = [in_patient(number % 20, 100.0, 60.0) for number in range(300)]
    found = marks(*(Location(LocationKind.POINT_3D, place) for place in places))
    assert {index: len(on_it) for index, on_it in found.items()} == dict.fromkeys(range(20), 15)
    assert len(asked) == 300, "once for each place, on its own image"


def test_a_contour_in_the_patient_lies_on_its_image() -> None:
    corners = [(50, 50), (80, 50), (80, 90)]
    points = tuple(value for column, row in corners for value in in_patient(9, column, row))
    found = marks(Location(LocationKind.CONTOUR_3D, points))
    assert list(found) == [9]
    assert found[9][0].points == pytest.approx(np.array(corners, dtype=float), abs=1e-4)


def test_a_contour_across_images_is_marked_at_its_centre() -> None:
    points = (*in_patient(4, 60, 60), *in_patient(6, 60, 60), *in_patient(6, 90, 60), *in_patient(4, 90, 60))
    found = marks(Location(LocationKind.CONTOUR_3D, points))
    (on_it,) = (mark for members in found.values() for mark in members)
    assert on_it.points == pytest.approx(np.array([[75.0, 60.0]]), abs=0.1)


@pytest.mark.parametrize(
    "location",
    [
        Location(LocationKind.POINT, (1, 1), sop_instance_uid="2.25.404"),
        Location(LocationKind.POINT, (1, 1), sop_instance_uid=UID, frame_number=2),
        Location(LocationKind.POINT, (float("nan"), 1), sop_instance_uid=UID),
        Location(LocationKind.POINT, (float("inf"), 1), sop_instance_uid=UID),
        Location(LocationKind.POINT, (), sop_instance_uid=UID),
        Location(LocationKind.BOX, (-50, -50, -10, -10), sop_instance_uid=UID),
        Location(LocationKind.POINT, (300, 20), sop_instance_uid=UID),
        Location(LocationKind.POINT_3D, (0, 0, 9000)),
        Location(LocationKind.POINT_3D, in_patient(5, 10, 10), frame_of_reference_uid="2.25.405"),
        Location(LocationKind.POINT_3D, in_patient(5, 5000, 10)),
    ],
)
def test_what_lies_on_no_source_image_is_not_drawn(location: Location) -> None:
    assert marks(location) == {}


def test_what_reaches_out_of_the_image_is_drawn_to_its_edge() -> None:
    found = marks(Location(LocationKind.BOX, (-10, 240, 20, 300), sop_instance_uid=UID))
    assert found[7][0].points.tolist() == [[0, 240], [20, 240], [20, 256], [0, 256]]


def test_a_segment_is_outlined_on_each_of_its_images_with_its_hole() -> None:
    found = marks(masks=(mask(),))
    assert list(found) == np.flatnonzero(mask().any(axis=(1, 2))).tolist()
    assert len(found[6]) == 2
    assert len(found[7]) == 1
    columns = np.flatnonzero(mask()[7].any(axis=0))
    assert found[7][0].points[:, 0].min() == columns[0]
    assert found[7][0].points[:, 0].max() == columns[-1] + 1


def test_a_finding_with_a_contour_is_not_outlined_again() -> None:
    contour = Location(LocationKind.CONTOUR, (10, 10, 20, 10, 20, 20), sop_instance_uid=UID)
    point = Location(LocationKind.POINT, (10, 10), sop_instance_uid=UID)
    assert list(marks(contour, masks=(mask(),))) == [7]
    assert len(marks(point, masks=(mask(),))) == int(mask().any(axis=(1, 2)).sum())


def test_a_contour_with_more_points_than_dicom_can_write_is_thinned() -> None:
    angles = np.linspace(0, 6.28, 20_000)
    points = np.stack([100 + 50 * np.cos(angles), 100 + 50 * np.sin(angles)], axis=1).ravel()
    found = marks(Location(LocationKind.CONTOUR, tuple(points.tolist()), sop_instance_uid=UID))
    assert len(found[7][0].points) <= MOST_POINTS


def test_a_noisy_mask_does_not_become_thousands_of_lines() -> None:
    noise = np.zeros(mask().shape, dtype=bool)
    noise[3] = np.random.default_rng(3).random(noise[3].shape) > 0.8
    assert max(len(members) for members in marks(masks=(noise,)).values()) <= 50


def test_a_mark_on_a_frame_of_a_multi_frame_image() -> None:
    result, material = about(SOURCES["frames"](), frame=3)
    assert list(marks_of(result, material)) == [2]


def test_every_place_of_a_generated_finding_is_drawn() -> None:
    for seed in range(20):
        case = generated(seed)
        placed = {n for n, one in enumerate(case.result.findings, start=1) if one.locations or one.segment_number}
        found = marks_of(case.result, case.material())
        assert {mark.number for members in found.values() for mark in members} == placed


def test_planes_of_enhanced_images_come_from_the_functional_groups() -> None:
    def group(**attributes: object) -> Dataset:
        item = Dataset()
        for keyword, value in attributes.items():
            setattr(item, keyword, value)
        return item

    source = group(
        SOPInstanceUID="2.25.1",
        NumberOfFrames=2,
        SharedFunctionalGroupsSequence=[
            group(
                PlaneOrientationSequence=[group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
                PixelMeasuresSequence=[group(PixelSpacing=[2, 3], SliceThickness=4)],
            )
        ],
        PerFrameFunctionalGroupsSequence=[
            group(PlanePositionSequence=[group(ImagePositionPatient=[0, 0, z])]) for z in (10, 20)
        ],
    )
    _, second = frames_of([source])
    plane = plane_of(second)
    assert plane is not None
    assert plane.origin.tolist() == [0, 0, 20]
    assert (spacing_of(second), thickness_mm(second)) == ((2.0, 3.0), 4.0)
    seen, away = plane.seen(np.array([[3.0, 2.0, 21.0]]))
    assert (seen.tolist(), away.tolist()) == ([[1.5, 1.5]], [1.0])


def test_an_image_without_geometry_has_no_plane() -> None:
    (frame,) = frames_of([SOURCES["gray"]()])
    assert (plane_of(frame), spacing_of(frame), thickness_mm(frame)) == (None, None, 1.0)
