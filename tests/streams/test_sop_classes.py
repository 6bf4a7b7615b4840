import pydicom.uid
import pytest

from streams.sop_classes import is_image


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("CTImageStorage", True),
        ("MRImageStorage", True),
        ("EnhancedMRImageStorage", True),
        ("DigitalXRayImageStorageForPresentation", True),
        ("BreastTomosynthesisImageStorage", True),
        ("UltrasoundMultiFrameImageStorage", True),
        ("SecondaryCaptureImageStorage", True),
        ("RTImageStorage", True),
        ("Comprehensive3DSRStorage", False),
        ("XRayRadiationDoseSRStorage", False),
        ("KeyObjectSelectionDocumentStorage", False),
        ("GrayscaleSoftcopyPresentationStateStorage", False),
        ("SegmentationStorage", False),
        ("ParametricMapStorage", False),
        ("RawDataStorage", False),
        ("MRSpectroscopyStorage", False),
        ("EncapsulatedPDFStorage", False),
        ("RTStructureSetStorage", False),
        ("TwelveLeadECGWaveformStorage", False),
    ],
)
def test_an_image_is_told_from_what_is_said_about_images(keyword: str, expected: bool) -> None:
    assert is_image(str(getattr(pydicom.uid, keyword))) is expected


def test_a_private_class_is_no_image() -> None:
    assert not is_image("1.3.12.2.1107.5.9.1")


def test_every_standard_class_called_image_is_one_and_no_other_is() -> None:
    """By the names of PS3.6 annex A; what differs is listed, so that a new class is looked at."""
    named = {
        uid: entry[0]
        for uid, entry in pydicom.uid.UID_dictionary.items()
        if uid.startswith("1.2.840.10008.5.1.4.1.1.") and entry[0].endswith("Storage")
    }
    differing = {name for uid, name in named.items() if is_image(uid) != ("Image" in name)}
    assert differing == {
        "Enhanced US Volume Storage",
        "Ophthalmic Thickness Map Storage",
        "Corneal Topography Map Storage",
        "DICOS CT Image Storage",  # luggage, not patients
    }
