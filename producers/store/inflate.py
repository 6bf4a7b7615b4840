"""A deflated data set → its bytes, never more than a limit and mostly not in memory (PS3.5 A.5). Blocking.

A few kilobytes can claim to be gigabytes, so they are inflated piece by piece, and what is large goes to a file
without a name.
"""

from __future__ import annotations

import tempfile
import zlib
from typing import BinaryIO, Final, cast

#: What is beyond this is not read.
MAX_INFLATED_BYTES: Final = 1024**3
_IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024


def inflated(deflated: BinaryIO, most: int = MAX_INFLATED_BYTES) -> tuple[BinaryIO, bool]:
    """The rest of a file inflated, as a file at its start, and whether it is whole.

    Parameters
    ----------
    deflated
        At the start of the deflated bytes; what follows them is passed over.
    most
        Bytes at which inflating stops, give or take a mebibyte.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - the caller closes it
    while not inflater.eof and found.tell() < most:
        data = inflater.unconsumed_tail or deflated.read(_CHUNK_BYTES)
        if not data:
            break
        try:
            found.write(inflater.decompress(data, _CHUNK_BYTES))
        except zlib.error:
            break
    found.seek(0)
    return cast(BinaryIO, found), inflater.eof
