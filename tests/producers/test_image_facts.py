"""What events say about images: read from real data sets as the gateway reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from producers.arrival import Arrivals
from producers.image_facts import Facts, ImageFacts
from producers.patient_key import PatientKeys
from producers.store import Headers, Refused, read_headers
from producers.store.files import Written
from producers.store.outcome import Received
from producers.store.spool import Spool
from schemas.codec import Codec
from schemas.events import InstanceStored, Origin
from tests.producers.store.data import BIG_ENDIAN, EXPLICIT, IMPLICIT, encoded, image

KEYS = PatientKeys(b"a secret of the tests")
SYNTAXES = (EXPLICIT, IMPLICIT, BIG_ENDIAN)
CT, ENHANCED_CT, SC = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "2.1", "7"))


def headers_of(ds: Dataset, syntax: str = EXPLICIT) -> Headers:
    data = encoded(ds, syntax)
    return read_headers(lambda count: data[:count], len(data), syntax)


def facts_of(syntax: str = EXPLICIT, *patterns: str, **values: Any) -> ImageFacts:
    return Facts(KEYS, patterns).of(headers_of(image(**values), syntax))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_what_a_slice_says(syntax: str) -> None:
    facts = facts_of(
        syntax,
        SOPClassUID=CT,
        PatientID="4711",
        IssuerOfPatientID="HOSP",
        PatientBirthDate="19610309",
        StudyDate="20261122",
        StudyTime="093000.12",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        ImageOrientationPatient=[1, 0, 0, 0, 0.5, -0.8660254],
        ImagePositionPatient=[-125, -124.5, 20],
        SliceThickness="0.625",
        ContrastBolusAgent="Ultravist 370",
    )
    assert facts == ImageFacts(
        KEYS.key("4711", "HOSP"),
        65,
        "ORIGINAL\\PRIMARY\\AXIAL",
        (1, 0, 0, 0, 0.5, -0.8660254),
        (-125, -124.5, 20),
        0.625,
        True,
        None,
        False,
        None,
        "20261122093000",
    )


@pytest.mark.parametrize(
    ("day", "time", "expected"),
    [
        ("20261122", "", "20261122"),
        ("20261122", "09", "20261122090000"),
        ("20261122", "0930", "20261122093000"),
        ("2026.11.22", "09:30:01", "20261122093001"),
        ("20261122", "2530", "20261122"),
        ("20261122", "093", "20261122"),
        ("20261322", "0930", None),
        ("", "0930", None),
        ("٢٠٢٦١١٢٢", "", None),
    ],
)
def test_when_a_study_was_made(day: str, time: str, expected: str | None) -> None:
    headers = Headers("1.2", "1.3", "1.4", CT, {"StudyDate": day, "StudyTime": time})
    assert Facts().of(headers).study_date_time == expected


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
def test_who_issued_the_accession_number(syntax: str, undefined: bool) -> None:
    issuer = Dataset()
    issuer.LocalNamespaceEntityID, issuer.UniversalEntityID, issuer.UniversalEntityIDType = (
        "ЛІКАРНЯ",
        "1.2.3",
        "ISO",
    )
    issuer.StudyDescription = "of no concern"
    ds = image(SpecificCharacterSet="ISO_IR 192", IssuerOfAccessionNumberSequence=Sequence([issuer]))
    ds["IssuerOfAccessionNumberSequence"].is_undefined_length = undefined
    headers = headers_of(ds, syntax)
    assert Facts().of(headers).accession_issuer == "ЛІКАРНЯ"
    assert headers.text("StudyDescription") != "of no concern"
    del issuer.LocalNamespaceEntityID
    assert Facts().of(headers_of(ds, syntax)).accession_issuer == "1.2.3"
    assert facts_of(syntax, LocalNamespaceEntityID="stray").accession_issuer is None


def test_the_age_that_is_written_counts_before_the_dates() -> None:
    assert facts_of(PatientAge="007Y", PatientBirthDate="19610309", StudyDate="20261122").patient_age_years == 7
    assert facts_of(PatientBirthDate="19610309").patient_age_years is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"SOPClassUID": CT}, False),
        ({"SOPClassUID": SC}, None),
        ({"SOPClassUID": CT, "ContrastBolusAgent": ""}, None),
        ({"SOPClassUID": CT, "ContrastBolusAgent": "none"}, False),
        ({"SOPClassUID": SC, "ContrastBolusAgent": "OMNIPAQUE"}, True),
        ({"SOPClassUID": CT, "ContrastBolusAgentSequence": Sequence([])}, False),
        ({"SOPClassUID": CT, "ContrastBolusAgentSequence": Sequence([Dataset()])}, True),
    ],
)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("undefined", [False, True])
def test_contrast(values: dict[str, Any], expected: bool | None, syntax: str, undefined: bool) -> None:
    ds = image(**values)
    if "ContrastBolusAgentSequence" in ds:
        ds["ContrastBolusAgentSequence"].is_undefined_length = undefined
    assert Facts().of(headers_of(ds, syntax)).has_contrast is expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"QualityControlImage": "YES"}, True),
        ({"QualityControlImage": "BOTH"}, True),
        ({"QualityControlImage": "NO"}, False),
        ({"PatientName": "CATPHAN^Daily"}, True),
        ({"PatientName": "Шевченко^Олена", "SpecificCharacterSet": "ISO_IR 192"}, False),
        ({"PatientID": "qc-0042"}, True),
        ({"StudyDescription": "Фантом води", "SpecificCharacterSet": "ISO_IR 192"}, True),
    ],
)
def test_phantoms(values: dict[str, Any], expected: bool) -> None:
    assert facts_of(EXPLICIT, "catphan*", "QC-*", "*фантом*", **values).quality_control is expected
    without = facts_of(EXPLICIT, **values)
    assert without.quality_control is (values.get("QualityControlImage") in ("YES", "BOTH"))


def test_values_that_are_none_are_left_out() -> None:
    ds = image()
    ds.add_new(0x00200037, "LO", "1\\0\\0\\0\\1")
    ds.add_new(0x00200032, "LO", "left\\0\\0")
    ds.add_new(0x00180050, "LO", "1e999")
    ds.add_new(0x00101010, "LO", "old")
    facts = Facts().of(headers_of(ds))
    assert facts.image_orientation == facts.image_position == ()
    assert (facts.slice_thickness_mm, facts.patient_age_years, facts.patient_key) == (None, None, None)


def enhanced(frames: int, *, shared_orientation: bool, undefined: bool) -> Dataset:
    """Enhanced CT image; pydicom writes its sequences with or without their lengths."""
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.SliceThickness, measures.PixelSpacing = "1.5", [0.5, 0.5]
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    per_frame = []
    for number in range(frames):
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = [-100, -100, 1.5 * number + 10]
        group.PlanePositionSequence = Sequence([position])
        if not shared_orientation:
            group.PlaneOrientationSequence = Sequence([orientation])
        per_frame.append(group)
    if shared_orientation:
        shared.PlaneOrientationSequence = Sequence([orientation])
    ds = image(SOPClassUID=ENHANCED_CT, NumberOfFrames=frames)
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
    for element in ds.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
    return ds


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("frames", [1, 4000])
def test_enhanced_images_tell_where_their_first_frame_lies(
    syntax: str, undefined: bool, shared: bool, frames: int
) -> None:
    facts = Facts().of(headers_of(enhanced(frames, shared_orientation=shared, undefined=undefined), syntax))
    assert list(facts.image_orientation) == [1, 0, 0, 0, 1, 0]
    assert list(facts.image_position) == [-100, -100, 10]
    assert facts.slice_thickness_mm == 1.5
    assert facts.number_of_frames == frames


WHOLE = {syntax: encoded(enhanced(3, shared_orientation=False, undefined=True), syntax) for syntax in SYNTAXES}


@settings(max_examples=300, deadline=None)
@given(
    syntax=st.sampled_from(SYNTAXES),
    end=st.integers(0, 2000),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
)
def test_an_enhanced_image_that_is_broken_is_read_or_refused(
    syntax: str, end: int, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(WHOLE[syntax][: len(WHOLE[syntax]) - end])
    for at, value in changes:
        if at < len(data):
            data[-1 - at] = value
    try:
        facts = Facts(KEYS).of(read_headers(lambda count: bytes(data[:count]), len(data), syntax))
    except Refused:
        return
    assert len(facts.image_orientation) in (0, 6)
    assert len(facts.image_position) in (0, 3)


def test_an_event_carries_the_facts_and_is_the_same_when_it_is_made_again() -> None:
    headers = headers_of(
        image(
            SOPClassUID=CT,
            PatientID="4711",
            PatientName="Шевченко",
            PatientBirthDate="19610309",
            SpecificCharacterSet="ISO_IR 192",
            ImagePositionPatient=[1, 2, 3],
        )
    )
    arrivals = Arrivals("gateway", "http://127.0.0.1/dicom-web", "/test/gateway", Facts(KEYS))
    written, received = Written(Path("x"), 0, 10, "cd" * 32), Received(Spool(), EXPLICIT, Origin.C_STORE)
    moment = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
    once, again = (arrivals.stored(received, headers, written, moment) for _ in range(2))
    assert once == again
    event = Codec().decode(once[0].value)
    assert isinstance(event, InstanceStored)
    assert event.patient_key == KEYS.key("4711")
    assert list(event.image_position) == [1, 2, 3]
    assert not event.has_contrast
    for said in ("4711", "Шевченко", "19610309"):
        assert said.encode() not in once[0].value
