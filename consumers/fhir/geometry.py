"""Location of a finding → a text that a program can read back, for an Observation component. Pure.

R4 has no element for image coordinates (ImagingSelection came with R5), so a location is a component of the DICOM
concept Image Region whose ``valueString`` is graphic type, reference and coordinates as DICOM writes them
(PS3.3 C.18.6, C.18.9)::

    POLYLINE urn:oid:<SOP Instance UID> frame 3: 12.5,7 80,7 80,44.25 12.5,44.25 12.5,7
    POINT urn:oid:<Frame of Reference UID>: -12.25,30,118.5

Without a frame number the image has one frame. Contours and boxes are closed: the last point is the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from schemas.errors import InvalidMessage
from schemas.events import Location, LocationKind


def describe(location: Location) -> str:
    """Text of a location; millimetres in the patient, pixels on an image.

    Raises
    ------
    InvalidMessage
        The number of its numbers does not fit, or one is not finite.
    """
    spatial = location.kind in (LocationKind.POINT_3D, LocationKind.CONTOUR_3D)
    points = _points(location.points, 3 if spatial else 2)
    if not points or len(points[-1]) != len(points[0]) or not all(map(math.isfinite, location.points)):
        raise InvalidMessage(
            f"a location of kind {location.kind.value} has {len(location.points)} numbers, or some that are not "
            "finite: correct what the model gives"
        )
    if location.kind is LocationKind.BOX and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    where = location.frame_of_reference_uid if spatial else location.sop_instance_uid
    frame = f" frame {location.frame_number}" if location.frame_number is not None and not spatial else ""
    if location.kind in (LocationKind.POINT, LocationKind.POINT_3D):
        graphic = "POINT"
    else:
        graphic = "POLYGON" if spatial else "POLYLINE"
        points = [*points, *points[:1]]
    text = " ".join(",".join(_number(value) for value in point) for point in points)
    return f"{graphic} urn:oid:{where}{frame}: {text}"


def _points(values: Sequence[float], size: int) -> list[tuple[float, ...]]:
    return [tuple(values[start : start + size]) for start in range(0, len(values), size)]


def _number(value: float) -> str:
    # a thousandth of a pixel or of a millimetre; no exponents, no trailing zeros
    return f"{value:.3f}".rstrip("0").rstrip(".")
