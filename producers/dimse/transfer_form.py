"""A stored instance → the data set that goes to a receiver, in a transfer syntax that it takes.

As it is stored whenever the receiver takes that, byte for byte; else uncompressed, when this machine can decode
it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from io import BytesIO
from typing import BinaryIO, Final

from producers.store.index import StoredInstance
from producers.store.part10 import split
from producers.store.transcode import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, can_decode, converted

_CHUNK_BYTES: Final = 256 * 1024
_AHEAD_BYTES: Final = 64 * 1024 * 1024
_WILL_NEED: Final[int | None] = getattr(os, "POSIX_FADV_WILLNEED", None)
_IN_ORDER: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)


class Incomplete(Exception):
    """The file of an instance is not what the index says."""


def choose(stored_as: str, accepted: Collection[str]) -> str | None:
    """Transfer syntax to send in; ``None`` when the receiver takes none that can be had.

    Parameters
    ----------
    stored_as
        Transfer syntax of the instance.
    accepted
        What the receiver takes for its SOP class.
    """
    if stored_as in accepted:
        return stored_as
    wanted = next((uid for uid in _IN_ORDER if uid in accepted), None)
    return wanted if wanted is not None and can_decode(stored_as) else None


def open_data_set(stored: StoredInstance) -> BinaryIO:
    """File of an instance, at the start of its data set.

    Raises
    ------
    OSError
        It cannot be opened.
    Incomplete
        It is shorter or longer than it was.
    """
    file = stored.path.open("rb")
    if file.seek(0, 2) != stored.data_set_offset + stored.size_bytes:
        file.close()
        raise Incomplete(f"the file of {stored.sop_instance_uid} has another size than in the index")
    file.seek(stored.data_set_offset)
    if _WILL_NEED is not None:
        # the system reads it in the background: chunks are taken on the event loop, which must not wait for disks
        os.posix_fadvise(file.fileno(), stored.data_set_offset, min(stored.size_bytes, _AHEAD_BYTES), _WILL_NEED)
    return file


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file."""
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def converted_file(stored: StoredInstance, transfer_syntax_uid: str) -> bytes:
    """Part 10 file in an uncompressed transfer syntax; see :func:`producers.store.transcode.converted`.

    Raises
    ------
    OSError, Incomplete
        As :func:`open_data_set`.
    CannotDecode
        The data set is broken.
    """
    open_data_set(stored).close()
    return converted(stored, transfer_syntax_uid)


def open_converted(stored: StoredInstance, transfer_syntax_uid: str) -> BinaryIO:
    """Data set in an uncompressed transfer syntax; raises as :func:`converted_file`."""
    data = converted_file(stored, transfer_syntax_uid)
    file = BytesIO(data)
    file.seek(split(data)[1])
    return file
