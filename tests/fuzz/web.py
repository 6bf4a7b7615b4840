"""Readers of DICOMweb: multipart bodies, media types, search parameters (PS3.18 8.6, 8.7, 10.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from producers.dicomweb.incoming import IncomingPart
from producers.dicomweb.media import parse_accept, parse_media_type
from producers.dicomweb.multipart import (
    MalformedMultipart,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
    PartTooLarge,
)
from producers.dicomweb.query import MAX_RESULTS, parse_query
from producers.store.attributes import Level
from producers.store.query import build
from producers.store.spool import Spool
from schemas.errors import InvalidMessage
from tests.fuzz.split import cut

BOUNDARY: Final = "b"
_MAX_PART = 4096
_LEVELS: Final[tuple[Level, ...]] = ("study", "series", "instance")
_SENTENCE = 300


def multipart(data: bytes) -> None:
    """The same parts for every cut; each part can be taken for an instance."""
    _, chunks = cut(data)
    parts, end = _parts(chunks)
    assert (parts, end) == _parts([data[1:]])
    for headers, body in parts:
        part = IncomingPart(headers, Spool())
        part.append(body)
        part.finish(None)
        part.abandon()


def _parts(chunks: Iterable[bytes]) -> tuple[list[tuple[dict[str, str], bytes]], str]:
    """Whole parts, and how it ended."""
    reader = MultipartReader(BOUNDARY, _MAX_PART)
    parts: list[tuple[dict[str, str], bytes]] = []
    headers: dict[str, str] | None = None
    body = bytearray()
    try:
        for chunk in chunks:
            for event in reader.feed(chunk):
                match event:
                    case PartBegin(found):
                        assert headers is None
                        headers, body = dict(found), bytearray()
                    case PartData(more):
                        assert headers is not None
                        body += more
                    case PartEnd():
                        assert headers is not None
                        parts.append((headers, bytes(body)))
                        headers = None
        reader.finish()
    except MalformedMultipart as error:
        return parts, str(error)
    except PartTooLarge:
        return parts, "too large"
    assert headers is None
    return parts, ""


def media_types(data: bytes) -> None:
    """Header fields of any content, as HTTP hands them over: ISO 8859-1."""
    text = data.decode("latin-1")
    parse_media_type(text)
    ranges = parse_accept(text)
    assert all(0 < item.quality <= 1 for item in ranges)
    assert len(ranges) <= len(text) + 1


def search(data: bytes) -> None:
    """A search with SQL of which every value is a parameter, or a sentence."""
    if not data:
        return
    level = _LEVELS[data[0] % 3]
    pairs = parse_qsl(data[1:].decode("utf-8", "replace"), keep_blank_values=True)
    try:
        query = parse_query(level, pairs, {})
        text, parameters = build(level, query.filters, query.limit, query.offset)
    except InvalidMessage as error:
        assert len(str(error)) < _SENTENCE + len(data)
        return
    assert text.count("?") == len(parameters)
    assert query.limit <= MAX_RESULTS
