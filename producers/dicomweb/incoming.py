"""Bytes of one STOW part → an instance for the store.

The Part 10 header is taken off as soon as enough has come, and the data set goes on into a spool exactly as it was
sent; nothing is decoded, and memory per part is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from producers.dicomweb.media import DICOM, parse_media_type
from producers.store import FileMeta, PutKind, PutOutcome, Received, Refused, Spool, Status, split
from producers.store.spool import MEMORY_BYTES
from schemas.events import Origin

#: File Meta Information is far shorter; private information in it (0002,0102) may add some.
_HEADER_BYTES: Final = 64 * 1024


class IncomingPart:
    """One part while it comes in.

    Parameters
    ----------
    headers
        Of the part, names in lower case.
    spool
        Where the data set goes.
    """

    def __init__(self, headers: Mapping[str, str], spool: Spool) -> None:
        self._spool = spool
        self._head = bytearray()
        self._meta: FileMeta | None = None
        self._refused: Refused | None = None
        content_type = parse_media_type(headers.get("content-type", DICOM))
        if content_type is None or content_type.name != DICOM:
            self._refused = Refused(Status.CANNOT_UNDERSTAND, "the part is not of type application/dicom")

    def will_use_disk(self, count: int) -> bool:
        """Whether ``count`` more bytes go to a file, so that the caller must not do it in the event loop."""
        return self._spool.size + count > MEMORY_BYTES

    def append(self, data: bytes) -> None:
        """Add the next bytes; what was refused already is passed over.

        Raises
        ------
        OSError
            The disk took no more.
        """
        if self._refused is not None:
            return
        if self._meta is not None:
            self._spool.append(data)
            return
        self._head += data
        if len(self._head) >= _HEADER_BYTES:
            self._split()

    def finish(self, addressed_study: str | None) -> Received | PutOutcome:
        """The part is complete: an instance for the store, or why it is none."""
        if self._meta is None and self._refused is None:
            self._split()
        if self._refused is not None or self._meta is None:
            self._spool.close()
            refused = self._refused or Refused(Status.CANNOT_UNDERSTAND, "the part is empty")
            return PutOutcome(PutKind.REFUSED, refused.status, refused.sentence)
        return Received(
            self._spool,
            self._meta.transfer_syntax_uid,
            Origin.STOW_RS,
            study_instance_uid=addressed_study,
        )

    def abandon(self) -> None:
        """Let go of what has come: the request failed."""
        self._spool.close()

    def _split(self) -> None:
        try:
            self._meta, start = split(bytes(self._head))
        except Refused as refused:
            self._refused = refused
        else:
            self._spool.append(bytes(memoryview(self._head)[start:]))
        self._head = bytearray()
