"""Objects of one result → the requests that carry them, by size. Pure.

Objects keep their order, so one comes no later than those that refer to it: a segmentation before its report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consumers.dicom.render import RenderedObject


def batches(objects: Sequence[RenderedObject], batch_bytes: int) -> Iterator[tuple[RenderedObject, ...]]:
    """Runs of objects that together have no more bytes than a request may have.

    Parameters
    ----------
    objects
        In the order in which they are to be stored.
    batch_bytes
        Most bytes of one request. An object that alone has more goes alone: only the PACS knows whether it
        takes it.
    """
    waiting: list[RenderedObject] = []
    size = 0
    for item in objects:
        if waiting and size + len(item.data) > batch_bytes:
            yield tuple(waiting)
            waiting, size = [], 0
        waiting.append(item)
        size += len(item.data)
    if waiting:
        yield tuple(waiting)


def halves(objects: Sequence[RenderedObject]) -> tuple[Sequence[RenderedObject], Sequence[RenderedObject]]:
    """Two smaller requests in place of one that was too large for the PACS; at least two objects."""
    middle = len(objects) // 2
    return objects[:middle], objects[middle:]
