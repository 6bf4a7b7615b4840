"""Reading what was rendered: objects from bytes, and the tree of a report."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pydicom
from pydicom import Dataset

from consumers.dicom.render import RenderedObject


def read(item: RenderedObject) -> Dataset:
    """Object as a receiver reads it."""
    return pydicom.dcmread(io.BytesIO(item.data))


def concept(item: Dataset) -> str:
    """Code of a content item's name."""
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def groups(report: Dataset) -> list[Dataset]:
    """Measurement groups of a report."""
    (measurements,) = (item for item in report.ContentSequence if concept(item) == "126010")
    return [item for item in measurements.ContentSequence if concept(item) == "125007"]


def template(group: Dataset) -> str:
    """Template that a measurement group names."""
    return str(group.ContentTemplateSequence[0].TemplateIdentifier)


def named(item: Dataset, code: str) -> list[Dataset]:
    """Children of a content item with this concept name."""
    return [child for child in item.get("ContentSequence", []) if concept(child) == code]


def tracking_uid(group: Dataset) -> str:
    """Tracking UID of a measurement group."""
    (item,) = named(group, "112040")
    return str(item.UID)


def comments(item: Dataset) -> list[str]:
    """Every comment below a content item."""
    return [
        str(child.TextValue)
        for child in below(item)
        if child.get("ValueType") == "TEXT" and concept(child) == "121106"
    ]


def below(item: Dataset) -> Iterator[Dataset]:
    """Content items below one."""
    for child in item.get("ContentSequence", []):
        yield child
        yield from below(child)
