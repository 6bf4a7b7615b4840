"""Heatmaps of a result → one Parametric Map (PS3.3 A.75) each, in the geometry of the source images.

Values are stored as they are, in 32-bit floats; the Real World Value Mapping says of which quantity and unit.
A map must have a Frame of Reference (PS3.3 A.75.3), so none is made of radiographs and ultrasound that have none.
"""

from __future__ import annotations

from typing import Final

import highdicom as hd
import numpy as np
from pydicom import Dataset

from consumers.dicom import concepts, equipment
from consumers.dicom.identity import identity
from consumers.dicom.material import Heatmap, Material, Volume32
from consumers.dicom.plan import ObjectKind
from consumers.dicom.segments import check_volume, complete
from consumers.dicom.texts import long_string
from schemas.errors import InvalidMessage
from schemas.events import InferenceResult, ModelIdentity

SERIES_NUMBER: Final = 9004

#: Percentiles between which a viewer first shows the map: a few outliers must not leave it black.
_WINDOW: Final = (1.0, 99.0)


def parametric_maps(result: InferenceResult, material: Material) -> list[Dataset]:
    """Build the Parametric Maps of a result, in one series.

    Parameters
    ----------
    result
        What the maps belong to.
    material
        Prepared sources and heatmaps.

    Raises
    ------
    InvalidMessage
        A heatmap does not lie on the source images, or holds numbers that are infinite or none.
    """
    if not material.sources[0].get("FrameOfReferenceUID"):
        return []
    return [_map(result, material, heatmap, number) for number, heatmap in enumerate(material.heatmaps, start=1)]


def _map(result: InferenceResult, material: Material, heatmap: Heatmap, number: int) -> Dataset:
    sources, values = material.sources, heatmap.values
    check_volume(sources, values)
    if not bool(np.isfinite(values).all()):
        raise InvalidMessage("a heatmap holds numbers that are infinite or none: run the model again")
    made = identity(result, ObjectKind.PM, sources[0], number=number)
    centre, width = _window(values)
    quantity = concepts.concept(heatmap.quantity)
    dataset = hd.pm.ParametricMap(
        source_images=list(sources),
        pixel_array=values.astype(np.float32, copy=False),
        series_instance_uid=made.series_instance_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=made.sop_instance_uid,
        instance_number=number,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            hd.pm.RealWorldValueMapping(
                lut_label="MAP",
                lut_explanation=long_string(heatmap.quantity.meaning, "map"),
                unit=concepts.concept(heatmap.unit),
                value_range=(float(values.min()), float(values.max())),
                slope=1.0,
                intercept=0.0,
                quantity_definition=quantity,
            )
        ],
        # the only linear function that allows a window narrower than 1
        voi_lut_transformations=[
            hd.VOILUTTransformation(window_center=centre, window_width=width, voi_lut_function="LINEAR_EXACT")
        ],
        content_qualification=_qualification(result.model),
        content_label="HEATMAP",
        content_description=long_string(heatmap.quantity.meaning, "map"),
        series_description=long_string(f"{result.model.name} {result.model.version} map"),
        contributing_equipment=[equipment.contributing_equipment(result, made)],
        **equipment.general_equipment(result.model),
    )
    equipment.finish(dataset, made)
    complete(dataset, sources[0])
    dataset.add_new("Laterality", "CS", sources[0].get("Laterality"))  # type 2C: empty where it is not known
    return dataset


def _qualification(model: ModelIdentity) -> hd.ContentQualificationValues:
    """(0018,9004) Content Qualification: only a registered device makes products."""
    values = hd.ContentQualificationValues
    return values.PRODUCT if model.udi else values.RESEARCH


def _window(values: Volume32) -> tuple[float, float]:
    """Centre and width of the first window; the width is never 0 (PS3.3 C.11.2.1.2)."""
    low, high = (float(value) for value in np.percentile(values, _WINDOW))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return _six_digits((low + high) / 2), _six_digits(high - low) or 1.0


def _six_digits(value: float) -> float:
    """A number that fits into the 16 characters of a DS."""
    return float(f"{value:.6g}")
