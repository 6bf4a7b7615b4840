"""Path of an element → its value as bytes, for the ``BulkDataURI`` of metadata (PS3.18 F.2.2). Blocking."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import dcmread
from pydicom.dataset import Dataset

from producers.dicomweb.dicom_json import PIXEL_DATA
from producers.dicomweb.stored import opened
from producers.store import StoredInstance


class NoSuchElement(Exception):
    """The instance has no bytes at that path."""


def parse_element_path(text: str) -> list[int]:
    """``tag[/item/tag…]`` → numbers; tags are hexadecimal, items count from 1.

    Raises
    ------
    ValueError
        The text is no such path.
    """
    parts = text.split("/")
    try:
        path = [int(part, 16 if position % 2 == 0 else 10) for position, part in enumerate(parts)]
    except ValueError:
        path = []
    if len(path) % 2 == 0 or any(len(part) != 8 for part in parts[::2]):
        raise ValueError("the path of bulk data is tag[/item/tag…], such as 7FE00010: take it from the metadata")
    return path


def bulk_bytes(stored: StoredInstance, path: Sequence[int]) -> bytes:
    """Value of an element as it is encoded in the stored instance.

    Raises
    ------
    NoSuchElement
        There is none, or it has no bytes.
    """
    if len(path) == 1 and path[0] in PIXEL_DATA:
        with opened(stored) as instance:
            if instance.pixels is None or instance.pixels.tag != path[0] or instance.pixels.is_encapsulated:
                raise NoSuchElement("the instance has no such pixel data: see its metadata")
            return instance.pixel_bytes(0, instance.pixels.length)
    data_set: Dataset = dcmread(stored.path, stop_before_pixels=len(path) == 1)
    try:
        for tag, item in zip(path[:-1:2], path[1::2], strict=True):
            data_set = data_set[tag].value[item - 1]
        value = data_set[path[-1]].value
    except (KeyError, IndexError, TypeError) as error:
        raise NoSuchElement("the instance has no element at this path: see its metadata") from error
    if not isinstance(value, bytes):
        raise NoSuchElement("the element at this path is not bulk data: it is in the metadata")
    return value
