"""Answer of WADO-RS → the Part 10 files in it (PS3.18 10.4.4), read piece by piece and never more than is allowed.

Guarantee: an answer that was cut off is an error, never fewer instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from producers.dicomweb.media import DICOM, parse_media_type
from producers.dicomweb.multipart import (
    MalformedMultipart,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
    PartTooLarge,
)


class Unreadable(Exception):
    """The answer is none of instances; the message says why."""


class TooLarge(Exception):
    """An instance in the answer is larger than was asked for."""


def files(content_type: str, chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Part 10 files of an answer, each as soon as it is complete.

    Parameters
    ----------
    content_type
        ``Content-Type`` of the answer: ``multipart/related``, or ``application/dicom`` of servers that send one
        instance bare.
    chunks
        Its body.
    max_bytes
        Most bytes of one instance.

    Raises
    ------
    Unreadable
        It is another kind of answer, or broken.
    TooLarge
        An instance has more bytes.
    """
    kind = parse_media_type(content_type)
    boundary = kind.parameters.get("boundary") if kind is not None else None
    if boundary is not None:
        yield from _parts(boundary, chunks, max_bytes)
        return
    if kind is None or kind.name != DICOM:
        raise Unreadable(f"the answer is {content_type.partition(';')[0] or 'of no media type'}")
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > max_bytes:
            raise TooLarge
    yield bytes(data)


def _parts(boundary: str, chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    pieces: list[bytes] = []
    try:
        reader = MultipartReader(boundary, max_bytes)
        for chunk in chunks:
            for event in reader.feed(chunk):
                match event:
                    case PartBegin():
                        pieces = []
                    case PartData():
                        pieces.append(event.data)
                    case PartEnd():
                        yield b"".join(pieces)
        reader.finish()
    except PartTooLarge as error:
        raise TooLarge from error
    except MalformedMultipart as error:
        raise Unreadable(f"the answer is no multipart body ({error})") from error
