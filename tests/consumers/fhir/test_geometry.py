"""A location becomes a text that says what DICOM would, and can be read back."""

from __future__ import annotations

import pytest

from consumers.fhir.geometry import describe
from schemas.events import Location, LocationKind


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (
            Location(LocationKind.BOX, (12.5, 7, 80, 44.25), "1.2.3", 3),
            "POLYLINE urn:oid:1.2.3 frame 3: 12.5,7 80,7 80,44.25 12.5,44.25 12.5,7",
        ),
        (Location(LocationKind.POINT, (0.1234567, 5000), "1.2.3"), "POINT urn:oid:1.2.3: 0.123,5000"),
        (Location(LocationKind.CONTOUR, (1, 2, 3, 4, 5, 6), "1.2"), "POLYLINE urn:oid:1.2: 1,2 3,4 5,6 1,2"),
        (
            Location(LocationKind.POINT_3D, (-12.25, 30, 118.5), frame_of_reference_uid="1.9"),
            "POINT urn:oid:1.9: -12.25,30,118.5",
        ),
        (
            Location(LocationKind.CONTOUR_3D, (1, 2, 3, 4, 5, 6, 7, 8, 9), frame_of_reference_uid="1.9"),
            "POLYGON urn:oid:1.9: 1,2,3 4,5,6 7,8,9 1,2,3",
        ),
    ],
)
def test_text_of_a_location(location: Location, text: str) -> None:
    assert describe(location) == text
