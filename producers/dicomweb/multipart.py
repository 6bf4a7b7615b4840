"""Chunks of an HTTP body → parts, and parts → a body (RFC 2046 5.1, RFC 2387), without any IO.

The reader holds hardly more than one chunk, however large a part is, and gives the same parts for every way of
cutting the body into chunks. A body that ends without its closing delimiter is an error, so a cut connection is
never mistaken for a complete request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal

MAX_BOUNDARY_CHARACTERS: Final = 256
MAX_PART_HEADER_BYTES: Final = 16 * 1024

_CRLF: Final = b"\r\n"
_BLANK_LINE: Final = b"\r\n\r\n"
_MAX_PADDING: Final = 256


class MalformedMultipart(Exception):
    """The body is not what RFC 2046 describes; the message says where it departs."""


class PartTooLarge(Exception):
    """One part is larger than the limit."""


@dataclass(frozen=True)
class PartBegin:
    """A part begins; header names in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True)
class PartData:
    """The next bytes of the part."""

    data: bytes


@dataclass(frozen=True)
class PartEnd:
    """The part is complete."""


MultipartEvent = PartBegin | PartData | PartEnd


class _State(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    BODY = auto()
    EPILOGUE = auto()


class MultipartReader:
    """Push parser: feed it chunks, take what they brought.

    Parameters
    ----------
    boundary
        The ``boundary`` parameter of the media type, 1 to 256 characters.
    max_part_bytes
        Largest body of a part, in bytes.

    Raises
    ------
    MalformedMultipart
        The boundary is empty, too long or not ASCII.
    """

    def __init__(self, boundary: str, max_part_bytes: int) -> None:
        # RFC 2046 5.1.1 allows 70; Orthanc's DICOMweb client sends 73.
        if not 1 <= len(boundary) <= MAX_BOUNDARY_CHARACTERS or not boundary.isascii():
            raise MalformedMultipart(f"the boundary must have 1 to {MAX_BOUNDARY_CHARACTERS} ASCII characters")
        self._delimiter = f"\r\n--{boundary}".encode()
        self._max_part_bytes = max_part_bytes
        self._state = _State.PREAMBLE
        # The first delimiter may stand at the very start of the body, without a line break before it.
        self._buffer = bytearray(_CRLF)
        self._searched = 0
        self._skip = 0
        self._part_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[MultipartEvent]:
        """Take the next chunk; yields what it brought, also what came before a mistake in it.

        Raises
        ------
        MalformedMultipart
            A part's headers cannot be read or are longer than :data:`MAX_PART_HEADER_BYTES`.
        PartTooLarge
            A part is longer than the limit.
        """
        if self._state is _State.EPILOGUE:
            return
        self._buffer += chunk
        more = True
        while more:
            events: list[MultipartEvent] = []
            more = self._step(events)
            yield from events

    def finish(self) -> None:
        """Say that the body has ended.

        Raises
        ------
        MalformedMultipart
            The closing delimiter has not been seen.
        """
        if self._state is not _State.EPILOGUE:
            raise MalformedMultipart("the body ends without its closing delimiter (RFC 2046 5.1.1)")

    def _step(self, events: list[MultipartEvent]) -> bool:
        """Move one state on; ``False`` when more bytes are needed."""
        match self._state:
            case _State.HEADERS:
                return self._read_headers(events)
            case _State.EPILOGUE:
                self._buffer.clear()
                return False
            case _:
                return self._read_to_delimiter(events)

    def _read_to_delimiter(self, events: list[MultipartEvent]) -> bool:
        start = self._buffer.find(self._delimiter, self._searched)
        if start < 0:
            self._take(max(0, len(self._buffer) - len(self._delimiter) + 1), events)
            return False
        ending = _ending(self._buffer, start + len(self._delimiter))
        if ending is None:
            self._take(start, events)
            return False
        if ending.kind == "text":
            self._searched = start + 1
            return True
        self._take(start, events)
        if self._state is _State.BODY:
            events.append(PartEnd())
        del self._buffer[: ending.end - start]
        self._state = _State.EPILOGUE if ending.kind == "close" else _State.HEADERS
        return True

    def _take(self, count: int, events: list[MultipartEvent]) -> None:
        """Move the first ``count`` bytes out of the buffer: to the part, or away before the first one."""
        data = bytes(memoryview(self._buffer)[min(self._skip, count) : count])
        self._skip -= min(self._skip, count)
        del self._buffer[:count]
        self._searched = 0
        if data and self._state is _State.BODY:
            self._part_bytes += len(data)
            if self._part_bytes > self._max_part_bytes:
                raise PartTooLarge(f"a part is longer than {self._max_part_bytes} bytes")
            events.append(PartData(data))

    def _read_headers(self, events: list[MultipartEvent]) -> bool:
        end = self._buffer.find(_BLANK_LINE)
        if (len(self._buffer) if end < 0 else end) > MAX_PART_HEADER_BYTES:
            raise MalformedMultipart(f"the headers of a part are longer than {MAX_PART_HEADER_BYTES} bytes")
        if end < 0:
            return False
        events.append(PartBegin(_parse_headers(bytes(memoryview(self._buffer)[:end]))))
        # The second line break stays: it may itself begin the delimiter of an empty part (RFC 2046 5.1.1).
        del self._buffer[: end + len(_CRLF)]
        self._searched = 0
        self._skip = len(_CRLF)
        self._part_bytes = 0
        self._state = _State.BODY
        return True


@dataclass(frozen=True)
class _Ending:
    """What follows the characters of a delimiter, and up to where the buffer is done with."""

    kind: Literal["part", "close", "text"]
    end: int = 0


def _ending(buffer: bytearray, start: int) -> _Ending | None:
    """Classify what follows a delimiter; ``None`` when more bytes are needed to tell."""
    end = start
    while end < len(buffer) and buffer[end] in b" \t" and end - start < _MAX_PADDING:
        end += 1
    following = bytes(buffer[end : end + 2])
    if following == _CRLF:
        # The line break stays: it is also the first half of the blank line of a part without headers.
        return _Ending("part", end)
    if end == start and following == b"--":
        return _Ending("close", end + 2)
    if following in (b"", b"\r") or (end == start and following == b"-"):
        return None
    return _Ending("text")


def _parse_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in block.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(_CRLF):
        if not line:
            continue
        name, colon, value = line.partition(b":")
        if not colon:
            raise MalformedMultipart("a header line of a part has no colon (RFC 5322 2.2)")
        headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
    return headers


def part_head(boundary: str, headers: Mapping[str, str]) -> bytes:
    """Delimiter and headers that stand before the body of a part."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"\r\n--{boundary}\r\n{lines}\r\n".encode()


def closing(boundary: str) -> bytes:
    """Delimiter that stands after the last part."""
    return f"\r\n--{boundary}--\r\n".encode()
