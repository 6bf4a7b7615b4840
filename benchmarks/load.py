"""Prepared bytes → as many C-STOREs as a receiver takes: a load generator that costs next to nothing itself.

One thread per association. The PDUs of an instance are encoded once; before each send only its UIDs are written
anew, in place, in command set and data set. Each C-STORE waits for its response, as real senders do. Traffic stays
on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from benchmarks.images import Image, Size, image
from producers.dimse.command import Command, CommandField
from producers.dimse.command import encode as encode_command_set
from producers.dimse.pdu import HEADER, PduType, encode
from tests.producers.dimse.peer import request

#: Largest P-DATA-TF that we send, however much a receiver allows for.
_MAX_PDU: Final = 128 * 1024
_TIMEOUT_S: Final = 60
#: Slices of one study.
_SLICES: Final = 200
_VERIFICATION: Final = "1.2.840.10008.1.1"
_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_STATUS: Final = b"\x00\x00\x00\x09\x02\x00\x00\x00"


class Association:
    """A connection that has been accepted with one context for storage and one for verification."""

    def __init__(self, port: int, sop_class: str, called: str = "SCANSTREAM") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Timeouts of the kernel's, so that each send stays one call.
        self._socket.settimeout(None)
        limit = struct.pack("ll", _TIMEOUT_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        contexts = ((_VERIFICATION, (_EXPLICIT, "1.2.840.10008.1.2")), (sop_class, (_EXPLICIT,)))
        self._socket.sendall(request(contexts, called))
        kind, body = self.receive()
        if kind != PduType.ASSOCIATE_AC:
            raise ConnectionError(f"the receiver refused the association (PDU type {kind:02X}H)")
        self.max_pdu = min(_max_length(body) or _MAX_PDU, _MAX_PDU)

    def exchange(self, wire: bytes | bytearray) -> int:
        """Send a request; returns the status of its response."""
        self._socket.sendall(wire)
        _, body = self.receive()
        at = body.find(_STATUS)
        if at < 0:
            raise ConnectionError("a response without a status")
        return int.from_bytes(body[at + 8 : at + 10], "little")

    def receive(self) -> tuple[int, bytes]:
        """Type and body of the next PDU."""
        data = self._socket.recv(65536)
        while len(data) < HEADER.size or len(data) < HEADER.size + HEADER.unpack_from(data)[1]:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError("the receiver closed the connection")
            data += more
        kind, _ = HEADER.unpack_from(data)
        return kind, data[HEADER.size :]

    def release(self) -> None:
        """A-RELEASE, then close."""
        try:
            self._socket.sendall(encode(PduType.RELEASE_RQ, bytes(4)))
            self.receive()
        finally:
            self._socket.close()

    def close(self) -> None:
        """Close without a word."""
        self._socket.close()


def _max_length(accept: bytes) -> int:
    """Maximum Length Received (PS3.8 D.1) of an A-ASSOCIATE-AC."""
    at = accept.index(b"\x51\x00\x00\x04", 68)
    return int.from_bytes(accept[at + 4 : at + 8], "big")


def echo_request() -> bytes:
    """C-ECHO-RQ on context 1, as one PDU."""
    return _p_data(1, encode_command_set(Command(CommandField.C_ECHO_RQ, 1, sop_class_uid=_VERIFICATION)), 3)


def _p_data(context_id: int, fragment: bytes, control: int) -> bytes:
    return encode(PduType.P_DATA_TF, struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment)


class Prepared:
    """The PDUs of one C-STORE-RQ, with the places of its UIDs.

    Parameters
    ----------
    made
        What to send.
    max_pdu
        Longest P-DATA-TF, in bytes.
    sender
        Number that no other association of the same run has.
    """

    def __init__(self, made: Image, max_pdu: int, sender: int) -> None:
        command = Command(
            CommandField.C_STORE_RQ, 1, None, made.sop_class_uid, made.sop_instance_uid, 0, has_data_set=True
        )
        size = max_pdu - 6
        wire = bytearray(_p_data(3, encode_command_set(command), 3))
        for start in range(0, len(made.data_set), size):
            last = start + size >= len(made.data_set)
            wire += _p_data(3, made.data_set[start : start + size], 2 if last else 0)
        self.wire = wire
        self._sender = sender
        self._instance = _places(wire, made.sop_instance_uid)
        self._series = [_places(wire, uid) for uid in (made.study_instance_uid, made.series_instance_uid)]
        self._number = 0

    def next(self) -> bytearray:
        """The next instance of this association; a new study after every 200."""
        study, _ = divmod(self._number, _SLICES)
        for places in self._series:
            self._write(places, study)
        self._write(self._instance, self._number)
        self._number += 1
        return self.wire

    def _write(self, places: Sequence[int], number: int) -> None:
        """The last digits of a UID: five of the sender, nine of the number."""
        digits = b"%05d%09d" % (self._sender, number)
        for end in places:
            self.wire[end - len(digits) : end] = digits


def _places(wire: bytearray, uid: str) -> list[int]:
    """Where a UID ends."""
    found = []
    at = wire.find(uid.encode())
    while at >= 0:
        found.append(at + len(uid))
        at = wire.find(uid.encode(), at + 1)
    if not found:
        raise ValueError("a UID lies across two PDUs")
    return found


@dataclass
class Counted:
    """What one association, or all of them, sent within the measured time."""

    instances: int = 0
    refused: int = 0
    seconds: float = 0.0
    acknowledged: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass
class Phase:
    """Shared by the threads: when to count and when to stop (monotonic seconds)."""

    count_from: float
    end: float
    most: int


def _send(association: Association, prepared: Prepared, phase: Phase, same: bool, counted: Counted) -> None:
    clock = time.monotonic
    wire = prepared.next()
    try:
        while clock() < phase.end and counted.acknowledged < phase.most:
            status = association.exchange(wire)
            if status != 0:
                counted.refused += 1
                continue
            counted.acknowledged += 1
            if phase.count_from <= clock() < phase.end:
                counted.instances += 1
            if not same:
                wire = prepared.next()
        association.release()
    except OSError as error:
        counted.failures.append(f"{type(error).__name__}: {error}")


def run(
    port: int,
    made: Image,
    associations: int,
    warm_s: float,
    seconds: float,
    *,
    most: int = 1 << 40,
    same: bool = False,
    called: str = "SCANSTREAM",
    first_sender: int = 0,
) -> Counted:
    """Send for a time over some associations at once.

    Parameters
    ----------
    port
        Of the receiver on 127.0.0.1.
    made
        Instance whose UIDs are written anew for each send.
    associations
        Senders, each with an association and a thread of its own.
    warm_s, seconds
        Time before counting, and time of counting.
    most
        Instances per association after which it ends early.
    same
        Send one and the same instance again and again.
    called
        Called AE title.
    first_sender
        Number of the first sender: two runs with the same one send the same UIDs.
    """
    open_ones = [Association(port, made.sop_class_uid, called) for _ in range(associations)]
    start = time.monotonic()
    phase = Phase(start + warm_s, start + warm_s + seconds, most)
    counts = [Counted() for _ in open_ones]
    threads = [
        threading.Thread(
            target=_send,
            args=(one, Prepared(made, one.max_pdu, first_sender + index), phase, same, counts[index]),
            daemon=True,
        )
        for index, one in enumerate(open_ones)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(warm_s + seconds + 2 * _TIMEOUT_S)
    whole = Counted(seconds=min(time.monotonic(), phase.end) - phase.count_from)
    for one in counts:
        whole.instances += one.instances
        whole.refused += one.refused
        whole.acknowledged += one.acknowledged
        whole.failures += one.failures
    return whole


def load(port: int, size: Size, associations: int, seconds: float, **options: int | float | str | bool) -> Counted:
    """:func:`run` in a process of its own, as ``python -m benchmarks.load``; options as on its command line."""
    command = [sys.executable, "-m", "benchmarks.load", str(port), f"--image={size}"]
    command += [f"--associations={associations}", f"--seconds={seconds}"]
    for name, value in options.items():
        if value is not False:
            command.append(f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}"))
    limit = seconds + 3 * _TIMEOUT_S
    said = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    if said.returncode != 0:
        raise RuntimeError(f"the load generator ended: {said.stderr[-500:]}")
    return Counted(**json.loads(said.stdout))


def raise_file_limit() -> None:
    """As many connections as the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Command line: one run, its counts as one line of JSON."""
    parser = argparse.ArgumentParser(description="C-STORE load on 127.0.0.1")
    parser.add_argument("port", type=int)
    parser.add_argument("--associations", type=int, default=1)
    parser.add_argument("--image", choices=("ct", "small"), default="ct")
    parser.add_argument("--warm", type=float, default=1.0, metavar="S")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S")
    parser.add_argument("--most", type=int, default=1 << 40, metavar="N", help="instances per association")
    parser.add_argument("--same", action="store_true", help="the same instance again and again")
    parser.add_argument("--called", default="SCANSTREAM", metavar="AE")
    parser.add_argument("--first-sender", type=int, default=0, metavar="N")
    options = parser.parse_args()
    raise_file_limit()
    counted = run(
        options.port,
        image(options.image),
        options.associations,
        options.warm,
        options.seconds,
        most=options.most,
        same=options.same,
        called=options.called,
        first_sender=options.first_sender,
    )
    print(json.dumps(asdict(counted)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
