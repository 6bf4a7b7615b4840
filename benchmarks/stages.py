"""Where the time of one instance goes: the gateway's own steps, one after the other, in one thread.

Each figure is processor time of one step for one instance, and beside it the wall clock, which is longer where the
disk is waited for. No network, no event loop and no hand-over between threads: ``perf`` and ``py-spy`` show those
(see README). The last step is measured twice: a commit for each instance, and one for all, as when many wait.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.images import Image, Size, image
from benchmarks.load import Prepared
from benchmarks.place import place
from benchmarks.report import Row, arguments, publish
from producers.arrival import Arrivals
from producers.dimse.command import Command, CommandField
from producers.dimse.message import Message, MessageAssembler, encode_command
from producers.dimse.pdu import PduStream
from producers.image_facts import Facts
from producers.patient_key import PatientKeys
from producers.store import database
from producers.store.files import INCOMING, write_aside, write_parts
from producers.store.headers import Headers, read_headers
from producers.store.jobs import Put, Rules
from producers.store.outcome import PutOutcome, Received
from producers.store.part10 import FileMeta, encode_header
from producers.store.spool import Spool
from producers.store.writer import Writer
from schemas.events import Origin

_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_MAX_PDU: Final = 128 * 1024
#: What one read of the event loop brings at most.
_READ_BYTES: Final = 256_000


class Steps:
    """Times the steps of instances of one size."""

    def __init__(self, size: Size, folder: Path, times: int) -> None:
        self.rows: list[Row] = []
        self._size = size
        self._folder = folder
        self._times = times
        (folder / INCOMING).mkdir(parents=True)

    def run(self) -> None:
        """All steps in their order."""
        made = image(self._size)
        wire = bytes(Prepared(made, _MAX_PDU, 1).wire)
        self._step("receive: PDUs and fragments", lambda _: received(wire))
        spool = received(wire).data_set or Spool()
        self._step("read the headers", lambda _: read_headers(spool.prefix, spool.size, _EXPLICIT))
        self._step("sha256", lambda _: hashlib.sha256(made.data_set).hexdigest())
        self._files(spool)
        headers = read_headers(spool.prefix, spool.size, _EXPLICIT)
        came = Received(spool, _EXPLICIT, Origin.C_STORE, None, None, None, "PEER", "SCANSTREAM", "a-1")
        facts = Facts(PatientKeys(b"benchmark"))
        arrivals = Arrivals("gateway", "http://127.0.0.1/dicom-web", "/bench/gateway", facts)
        file = write_aside(self._folder / INCOMING, b"", [made.data_set])
        self._step("event", lambda _: arrivals.stored(came, headers, file, time.time()))
        self._commits(made, headers, came, arrivals)
        asked = Command(CommandField.C_STORE_RQ, 1, None, made.sop_class_uid, made.sop_instance_uid)
        self._step("response", lambda _: encode_command(3, asked.response(0), 16382))

    def _files(self, spool: Spool) -> None:
        header = encode_header(FileMeta(_EXPLICIT, "1.2.3", "1.2.3", "PEER", "SCANSTREAM"))
        parts = [header, *spool.chunks()]
        descriptors: list[int] = []

        def create(number: int) -> None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            descriptor = os.open(self._folder / INCOMING / f"step-{number}", flags, 0o640)
            write_parts(descriptor, parts)
            descriptors.append(descriptor)

        self._step("create and write the file", create)
        self._step("fsync it", lambda number: os.fsync(descriptors[number]))
        for descriptor in descriptors:
            os.close(descriptor)

    def _commits(self, made: Image, headers: Headers, came: Received, arrivals: Arrivals) -> None:
        puts: list[Put] = []
        answered = threading.Semaphore(0)

        def done(outcome: PutOutcome) -> None:
            if not outcome.ok:
                raise RuntimeError(outcome.sentence)
            answered.release()

        for number in range(2 * self._times):
            uid = f"{made.sop_instance_uid}.{number}"
            file = write_aside(self._folder / INCOMING, b"", [made.data_set[:1000]])
            own = replace(headers, sop_instance_uid=uid, values={**headers.values, "SOPInstanceUID": uid})
            puts.append(Put(came, own, file, done, tuple(arrivals.stored(came, own, file, time.time()))))
        connection = database.open_writer(self._folder / "index.sqlite")
        writer = Writer(connection, Rules(self._folder, arrivals.stored), threading.Event())
        commit = "rename, fsync of the directory, index and outbox, commit"
        self._step(f"{commit}: alone", lambda number: writer.write_now(puts[number]))
        for put in puts[self._times :]:
            writer.submit(put)

        def rest(_: int) -> None:
            writer.start()
            for _number in range(self._times):
                answered.acquire(timeout=60)

        for _ in range(self._times):
            answered.acquire(timeout=60)
        self._step(f"{commit}: shared by {self._times}", rest, once=True)
        writer.close()

    def _step(self, name: str, do: Callable[[int], object], *, once: bool = False) -> None:
        processor, clock = time.process_time(), time.perf_counter()
        for number in range(1 if once else self._times):
            do(number)
        used, took = time.process_time() - processor, time.perf_counter() - clock
        title = f"{'525 kB' if self._size == 'ct' else '10 kB'}: {name}"
        each = 1e6 / self._times
        self.rows.append(Row(title, used * each, "µs CPU", "wall clock", took * each))


def received(wire: bytes) -> Message:
    """The message of a C-STORE-RQ that comes in reads as large as the event loop's."""
    stream, assembler = PduStream(_MAX_PDU), MessageAssembler({1, 3}, lambda *_: Spool())
    messages = [
        message
        for start in range(0, len(wire), _READ_BYTES)
        for _, body in stream.feed(wire[start : start + _READ_BYTES])
        for message in assembler.feed(body)
    ]
    return messages[0]


def main() -> int:
    """Command line."""
    options = arguments("Where the time of one instance goes").parse_args()
    times = 50 if options.quick else 400
    sizes: tuple[Size, ...] = ("ct", "small")
    rows: list[Row] = []
    with place() as folder:
        for size in sizes:
            steps = Steps(size, folder / size, times)
            steps.run()
            rows += steps.rows
    publish(f"Steps of one instance, mean of {times}", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
