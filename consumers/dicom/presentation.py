"""Marks of findings → presentation states (PS3.3 A.33): contours, boxes, points and labels over the source images.

One object per series of sources; images whose stored values mean different things (rescale slopes of PET) need one
each, since a presentation state has one modality LUT for all of its images. Grayscale images get a Grayscale
Softcopy Presentation State, colour images a Color one. Only images with a mark are referred to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any, Final

import highdicom as hd
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from consumers.dicom import equipment
from consumers.dicom.captions import COLOURS, finding_label
from consumers.dicom.identity import ObjectIdentity, identity
from consumers.dicom.marks import Mark, marks_of
from consumers.dicom.material import Material
from consumers.dicom.plan import ObjectKind
from consumers.dicom.planes import Frame, frames_of, spacing_of
from consumers.dicom.presentation_lut import add_modality_lut, add_windows, modality_lut_key
from consumers.dicom.texts import long_string, short_text
from schemas.events import Category, InferenceResult
from schemas.terminology import Language, Phrase, phrase

SERIES_NUMBER: Final = 9005

Marks = Mapping[int, Sequence[Mark]]

_SRGB: Final = "sRGB_v4_ICC_preference.icc"
_OF_THE_IMAGE: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames")
_LEFT_OUT: Final = frozenset(
    {
        *_OF_THE_IMAGE,
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
        "ModalityLUTSequence",
        "WindowCenter",
        "WindowWidth",
        "VOILUTSequence",
    }
)


def presentation_states(result: InferenceResult, material: Material, language: Language) -> list[Dataset]:
    """Build the presentation states of a result.

    Parameters
    ----------
    result
        Whose findings are drawn; each graphic and label carries the finding's Tracking UID.
    material
        Prepared sources and masks; pixels are asked for only where a header has no window.
    language
        Of the labels.

    Returns
    -------
    list of Dataset
        Empty where no finding lies on a source image.
    """
    frames = frames_of(material.sources)
    marks = marks_of(result, material)
    ordered = sorted(marks, key=lambda index: (_group(frames[index]), index))
    states = []
    for number, (_, members) in enumerate(groupby(ordered, key=lambda index: _group(frames[index])), start=1):
        made = identity(result, ObjectKind.GSPS, material.sources[0], language, number=number)
        shown = {index: frames[index] for index in members}
        states.append(_state(result, material, shown, marks, language, made, number))
    return states


def _group(frame: Frame) -> tuple[str, bool, str, str]:
    """What the images of one presentation state have in common."""
    source = frame.source
    shape = f"{source.Rows} {source.Columns} {_aspect(frame)} {_polarity(source)} {modality_lut_key(frame)}"
    return str(source.SeriesInstanceUID), _is_colour(source), shape, _multi_frame_uid(frame)


def _is_colour(source: Dataset) -> bool:
    return int(source.get("SamplesPerPixel") or 1) > 1


def _polarity(source: Dataset) -> str:
    """(2050,0020) Presentation LUT Shape: radiographs are often stored with the lowest value white."""
    return "INVERSE" if str(source.get("PhotometricInterpretation") or "").strip() == "MONOCHROME1" else "IDENTITY"


def _multi_frame_uid(frame: Frame) -> str:
    """A multi-frame image has presentation states of its own (a limit of highdicom)."""
    return frame.sop_instance_uid if "NumberOfFrames" in frame.source else ""


def _state(
    result: InferenceResult,
    material: Material,
    shown: Mapping[int, Frame],
    marks: Marks,
    language: Language,
    made: ObjectIdentity,
    number: int,
) -> Dataset:
    first = next(iter(shown.values()))
    colour = _is_colour(first.source)
    bare = {frame.sop_instance_uid: _bare(frame.source, material.sources[0]) for frame in shown.values()}
    layers = _layers(marks, shown)
    kind = hd.pr.ColorSoftcopyPresentationState if colour else hd.pr.GrayscaleSoftcopyPresentationState
    of_the_kind: dict[str, Any] = {"icc_profile": _icc_profile(first.source)} if colour else {}
    dataset = kind(
        referenced_images=list(bare.values()),
        series_instance_uid=made.series_instance_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=made.sop_instance_uid,
        instance_number=number,
        content_label="AI FINDINGS",
        content_description=long_string(phrase(Phrase.PRESENTATION_TITLE, language)),
        graphic_annotations=[
            annotation
            for index, frame in shown.items()
            for annotation in _annotations(frame, bare[frame.sop_instance_uid], marks[index], layers, language)
        ],
        graphic_layers=list(layers.values()),
        series_description=long_string(f"{phrase(Phrase.PRESENTATION_TITLE, language)} {result.model.name}"),
        contributing_equipment=[equipment.contributing_equipment(result, made)],
        **equipment.general_equipment(result.model),
        **of_the_kind,
    )
    equipment.finish(dataset, made)
    dataset.PresentationCreationDate, dataset.PresentationCreationTime = made.date, made.time
    del dataset.ContentDate, dataset.ContentTime
    dataset.add_new(
        "Laterality", "CS", material.sources[0].get("Laterality")
    )  # type 2C: empty where it is not known
    area = dataset.DisplayedAreaSelectionSequence[0]
    area.PresentationPixelAspectRatio = _aspect(first)
    if not colour:
        # takes the place of what MONOCHROME1 says (PS3.3 C.11.6)
        dataset.PresentationLUTShape = _polarity(first.source)
        add_modality_lut(dataset, first)
        add_windows(dataset, material, shown.values())
    return dataset


def _bare(source: Dataset, prepared: Dataset) -> Dataset:
    """What highdicom needs of an image: what it is, with the patient and study of the prepared first one.

    Lookup tables stay away: highdicom would copy them, and refuses what modalities write inconsistently.
    """
    bare = Dataset()
    for element in prepared:
        if element.keyword not in _LEFT_OUT:
            bare[element.tag] = element
    for keyword in _OF_THE_IMAGE:
        if keyword in source:
            bare[keyword] = source[keyword]
    bare.SharedFunctionalGroupsSequence = DicomSequence([Dataset()])
    bare.PerFrameFunctionalGroupsSequence = DicomSequence([])
    return bare


def _icc_profile(source: Dataset) -> bytes:
    """Colour space of the source, sRGB where it names none (PS3.3 C.11.15)."""
    named = source.get("ICCProfile")
    return bytes(named) if named else (files("highdicom") / "_icc_profiles" / _SRGB).read_bytes()


def _layers(marks: Marks, shown: Mapping[int, Frame]) -> dict[Category, Any]:
    """A graphic layer for each category that occurs, the most urgent on top; colour is of the layer."""
    used = {mark.finding.category for index in shown for mark in marks[index]}
    ordered = [category for category in reversed(Category) if category in used]
    return {
        category: hd.pr.GraphicLayer(
            category.name,
            order=order,
            description=category.value,
            display_color=hd.color.CIELabColor.from_rgb(*COLOURS[category]),
        )
        for order, category in enumerate(ordered, start=1)
    }


def _annotations(
    frame: Frame, image: Dataset, marks: Sequence[Mark], layers: Mapping[Category, Any], language: Language
) -> Iterator[Any]:
    """A graphic annotation for each category on a frame; each finding has one label there."""
    for category, layer in layers.items():
        members = [mark for mark in marks if mark.finding.category is category]
        if not members:
            continue
        labelled: dict[int, Any] = {}
        for mark in members:
            labelled.setdefault(mark.number, _label(mark, language))
        yield hd.pr.GraphicAnnotation(
            [image],
            layer,
            referenced_frame_number=frame.number if "NumberOfFrames" in frame.source else None,
            graphic_objects=[_graphic(mark) for mark in members],
            text_objects=list(labelled.values()),
        )


def _graphic(mark: Mark) -> Any:
    points = mark.points
    if len(points) > 1:
        points = points[[*range(len(points)), 0]]
    return hd.pr.GraphicObject(
        hd.pr.GraphicTypeValues.POLYLINE if len(points) > 1 else hd.pr.GraphicTypeValues.POINT,
        points,
        hd.pr.AnnotationUnitsValues.PIXEL,
        tracking_id=long_string(mark.finding.tracking_id, "finding"),
        tracking_uid=mark.finding.tracking_uid,
    )


def _label(mark: Mark, language: Language) -> Any:
    """Label of one line at the upper right corner of what is drawn."""
    right, top = float(mark.points[:, 0].max()), float(mark.points[:, 1].min())
    return hd.pr.TextObject(
        short_text(" ".join(finding_label(mark.number, mark.finding, language).split())),
        hd.pr.AnnotationUnitsValues.PIXEL,
        anchor_point=(right, top),
        anchor_point_visible=False,
        tracking_id=long_string(mark.finding.tracking_id, "finding"),
        tracking_uid=mark.finding.tracking_uid,
    )


def _aspect(frame: Frame) -> list[int]:
    """(0070,0102) Presentation Pixel Aspect Ratio: height, then width of a pixel."""
    rows, columns = spacing_of(frame) or (1.0, 1.0)
    if abs(rows - columns) <= 1e-3 * columns:
        return [1, 1]
    return [max(1, round(rows * 1000)), max(1, round(columns * 1000))]
