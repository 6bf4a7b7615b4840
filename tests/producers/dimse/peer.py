"""Peers for the DICOM listener: raw sockets that may break every rule, and pynetdicom as an independent SCU."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext, build_context

from producers.dimse.command import Command, CommandField, decode
from producers.dimse.message import encode_command
from producers.dimse.pdu import PduType, encode
from producers.dimse.receiving import receive_all

MR = "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
RELEASE_RQ = encode(PduType.RELEASE_RQ, bytes(4))
ECHO = Command(CommandField.C_ECHO_RQ, message_id=1, sop_class_uid=VERIFICATION)


def request(
    contexts: Sequence[tuple[str, Sequence[str]]] = ((VERIFICATION, (EXPLICIT,)), (MR, (EXPLICIT,))),
    called: str = "SCANSTREAM",
    max_length: int = 16382,
    user: Sequence[Any] = (),
) -> bytes:
    """A-ASSOCIATE-RQ made by pynetdicom; context ids are 1, 3, 5 and so on."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "PEER", called
    built: list[PresentationContext] = []
    for index, (abstract, transfers) in enumerate(contexts):
        context = build_context(abstract, list(transfers))
        context.context_id = 2 * index + 1
        built.append(context)
    primitive.presentation_context_definition_list = built
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = max_length
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, implementation, *user]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    encoded: bytes = pdu.encode()
    return encoded


def p_data(context_id: int, fragment: bytes, *, command: bool, last: bool) -> bytes:
    """P-DATA-TF with one PDV."""
    control = (1 if command else 0) | (2 if last else 0)
    return encode(PduType.P_DATA_TF, struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment)


def store_request(
    sop: str, data_set: bytes, context_id: int = 3, fragment: int = 10_000, sop_class: str = MR
) -> bytes:
    """C-STORE-RQ as PDUs."""
    command = Command(CommandField.C_STORE_RQ, 1, None, sop_class, sop, 0, has_data_set=True)
    pdus = [encode_command(context_id, command, 0)]
    starts = range(0, len(data_set), fragment)
    pdus += [
        p_data(context_id, data_set[at : at + fragment], command=False, last=at + fragment >= len(data_set))
        for at in starts
    ]
    return b"".join(pdus)


class RawPeer:
    """A TCP connection to the listener."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes] | None:
        """Type and body of the next PDU, ``None`` when the connection was closed."""
        head = self._exactly(6)
        if head is None:
            return None
        kind, length = struct.unpack(">BxI", head)
        return kind, self._exactly(length) or b""

    def associate(self, data: bytes | None = None) -> None:
        """Open an association."""
        self.send(data or request())
        answer = self.receive()
        assert answer is not None
        assert answer[0] == PduType.ASSOCIATE_AC

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return data


def response_of(peer: RawPeer) -> Command:
    """The response that comes next."""
    answer = peer.receive()
    assert answer is not None
    assert answer[0] == PduType.P_DATA_TF
    return decode(answer[1][6:])


def send_files(port: int, files: Sequence[Path], called: str = "SCANSTREAM") -> list[int]:
    """C-STORE files with pynetdicom over one association; returns the statuses."""
    read = [dcmread(path) for path in files]
    entity = AE("TESTSCU")
    for pair in {(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in read}:
        entity.add_requested_context(*pair)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    assert association.is_established
    receive_all(association)
    statuses = [int(association.send_c_store(ds).Status) for ds in read]
    association.release()
    return statuses
