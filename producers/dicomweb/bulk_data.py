"""Path of an element → its value as bytes, for the ``BulkDataURI`` of metadata (PS3.18 F.2.2). Blocking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from producers.dicomweb.stored import OpenInstance, opened
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
    """Value of an element before the pixel data, as it is encoded in the stored instance.

    Raises
    ------
    NoSuchElement
        There is none, or it has no bytes.
    """
    with opened(stored) as instance:
        found: Any = instance.header
        try:
            for tag, item in zip(path[:-1:2], path[1::2], strict=True):
                found = found[tag].value[item - 1] if item > 0 else None
            value = found[path[-1]].value
        except Exception as error:  # whatever pydicom says of an invalid value, there are no bytes to give
            raise NoSuchElement("the instance has no element at this path: see its metadata") from error
    if not isinstance(value, bytes):
        raise NoSuchElement("the element at this path is not bulk data: it is in the metadata")
    return value


def native_length(stored: StoredInstance, tag: int) -> int:
    """Bytes of native pixel data.

    Raises
    ------
    NoSuchElement
        There is none of this tag.
    """
    with opened(stored) as instance:
        return _native(instance, tag).native_length()


def native_chunks(stored: StoredInstance, tag: int, wanted: range) -> Iterator[bytes]:
    """The wanted bytes of native pixel data, in chunks of at most a mebibyte; raises as :func:`native_length`."""
    with opened(stored) as instance:
        _native(instance, tag)
        for start in range(wanted.start, wanted.stop, _CHUNK_BYTES):
            yield instance.pixel_bytes(start, min(_CHUNK_BYTES, wanted.stop - start))


_CHUNK_BYTES: Final = 1024 * 1024


def _native(instance: OpenInstance, tag: int) -> OpenInstance:
    if instance.pixels is None or instance.pixels.tag != tag or instance.pixels.is_encapsulated:
        raise NoSuchElement("the instance has no such pixel data: see its metadata")
    return instance
