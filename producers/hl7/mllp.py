"""HL7 payload ↔ MLLP blocks: ``<VT> payload <FS><CR>`` (HL7 v3 Transport Specification: MLLP, release 1). Pure.

Guarantee: a payload comes out byte for byte as it went in, however the bytes were cut on their way; what stands
between blocks is passed over; and no more than a bound is ever held.
"""

from __future__ import annotations

from typing import Final

START: Final = b"\x0b"
END: Final = b"\x1c\r"


class FrameError(ValueError):
    """The bytes cannot be a block, or are more than the bound."""


def frame(payload: bytes) -> bytes:
    """Block of a payload.

    Raises
    ------
    FrameError
        The payload holds the end of a block, so its receiver would read half of it.
    """
    if END in payload or payload.endswith(END[:1]):
        raise FrameError("the payload holds the bytes that end an MLLP block: write control characters escaped")
    return START + payload + END


class Deframer:
    """Bytes of one connection, in pieces of any size → payloads, in order.

    A VT or a lone FS inside a block is part of the payload, as word processors put a VT into text.

    Parameters
    ----------
    limit_bytes
        Most bytes of one payload, and most bytes before a block begins.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = bytearray()
        self._inside = False
        self._searched = 0
        self._passed_over = 0

    @property
    def is_inside(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._inside

    @property
    def passed_over(self) -> int:
        """Bytes outside blocks since the last payload, other than the usual line ends."""
        return self._passed_over

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads that are complete now.

        Raises
        ------
        FrameError
            A payload, or what stands before it, is longer than the bound: give up the connection.
        """
        self._held += data
        payloads = []
        while (payload := self._next()) is not None:
            payloads.append(payload)
        return payloads

    def _next(self) -> bytes | None:
        if not self._inside and not self._begin():
            return None
        at = self._held.find(END, self._searched)
        if at < 0:
            self._searched = max(0, len(self._held) - 1)
            if len(self._held) > self._limit + 1:
                raise FrameError(f"an MLLP block is longer than {self._limit} bytes")
            return None
        if at > self._limit:
            raise FrameError(f"an MLLP block is longer than {self._limit} bytes")
        payload = bytes(self._held[:at])
        del self._held[: at + len(END)]
        self._inside, self._searched, self._passed_over = False, 0, 0
        return payload

    def _begin(self) -> bool:
        at = self._held.find(START)
        before = len(self._held) if at < 0 else at
        self._passed_over += len(self._held[:before].strip(b"\r\n"))
        if self._passed_over > self._limit:
            raise FrameError(f"more than {self._limit} bytes came outside MLLP blocks")
        del self._held[: before + (at >= 0)]
        self._inside, self._searched = at >= 0, 0
        return self._inside
