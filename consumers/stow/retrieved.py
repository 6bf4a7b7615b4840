"""Answer of WADO-RS about one instance → that instance."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from producers.part10 import dataset_of
from producers.retrieved import Unreadable, files


def instance(content_type: str, chunks: Iterable[bytes], max_bytes: int) -> Dataset:
    """First instance of an answer; parameters and errors are those of :func:`producers.retrieved.files`.

    Raises
    ------
    Unreadable
        Also: the answer holds no instance, or one that cannot be read.
    """
    found: Dataset | None = None
    for data in files(content_type, chunks, max_bytes):
        if found is None:
            found = _read(data)
    if found is None:
        raise Unreadable("the answer holds no instance")
    return found


def _read(data: bytes) -> Dataset:
    try:
        return dataset_of(data)
    except (InvalidDicomError, EOFError, ValueError, OSError) as error:
        raise Unreadable(f"the instance cannot be read ({type(error).__name__})") from error
