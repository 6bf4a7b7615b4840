"""What a sender really said on its associations: bytes of a connection → data sets by SOP Instance UID.

Of its own, not with the gateway's readers: a test that compares what was sent with what is stored must not believe
them.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.filereader import read_dataset

from tests.producers.listener import Listener, data_set_of

_P_DATA_TF = 4


def data_sets(stream: bytes) -> dict[str, bytes]:
    """Data sets of the C-STORE requests in the bytes of one association (PS3.8 9.3.5, E.2)."""
    found: dict[str, bytes] = {}
    command, data = b"", b""
    position = 0
    while position < len(stream):
        kind, end = stream[position], position + 6 + int.from_bytes(stream[position + 2 : position + 6], "big")
        fragment = position + 6
        position = end
        while kind == _P_DATA_TF and fragment < end:
            after = fragment + 4 + int.from_bytes(stream[fragment : fragment + 4], "big")
            control = stream[fragment + 5]
            if control & 1:
                command, data = (command if data == b"" else b"") + stream[fragment + 6 : after], b""
            else:
                data += stream[fragment + 6 : after]
                if control & 2:
                    found[_sop_instance_of(command)] = data
                    command, data = b"", b""
            fragment = after
    return found


def _sop_instance_of(command: bytes) -> str:
    read = read_dataset(BytesIO(command), is_implicit_VR=True, is_little_endian=True)
    return str(read[0x0000, 0x1000].value).strip(" \0")


def data_set_in(path: Path) -> bytes:
    """Bytes of the data set in a Part 10 file."""
    data = path.read_bytes()
    meta = dcmread(BytesIO(data), stop_before_pixels=True).file_meta
    return data[144 + int(meta.FileMetaInformationGroupLength) :]


def stored(listener: Listener) -> dict[str, bytes]:
    """Data set bytes of everything in the store, by SOP Instance UID."""
    rows = listener.run(listener.store.search("study", {}, None, 0))
    studies = {str(row["StudyInstanceUID"]) for row in rows}
    instances = [instance for study in studies for instance in listener.stored(study)]
    return {instance.sop_instance_uid: data_set_of(instance) for instance in instances}
