"""Bytes of a connection → whole PDUs (PS3.8 9.3).

Pure. Guarantee: memory is bounded by the largest PDU allowed; what cannot be a PDU is a :class:`BadPdu` that
says which A-ABORT to send.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

HEADER: Final = struct.Struct(">BxI")

#: What is between two headers; whoever gets one may keep it, nobody changes it any more.
Body = bytes | bytearray

#: 128 presentation contexts with all transfer syntaxes take about 170 kB, user information 64 kB at most. Anyone
#: who connects can have us hold that much.
MAX_ASSOCIATE_BYTES: Final = 256 * 1024


class PduType(IntEnum):
    """PDU types (PS3.8 9.3.1)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class AbortSource(IntEnum):
    """Who ends an association (PS3.8 9.3.8)."""

    USER = 0
    PROVIDER = 2


class AbortReason(IntEnum):
    """Why the provider ends it (PS3.8 9.3.8)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class BadPdu(Exception):
    """The peer broke the protocol; the association must be aborted for this reason."""

    def __init__(self, reason: AbortReason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class PduStream:
    """Cuts the byte stream of one connection into PDUs.

    Parameters
    ----------
    max_length
        Maximum Length Received that we announced (PS3.8 D.1): the longest P-DATA-TF, in bytes.
    """

    def __init__(self, max_length: int) -> None:
        self._head = bytearray()
        self._body = bytearray()
        self._type = PduType.ABORT
        self._missing = 0
        self._limits = {
            PduType.ASSOCIATE_RQ: MAX_ASSOCIATE_BYTES,
            PduType.ASSOCIATE_AC: MAX_ASSOCIATE_BYTES,
            PduType.ASSOCIATE_RJ: 4,
            PduType.P_DATA_TF: max_length,
            PduType.RELEASE_RQ: 4,
            PduType.RELEASE_RP: 4,
            PduType.ABORT: 4,
        }

    @property
    def in_the_middle(self) -> bool:
        """Whether a PDU has begun and not ended."""
        return bool(self._head)

    def feed(self, data: bytes) -> Iterator[tuple[PduType, Body]]:
        """Add bytes; yields type and body (without the six bytes of header) of each PDU that is now whole.

        Every byte of a body is copied once. The body belongs to who takes it.

        Raises
        ------
        BadPdu
            Unknown type, or a length that this type cannot have.
        """
        position = 0
        while position < len(data):
            if len(self._head) < HEADER.size:
                start = position
                position = min(start + HEADER.size - len(self._head), len(data))
                self._head += data[start:position]
                if len(self._head) < HEADER.size:
                    return
                self._type, self._missing = self._begin()
            end = position + self._missing
            if end > len(data):
                with memoryview(data) as view:
                    self._body += view[position:]
                self._missing = end - len(data)
                return
            if self._body:
                with memoryview(data) as view:
                    self._body += view[position:end]
                body: Body = self._body
                self._body = bytearray()
            else:
                body = data[position:end]
            position = end
            self._head.clear()
            yield self._type, body

    def clear(self) -> None:
        """Forget what was received."""
        self._head.clear()
        self._body = bytearray()

    def _begin(self) -> tuple[PduType, int]:
        """Type and length of the PDU whose header is complete."""
        number, length = HEADER.unpack(self._head)
        limit = self._limits.get(number)
        if limit is None:
            raise BadPdu(AbortReason.UNRECOGNIZED_PDU, f"PDU type {number:02X}H is unknown")
        if length > limit or length < min(limit, 4):
            raise BadPdu(AbortReason.INVALID_PARAMETER, f"PDU type {number:02X}H of {length} bytes")
        return PduType(number), length


def encode(pdu_type: PduType, body: bytes) -> bytes:
    """A PDU with its header."""
    return HEADER.pack(pdu_type, len(body)) + body
