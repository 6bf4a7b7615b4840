"""Data set bytes of a request ↔ attributes, for services whose data sets are small (not for images).

Guarantee: whatever the bytes are, reading them ends with attributes or a :class:`Refusal`; neither says what a
value was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Final, TypeVar

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from producers.dimse.command import Command
from producers.dimse.service import Exchange, Response
from producers.store.headers import encoding_of
from producers.tolerance import read_without_validation
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Transfer syntaxes of such services (PS3.5 A).
TRANSFER_SYNTAXES: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")
EXPLICIT_VR_LITTLE_ENDIAN: Final = TRANSFER_SYNTAXES[0]

INVALID_ARGUMENT_VALUE: Final = 0x0115
RESOURCE_LIMITATION: Final = 0x0213

T = TypeVar("T")


class Refusal(Exception):
    """A request is answered with a status of failure.

    Parameters
    ----------
    status
        Of the response (PS3.7 C).
    sentence
        Why; without identity, for the peer and for the log.
    error_id
        Error ID (0000,0903), where the service defines one.
    """

    def __init__(self, status: int, sentence: str, error_id: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.error_id = error_id

    def response(self, request: Command) -> Command:
        """Response to the refused request."""
        return replace(request.response(self.status, self.sentence), error_id=self.error_id)


def refused(exchange: Exchange, refusal: Refusal, event: str) -> Response:
    """Answer to a refused request, which is said in the log; lets go of its data set."""
    message, association_id = exchange.message, exchange.session.association_id
    if message.data_set is not None:
        message.data_set.close()
    extra = fields(association_id=association_id, status=f"{refusal.status:04X}", reason=refusal.sentence)
    log.warning(event, extra=extra)
    return Response(refusal.response(message.command))


async def read(
    exchange: Exchange, understand: Callable[[Dataset], T], malformed: int = INVALID_ARGUMENT_VALUE
) -> T:
    """What a request says, taken from its data set in another thread; closes the data set.

    Parameters
    ----------
    exchange
        The request.
    understand
        Takes what is needed out of the attributes; they are read from the bytes only when they are looked at.
    malformed
        Status for a data set that is missing or cannot be read.

    Raises
    ------
    Refusal
        There is no data set, it cannot be read, or ``understand`` refuses it.
    """
    spool = exchange.message.data_set
    if spool is None:
        raise Refusal(malformed, "the request has no data set")
    try:
        if spool.failure is not None:
            raise Refusal(RESOURCE_LIMITATION, spool.failure)
        data = spool.prefix(spool.size)
    finally:
        spool.close()
    return await asyncio.to_thread(_read, data, exchange.context.transfer_syntax, understand, malformed)


def _read(data: bytes, transfer_syntax: str, understand: Callable[[Dataset], T], malformed: int) -> T:
    read_without_validation()
    try:
        return understand(decode(data, transfer_syntax))
    except Refusal:
        raise
    except Exception as error:  # noqa: BLE001 - bytes of a peer can break the library in any way
        raise Refusal(malformed, f"the data set cannot be read ({type(error).__name__})") from None


def decode(data: bytes, transfer_syntax: str) -> Dataset:
    """Attributes of a data set; values are converted when they are looked at."""
    encoding = encoding_of(transfer_syntax)
    return read_dataset(BytesIO(data), not encoding.explicit, encoding.little_endian)


def encode(attributes: Dataset, transfer_syntax: str) -> bytes:
    """Data set in a transfer syntax."""
    encoding = encoding_of(transfer_syntax)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = not encoding.explicit
    buffer.is_little_endian = encoding.little_endian
    write_dataset(buffer, attributes)
    return buffer.getvalue()
