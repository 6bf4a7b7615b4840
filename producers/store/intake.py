"""An instance as it came in → a durable file in ``incoming``, its headers and its messages, handed to the writer.

Runs in many threads at once; everything that does not need the one writer is done here. Whatever comes, whoever
sent it gets an answer: from here when it is refused, else from the writer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from producers.store.changes import outcome_of
from producers.store.files import INCOMING, Written, write_aside
from producers.store.headers import Headers, is_uid, read_headers
from producers.store.jobs import Announce, Put
from producers.store.outcome import PutKind, PutOutcome, Received, Refused, Status
from producers.store.part10 import FileMeta, encode_header
from producers.store.writer import Writer

log = logging.getLogger(__name__)


class Intake:
    """Takes instances in for one writer.

    Parameters
    ----------
    root
        Directory of the store.
    announce
        Messages of a new instance.
    writer
        Gets what is durable.
    clock
        Unix time in seconds.
    """

    def __init__(self, root: Path, announce: Announce, writer: Writer, clock: Callable[[], float]) -> None:
        self._incoming = root / INCOMING
        self._announce = announce
        self._writer = writer
        self._clock = clock

    def take(self, received: Received, done: Callable[[PutOutcome], None]) -> None:
        """Read the headers, write the file, hand over to the writer; ``done`` is called once."""
        headers: Headers | None = None
        try:
            headers = headers_of(received)
            self._writer.submit(self._put(received, headers, done))
        except Refused as refused:
            done(refusal(refused.status, refused.sentence, headers))
        except OSError as error:
            done(refusal(Status.OUT_OF_RESOURCES, f"the file cannot be written: {error.strerror}", headers))
        except Exception:
            log.exception("an instance could not be processed")
            done(refusal(Status.PROCESSING_FAILURE, "the instance could not be processed", headers))
        finally:
            received.data_set.close()

    def adopt(self, received: Received, headers: Headers, written: Written) -> None:
        """Index and announce a file that is in its place already; only before the writer works.

        Raises
        ------
        Refused
            It could not be indexed.
        """
        outcomes: list[PutOutcome] = []
        messages = tuple(self._announce(received, headers, written, self._clock()))
        self._writer.write_now(Put(received, headers, written, outcomes.append, messages, adopted=True))
        for outcome in outcomes:
            if not outcome.ok:
                raise Refused(outcome.status, outcome.sentence)

    def _put(self, received: Received, headers: Headers, done: Callable[[PutOutcome], None]) -> Put:
        meta = FileMeta(
            received.transfer_syntax_uid,
            headers.sop_class_uid,
            headers.sop_instance_uid,
            received.calling_ae_title,
            received.called_ae_title,
        )
        written = write_aside(self._incoming, encode_header(meta), received.data_set.chunks())
        try:
            messages = tuple(self._announce(received, headers, written, self._clock()))
        except BaseException:
            with suppress(OSError):
                written.path.unlink()
            raise
        return Put(received, headers, written, done, messages)


def headers_of(received: Received) -> Headers:
    """Headers of an instance that is what it was sent as.

    Raises
    ------
    Refused
        It cannot be read (C000), was not kept whole (A700), or is something else (A900).
    """
    if not is_uid(received.transfer_syntax_uid):
        raise Refused(Status.CANNOT_UNDERSTAND, "the transfer syntax is not a UID")
    data_set = received.data_set
    if data_set.failure is not None:
        raise Refused(Status.OUT_OF_RESOURCES, f"the data set could not be kept: {data_set.failure}")
    headers = read_headers(data_set.prefix, data_set.size, received.transfer_syntax_uid)
    for said, found, name in (
        (received.sop_class_uid, headers.sop_class_uid, "SOP Class UID"),
        (received.sop_instance_uid, headers.sop_instance_uid, "SOP Instance UID"),
        (received.study_instance_uid, headers.study_instance_uid, "Study Instance UID"),
    ):
        if said is not None and said != found:
            raise Refused(
                Status.DATA_SET_DOES_NOT_MATCH, f"the {name} of the data set is not the one it was sent as"
            )
    return headers


def refusal(status: Status, sentence: str, headers: Headers | None = None) -> PutOutcome:
    """Answer to an instance that is not taken."""
    return outcome_of(PutKind.REFUSED, status, sentence, headers)
