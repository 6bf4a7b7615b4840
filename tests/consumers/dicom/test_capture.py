"""What is burned in lies where it should, says what it should, and nothing about the patient."""

from __future__ import annotations

import copy
import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from consumers.dicom.captions import COLOURS, Colour, finding_details, finding_label, number_text
from consumers.dicom.capture import captures
from consumers.dicom.capture_key import placement
from consumers.dicom.drawing import AMBER, drawable, font, shortened, wrapped
from consumers.dicom.key_frames import best_frames
from consumers.dicom.marks import marks_of
from consumers.dicom.plan import PRESETS, Plan
from consumers.dicom.planes import frames_of
from consumers.dicom.render import render
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import Category, Location, LocationKind
from schemas.terminology import Language
from tests.consumers.dicom.sources import BOX, SOURCES, UNDECODABLE, about
from tests.consumers.generated import big_case, generated, nasty_case, nasty_texts

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def read(dataset: Dataset) -> Dataset:
    return pydicom.dcmread(io.BytesIO(written(dataset)))


def near(pixels: np.ndarray, colour: Colour) -> np.ndarray:
    """Where a picture has a colour."""
    difference = np.abs(pixels.astype(int) - np.array(colour)).max(axis=-1)
    found: np.ndarray = difference < 24
    return found


def test_a_summary_and_a_key_image_are_secondary_captures_of_the_study() -> None:
    source = SOURCES["gray"]()
    result, material = about(source)
    page, key = (read(item) for item in captures(result, material, Language.ENGLISH))
    for number, item in enumerate((page, key), start=1):
        assert item.SOPClassUID == SECONDARY_CAPTURE
        assert item.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert (item.StudyInstanceUID, item.PatientID) == (result.study_instance_uid, source.PatientID)
        assert (item.BurnedInAnnotation, item.ConversionType) == ("YES", "WSD")
        assert (item.InstanceNumber, item.SeriesDescription) == (number, "AI result brain-mr")
        assert (item.Rows, item.Columns, item.PhotometricInterpretation) == (1024, 1024, "RGB")
        assert (item.ContentDate, item.ContentTime) == ("20260301", "123015.250")
        assert (item.DateOfSecondaryCapture, item.TimeOfSecondaryCapture) == ("20260301", "123015.250")
        assert item.TimezoneOffsetFromUTC == "+0000"
        assert (item.Manufacturer, item.ManufacturerModelName) == ("scanstream", "brain-mr")
        assert item.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        (series,) = item.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert page.SeriesInstanceUID == key.SeriesInstanceUID
    assert page.SOPInstanceUID != key.SOPInstanceUID


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_contour_is_drawn_where_the_finding_is(name: str) -> None:
    source = SOURCES[name]()
    result, material = about(source, frame=2 if name == "frames" else None)
    _, key = captures(result, material, Language.ENGLISH)
    seen = near(key.pixel_array, COLOURS[Category.ROUTINE])
    frame = frames_of(material.sources)[1 if name == "frames" else 0]
    place, scale = placement(frame)
    left, right = (place[0] + column * scale[0] for column in BOX[::2])
    top, bottom = (place[1] + row * scale[1] for row in BOX[1::2])
    for share in (0.2, 0.5, 0.8):
        column, row = round(left + share * (right - left)), round(top + share * (bottom - top))
        for spot in ((row, round(left)), (row, round(right)), (round(top), column), (round(bottom), column)):
            assert seen[spot[0] - 1 : spot[0] + 2, spot[1] - 1 : spot[1] + 2].any(), f"no line at {spot}"
        assert not seen[round(top) + 12 : round(bottom) - 12, column].any(), "the inside stays visible"


def test_the_image_is_drawn_in_its_proportions() -> None:
    _, material = about(SOURCES["not square"]())
    (left, top, right, bottom), (across, down) = placement(frames_of(material.sources)[0])
    assert down == pytest.approx(2 * across, rel=0.01)
    assert (right - left, bottom - top) == (round(128 * across), round(96 * down))


@pytest.mark.parametrize("name", sorted(UNDECODABLE))
@pytest.mark.filterwarnings("ignore")
def test_an_image_that_cannot_be_decoded_is_left_out_and_the_summary_says_so(name: str) -> None:
    result, material = about(UNDECODABLE[name]())
    (page,) = captures(result, material, Language.ENGLISH)
    whole, _ = captures(*about(SOURCES["gray"]()), Language.ENGLISH)
    warned = [near(item.pixel_array[700:], AMBER).any() for item in (page, whole)]
    assert warned == [True, False]


def test_a_gateway_that_is_away_is_no_missing_image() -> None:
    result, material = about(SOURCES["gray"]())

    def away(_: str) -> Dataset:
        raise DestinationUnavailable("away: check it")

    with pytest.raises(DestinationUnavailable):
        captures(result, replace(material, image=away), Language.ENGLISH)


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "SOPClassUID"])
def test_a_source_that_is_no_image_is_an_error_with_a_remedy(keyword: str) -> None:
    result, material = about(SOURCES["gray"]())
    del material.sources[0][keyword]
    with pytest.raises(InvalidMessage, match="check the headers"):
        render(result, material, Plan(PRESETS["no-sr"], Language.ENGLISH))


def test_the_patient_is_not_burned_in() -> None:
    case = generated(2)
    other = [copy.deepcopy(header) for header in case.headers]
    for header in other:
        header.PatientName, header.PatientID = "Інший^Пацієнт", "ID-4711"
        header.PatientBirthDate, header.AccessionNumber = "19700101", "ACC-99"
        header.StudyDescription = header.SeriesDescription = "Пацієнт Інший"
    first = captures(case.result, case.material(), Language.UKRAINIAN)
    again = captures(case.result, replace(case, headers=tuple(other)).material(), Language.UKRAINIAN)
    assert [item.PixelData for item in first] == [item.PixelData for item in again]


def test_the_summary_is_of_a_whole_multi_frame_image_and_a_key_image_of_its_frame() -> None:
    result, material = about(SOURCES["frames"](), frame=2)
    page, key = captures(result, material, Language.ENGLISH)
    assert "ReferencedFrameNumber" not in page.SourceImageSequence[0]
    assert key.SourceImageSequence[0].ReferencedFrameNumber == 2


def test_nothing_found_is_one_page() -> None:
    case = generated(4)
    assert not case.result.findings
    (page,) = captures(case.result, case.material(), Language.UKRAINIAN)
    assert len(page.SourceImageSequence) == 20


def test_five_hundred_findings_are_a_page_and_eight_key_images() -> None:
    case = big_case()
    made = captures(case.result, case.material(), Language.UKRAINIAN)
    assert len(made) == 9
    sources = [item.SourceImageSequence[0].ReferencedSOPInstanceUID for item in made[1:]]
    assert len(set(sources)) == 8


def test_the_most_urgent_findings_get_the_key_images() -> None:
    case = big_case()
    material = case.material()
    found = best_frames(case.result, frames_of(material.sources), marks_of(case.result, material))
    order = [case.result.findings[number - 1].category for number in found]
    assert order == sorted(order, key=list(Category).index)


def test_evidence_is_preferred_and_shown_even_without_a_contour() -> None:
    case = generated(2)
    material = case.material()
    uid = case.result.sop_instance_uids[13]
    (base, *_) = case.result.findings
    bare = replace(base, locations=(), segment_number=None, evidence=(uid,), category=Category.CRITICAL)
    places = tuple(
        Location(LocationKind.BOX, (10, 10, 10 + size, 20), sop_instance_uid=case.result.sop_instance_uids[index])
        for index, size in ((3, 90), (13, 20))
    )
    for finding in (bare, replace(bare, locations=places)):
        result = replace(case.result, findings=(finding,))
        _, key = captures(result, material, Language.ENGLISH)
        assert key.SourceImageSequence[0].ReferencedSOPInstanceUID == uid
    result = replace(case.result, findings=(replace(bare, locations=places, evidence=()),))
    _, key = captures(result, material, Language.ENGLISH)
    assert key.SourceImageSequence[0].ReferencedSOPInstanceUID == case.result.sop_instance_uids[3]


def test_the_orientation_of_key_images_is_that_of_the_source() -> None:
    case = generated(2)
    page, key, *_ = (read(item) for item in captures(case.result, case.material(), Language.ENGLISH))
    assert page.PatientOrientation is None or page.PatientOrientation == ""
    assert list(key.PatientOrientation) == ["L", "P"]


@pytest.mark.parametrize("seed", [0, 2, 11])
def test_the_same_result_gives_the_same_bytes_and_another_language_another_object(seed: int) -> None:
    case = generated(seed)
    first = captures(case.result, case.material(), Language.UKRAINIAN)
    again = captures(case.result, case.material(), Language.UKRAINIAN)
    english = captures(case.result, case.material(), Language.ENGLISH)
    assert [written(item) for item in first] == [written(item) for item in again]
    assert not {item.SOPInstanceUID for item in first} & {item.SOPInstanceUID for item in english}


@pytest.mark.parametrize("text", nasty_texts(), ids=range(len(nasty_texts())))
def test_texts_of_every_sort_can_be_drawn(text: str) -> None:
    case = nasty_case(text)
    first, *_ = case.result.findings
    result = replace(case.result, findings=(replace(first, code=replace(first.code, value="x", meaning=text)),))
    page, *_ = captures(result, case.material(), Language.UKRAINIAN)
    assert read(page).pixel_array.shape == (1024, 1024, 3)
    line = drawable(text)
    assert line.isprintable()
    assert font(20).getlength(shortened(text, font(20), 200)) <= 200
    assert all(font(20).getlength(part) <= 200 for part in wrapped(text, font(20), 200, 3))
    assert len(wrapped(text, font(20), 200, 3)) <= 3


def test_ukrainian_letters_are_drawn_and_what_the_font_lacks_is_a_square() -> None:
    assert drawable("Ґанок, Євген, Їжак, Іван, ’") == "Ґанок, Євген, Їжак, Іван, ’"
    assert drawable("и\u0306") == "й"
    assert drawable("🧠") == "▫"
    pictures = {letter: bytes(font(20).getmask(letter)) for letter in "ҐЄІЇґєії▫"}
    assert len(set(pictures.values())) == len(pictures)


def test_labels_name_number_side_and_values_in_the_language() -> None:
    case = generated(2)
    finding = case.result.findings[0]
    assert finding_label(1, finding, Language.UKRAINIAN) == "1 Вузлик, праворуч"
    assert finding_label(1, finding, Language.ENGLISH) == "1 Nodule, right"
    assert "10,67 мм" in finding_details(finding, Language.UKRAINIAN)
    assert "10.67 mm" in finding_details(finding, Language.ENGLISH)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (1234.5, "1234"),
        (0.01234, "0,01234"),
        (98765.4, "98765"),
        (3.73e-5, "3,73·10⁻⁵"),
        (2e12, "2·10¹²"),
    ],
)
def test_numbers_are_readable(value: float, said: str) -> None:
    assert number_text(value, Language.UKRAINIAN) == said


def test_the_fonts_are_the_ones_whose_licence_is_beside_them() -> None:
    assert font(20).getname() == ("DejaVu Sans", "Book")
    assert font(20, bold=True).getname() == ("DejaVu Sans", "Bold")
