from __future__ import annotations

import copy
import io
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset

from consumers.dicom.captions import COLOURS
from consumers.dicom.material import Material
from consumers.dicom.presentation import presentation_states
from consumers.dicom.source import prepare
from schemas.errors import TransientFailure
from schemas.events import Category, Location, LocationKind
from schemas.terminology import Language
from schemas.values import Code
from tests.consumers.dicom.sources import BOX, DIGITAL_X_RAY, SOURCES, UNDECODABLE, about, ramp
from tests.consumers.dicom.sources import image as source_image
from tests.consumers.generated import big_case, generated, image, nasty_case, nasty_texts
from tests.consumers.results import headers, mask, result_with_findings, result_without_findings
from tests.tools import need

GRAYSCALE = "1.2.840.10008.5.1.4.1.1.11.1"
COLOUR = "1.2.840.10008.5.1.4.1.1.11.2"


def written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def read(dataset: Dataset) -> Dataset:
    return pydicom.dcmread(io.BytesIO(written(dataset)))


def no_image(uid: str) -> Dataset:
    raise AssertionError(f"pixels of {uid} were asked for")


def graphics(state: Dataset) -> list[Dataset]:
    return [item for one in state.GraphicAnnotationSequence for item in one.get("GraphicObjectSequence", [])]


def test_a_box_becomes_a_closed_polyline_with_number_name_and_tracking() -> None:
    result, material = about(SOURCES["gray"]())
    (state,) = presentation_states(result, material, Language.UKRAINIAN)
    state = read(state)
    (item,) = graphics(state)
    left, top, right, bottom = BOX
    assert item.GraphicType == "POLYLINE"
    assert item.GraphicAnnotationUnits == "PIXEL"
    assert item.GraphicData == [left, top, right, top, right, bottom, left, bottom, left, top]
    assert item.TrackingUID == result.findings[0].tracking_uid
    (text,) = state.GraphicAnnotationSequence[0].TextObjectSequence
    assert text.UnformattedTextValue == "1 Головний мозок"
    assert text.TrackingUID == result.findings[0].tracking_uid
    assert (text.AnchorPoint, text.AnchorPointVisibility) == ([right, top], "N")
    assert state.SOPClassUID == GRAYSCALE
    assert state.SpecificCharacterSet == "ISO_IR 192"
    assert (state.PresentationCreationDate, state.PresentationCreationTime) == ("20260301", "123015.250")
    assert state.ContentLabel == "AI FINDINGS"
    assert state.Manufacturer == "scanstream"


def test_a_point_is_a_point() -> None:
    base = result_with_findings()
    place = Location(LocationKind.POINT, (12.5, 14.25), sop_instance_uid=base.sop_instance_uids[4])
    found = replace(base.findings[0], locations=(place,), segment_number=None)
    result = replace(base, findings=(found,))
    (state,) = presentation_states(result, Material(prepare(result, headers()), image), Language.ENGLISH)
    (item,) = graphics(state)
    assert (item.GraphicType, item.GraphicData) == ("POINT", [12.5, 14.25])


def test_a_segment_is_outlined_and_only_images_with_a_mark_are_referred_to() -> None:
    result = result_with_findings()
    material = Material(prepare(result, headers()), image, [mask()])
    (state,) = presentation_states(result, material, Language.ENGLISH)
    (series,) = state.ReferencedSeriesSequence
    shown = [item.ReferencedSOPInstanceUID for item in series.ReferencedImageSequence]
    filled = np.flatnonzero(mask().any(axis=(1, 2)))
    assert shown == [headers()[index].SOPInstanceUID for index in filled]
    assert len(graphics(state)) == len(filled) + 1, "the hole is outlined, too"


def test_there_is_a_layer_of_its_own_colour_for_each_category_with_the_most_urgent_on_top() -> None:
    result, material = about(SOURCES["gray"]())
    (base,) = result.findings
    findings = tuple(
        replace(base, category=category, tracking_uid=f"2.25.{place}")
        for place, category in enumerate((Category.INCIDENTAL, Category.CRITICAL, Category.INCIDENTAL))
    )
    (state,) = presentation_states(replace(result, findings=findings), material, Language.ENGLISH)
    layers = {layer.GraphicLayer: layer.GraphicLayerOrder for layer in state.GraphicLayerSequence}
    assert layers == {"INCIDENTAL": 1, "CRITICAL": 2}
    colours = {tuple(layer.GraphicLayerRecommendedDisplayCIELabValue) for layer in state.GraphicLayerSequence}
    assert len(colours) == 2
    assert COLOURS[Category.CRITICAL] != COLOURS[Category.INCIDENTAL]
    labels = [text for one in state.GraphicAnnotationSequence for text in one.TextObjectSequence]
    assert sorted(text.UnformattedTextValue[0] for text in labels) == ["1", "2", "3"]


def test_the_window_and_rescale_of_the_source_are_kept() -> None:
    result, material = about(SOURCES["signed, rescaled"]())
    (state,) = presentation_states(result, replace(material, image=no_image), Language.ENGLISH)
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (0.5, 100, "US")
    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == (96, 1016)


def test_an_image_without_a_window_gets_the_range_of_its_pixels() -> None:
    result, material = about(SOURCES["gray"]())
    (state,) = presentation_states(result, material, Language.ENGLISH)
    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction) == (127, 254, "LINEAR_EXACT")


@pytest.mark.parametrize("name", sorted(UNDECODABLE))
@pytest.mark.filterwarnings("ignore")
def test_an_image_that_cannot_be_decoded_is_annotated_without_a_window(name: str) -> None:
    result, material = about(UNDECODABLE[name]())
    (state,) = presentation_states(result, material, Language.ENGLISH)
    assert "SoftcopyVOILUTSequence" not in state
    assert graphics(state)


def test_a_gateway_that_is_away_is_no_missing_window() -> None:
    result, material = about(SOURCES["gray"]())

    def away(_: str) -> Dataset:
        raise TransientFailure("away: try again")

    with pytest.raises(TransientFailure):
        presentation_states(result, replace(material, image=away), Language.ENGLISH)


def test_padding_is_no_part_of_the_range_of_pixels() -> None:
    pixels = (ramp() * 4).astype(np.int16)
    pixels[:, :20] = -2000
    result, material = about(source_image(DIGITAL_X_RAY, pixels, PixelPaddingValue=-2000))
    (state,) = presentation_states(result, material, Language.ENGLISH)
    (voi,) = state.SoftcopyVOILUTSequence
    low, high = 4 * 40, 4 * 254
    assert (voi.WindowCenter, voi.WindowWidth) == ((low + high) / 2, high - low)


def test_the_range_of_pixels_is_that_behind_a_modality_lookup_table() -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData, table.ModalityLUTType = [256, 0, 16], list(range(1000, 1256)), "US"
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    source = source_image(DIGITAL_X_RAY, ramp().astype(np.uint8), ModalityLUTSequence=[table])
    (state,) = presentation_states(*about(source), Language.ENGLISH)
    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == (1127, 254)


@pytest.mark.integration
@pytest.mark.dcmtk
@pytest.mark.parametrize("name", ["gray", "inverted"])
def test_a_viewer_shows_low_values_as_the_image_says(name: str, tmp_path: Path) -> None:
    need("dcmp2pgm")
    source = SOURCES[name]()
    (state,) = presentation_states(*about(source), Language.ENGLISH)
    pydicom.dcmwrite(tmp_path / "image.dcm", source, enforce_file_format=True)
    pydicom.dcmwrite(tmp_path / "state.dcm", state, enforce_file_format=True)
    command = ["dcmp2pgm", "-p", "state.dcm", "image.dcm", "shown.pgm"]
    subprocess.run(command, check=True, timeout=60, cwd=tmp_path)
    shown = np.asarray(Image.open(tmp_path / "shown.pgm"))[80].astype(int)
    assert bool(shown[0] > shown[-1]) is (name == "inverted"), "MONOCHROME1 shows its lowest value white"


def test_images_with_their_own_windows_keep_them() -> None:
    result = result_with_findings()
    sources = [copy.deepcopy(header) for header in headers()]
    for place, source in enumerate(sources):
        source.WindowCenter, source.WindowWidth = 100 + place % 2, 200
    material = Material(prepare(result, sources), no_image, [mask()])
    (state,) = presentation_states(result, material, Language.ENGLISH)
    named = {
        float(item.WindowCenter): {one.ReferencedSOPInstanceUID for one in item.ReferencedImageSequence}
        for item in state.SoftcopyVOILUTSequence
    }
    assert set(named) == {100.0, 101.0}
    assert not named[100.0] & named[101.0]


def test_images_whose_values_mean_different_things_get_a_state_each() -> None:
    result = result_with_findings()
    sources = [copy.deepcopy(header) for header in headers()]
    for place, source in enumerate(sources):
        source.RescaleSlope, source.RescaleIntercept = str(1 + place % 2), "0"
    material = Material(prepare(result, sources), image, [mask()])
    states = presentation_states(result, material, Language.ENGLISH)
    assert [float(state.get("RescaleSlope", 1)) for state in states] == [1, 2]
    assert len({state.SOPInstanceUID for state in states}) == 2
    assert len({state.SeriesInstanceUID for state in states}) == 1
    assert [state.InstanceNumber for state in states] == [1, 2]


def test_colour_images_get_a_colour_presentation_state() -> None:
    result, material = about(SOURCES["colour"]())
    (state,) = presentation_states(result, material, Language.ENGLISH)
    assert state.SOPClassUID == COLOUR
    assert "SoftcopyVOILUTSequence" not in state


def test_a_frame_of_a_multi_frame_image_is_named() -> None:
    result, material = about(SOURCES["frames"](), frame=2)
    (state,) = presentation_states(result, material, Language.ENGLISH)
    (annotation,) = state.GraphicAnnotationSequence
    assert annotation.ReferencedImageSequence[0].ReferencedFrameNumber == 2
    assert graphics(state)[0].GraphicData[:2] == [20, 10]


def test_pixels_that_are_not_square_are_shown_as_they_are() -> None:
    result, material = about(SOURCES["not square"]())
    (state,) = presentation_states(result, material, Language.ENGLISH)
    assert state.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio == [500, 250]


def test_patient_and_study_come_from_the_prepared_source_whichever_image_is_annotated() -> None:
    sources = [copy.deepcopy(header) for header in headers()]
    for source in sources:
        source.SpecificCharacterSet, source.PatientName = "ISO_IR 144", "Шевченко^Євген"
        del source["AccessionNumber"]
    result = result_with_findings()
    material = Material(prepare(result, sources), image, [mask()])
    (state,) = presentation_states(result, material, Language.ENGLISH)
    assert str(read(state).PatientName) == "Шевченко^Євген"


def test_nothing_to_draw_is_no_presentation_state() -> None:
    empty = result_without_findings()
    assert presentation_states(empty, Material(prepare(empty, headers()), no_image), Language.ENGLISH) == []
    unplaced = replace(result_with_findings(), findings=(replace(result_with_findings().findings[0]),))
    assert presentation_states(unplaced, Material(prepare(unplaced, headers()), no_image), Language.ENGLISH) == []


@pytest.mark.parametrize("seed", range(0, 50, 7))
def test_the_same_result_gives_the_same_bytes_and_another_language_another_object(seed: int) -> None:
    case = generated(seed)
    first = presentation_states(case.result, case.material(), Language.UKRAINIAN)
    again = presentation_states(case.result, case.material(), Language.UKRAINIAN)
    english = presentation_states(case.result, case.material(), Language.ENGLISH)
    assert [written(state) for state in first] == [written(state) for state in again]
    assert not {state.SOPInstanceUID for state in first} & {state.SOPInstanceUID for state in english}


@pytest.mark.parametrize("text", nasty_texts(), ids=range(len(nasty_texts())))
def test_texts_of_every_sort_can_be_written_and_read(text: str) -> None:
    case = nasty_case(text)
    for state in presentation_states(case.result, case.material(), Language.UKRAINIAN):
        for item in graphics(read(state)):
            assert isinstance(item.TrackingID, str)
            assert item.TrackingID


@pytest.mark.parametrize("text", nasty_texts(), ids=range(len(nasty_texts())))
def test_labels_of_every_sort_can_be_written_and_read(text: str) -> None:
    result, material = about(SOURCES["gray"]())
    (found,) = result.findings
    named = replace(result, findings=(replace(found, code=Code("X-1", "99EXAMPLE", text)),))
    (state,) = presentation_states(named, material, Language.UKRAINIAN)
    (label,) = read(state).GraphicAnnotationSequence[0].TextObjectSequence
    said = label.UnformattedTextValue
    assert isinstance(said, str), "no backslash splits it"
    assert len(said.encode()) <= 1024
    assert not any(unicodedata.category(letter) == "Cc" for letter in said)


def test_five_hundred_findings_fit() -> None:
    case = big_case()
    (state,) = presentation_states(case.result, case.material(), Language.ENGLISH)
    assert len({item.TrackingUID for item in graphics(state)}) == 500
