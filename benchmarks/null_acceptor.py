"""The ceiling of a machine: takes every C-STORE of :mod:`benchmarks.load`, answers success and keeps nothing.

A bare ``asyncio`` protocol on uvloop that skips from one PDU header to the next; prints its port. Whatever a
receiver costs beyond this is its own, not the load generator's and not the network's.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from typing import Final, cast

import uvloop
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext, build_context

from producers.dimse.command import Command, CommandField
from producers.dimse.message import encode_command
from producers.dimse.pdu import PduType, encode

MAX_PDU: Final = 128 * 1024
#: Header of a PDU, and of the first PDV in it where it is a P-DATA-TF.
_HEADERS: Final = struct.Struct(">BxI IBB")
_BUFFER: Final = memoryview(bytearray(1024 * 1024))
_ANSWER: Final = encode_command(3, Command(CommandField.C_STORE_RQ, 1).response(0), 0)


def accept_all() -> bytes:
    """A-ASSOCIATE-AC for the two contexts that the generator proposes."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "PEER", "NULL"
    primitive.result = 0
    accepted: list[PresentationContext] = []
    for number, abstract in ((1, "1.2.840.10008.1.1"), (3, "1.2.840.10008.5.1.4.1.1.2")):
        context = build_context(abstract, ["1.2.840.10008.1.2.1"])
        context.context_id, context.result = number, 0
        accepted.append(context)
    primitive.presentation_context_definition_results_list = accepted
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = MAX_PDU
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, implementation]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(primitive)
    encoded: bytes = pdu.encode()
    return encoded


_ACCEPT: Final = accept_all()


class Null(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()
        self._skip = 0
        self._answer_due = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's interface
        """One buffer for all: nothing stays in it."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Skip bodies, look at headers."""
        position = 0
        while position < nbytes:
            skipped = min(self._skip, nbytes - position)
            self._skip -= skipped
            position += skipped
            missing = min(_HEADERS.size - len(self._head), nbytes - position)
            self._head += _BUFFER[position : position + missing]
            position += missing
            # Release is shorter than the headers that we wait for.
            if len(self._head) >= 10 and self._head[0] == PduType.RELEASE_RQ:
                self._send(encode(PduType.RELEASE_RP, bytes(4)))
                self._head.clear()
            elif len(self._head) == _HEADERS.size:
                kind, length, _, _, control = _HEADERS.unpack(self._head)
                self._skip = length - 6
                self._head.clear()
                if kind == PduType.ASSOCIATE_RQ:
                    self._send(_ACCEPT)
                elif control == 2:
                    self._answer_due = True
            if self._skip == 0 and self._answer_due:
                self._answer_due = False
                self._send(_ANSWER)

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve() -> None:
    """Accept until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> int:
    """Command line."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
