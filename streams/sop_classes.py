"""SOP class → is it an image? Only images make a study ready for inference (PS3.4 B.5, PS3.6 annex A)."""

from __future__ import annotations

from typing import Final

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."

#: Families of composite storage that hold something else than acquired images, by the arc after the storage root.
_NOT_IMAGES: Final = frozenset(
    {
        "8",  # overlays (retired)
        "9",  # waveforms
        "10",  # modality LUT (retired)
        "11",  # presentation states
        "30",  # parametric maps
        "66",  # raw data, registration, fiducials, segmentations, tractography
        "67",  # real world value mapping
        "68",  # surface scans
        "78",  # lensometry, refraction, visual acuity
        "79",  # macular grid report
        "80",  # visual field
        "88",  # structured reports, key object selection, procedure logs
        "90",  # content assessment
        "91",  # bulk annotations
        "104",  # encapsulated documents
        "129",  # PET curves (retired)
        "131",  # structured display
        "200",  # protocols
        "201",  # inventories
        "501",  # security screening (DICOS)
    }
)

#: Exceptions inside families of images.
_NOT_IMAGE_CLASSES: Final = frozenset(
    {
        f"{_STORAGE}4.2",  # MR spectroscopy
        f"{_STORAGE}77.1.5.3",  # stereometric relationship
        f"{_STORAGE}77.1.5.8",  # OCT B-scan volume analysis
    }
)

_RT_FAMILY: Final = "481"
_RT_IMAGES: Final = frozenset({f"{_STORAGE}481.1", f"{_STORAGE}481.23", f"{_STORAGE}481.24"})


def is_image(sop_class_uid: str) -> bool:
    """Whether instances of a SOP class are images.

    Reports, presentation states, key objects, segmentations, waveforms and radiotherapy objects other than RT
    images are not; neither are classes outside DICOM's composite storage root (private ones), of which nothing is
    known.
    """
    if not sop_class_uid.startswith(_STORAGE) or sop_class_uid in _NOT_IMAGE_CLASSES:
        return False
    family = sop_class_uid.removeprefix(_STORAGE).partition(".")[0]
    if family == _RT_FAMILY:
        return sop_class_uid in _RT_IMAGES
    return family not in _NOT_IMAGES
