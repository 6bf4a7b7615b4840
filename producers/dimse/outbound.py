"""Operations of ours on an association that we opened (PS3.7 9, 10), over pynetdicom. Blocking.

Guarantee: each gives the peer's answer, or :class:`DestinationUnavailable` when the association ends or the time
limit passes. Data sets of instances pass as the bytes that they are; nothing decodes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom.association import Association

from schemas.errors import DestinationUnavailable, PermanentRejection

_VERIFICATION: Final = "1.2.840.10008.1.1"
_SUCCESS: Final = 0x0000
_CANCELLED: Final = 0xFE00
_PENDING: Final = frozenset({0xFF00, 0xFF01})
_OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)
_MAX_MESSAGE_ID: Final = 0xFFFF
#: A peer may take this long for each byte that it is sent, besides the time for its response.
_SLOWEST_BYTES_PER_S: Final = 250_000


@dataclass(frozen=True)
class Delivery:
    """An object that the peer sent for a C-GET; ``data_set`` is encoded in the transfer syntax."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


@dataclass(frozen=True)
class Answer:
    """Status of an operation, and what the peer said about it."""

    status: int
    comment: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was done, with a warning or without."""
        return self.status == _SUCCESS or self.status in (0x0001, 0x0107, 0x0116) or self.status >> 12 == 0xB


@dataclass(frozen=True)
class Retrieval:
    """State of a C-MOVE or C-GET: status, and sub-operations so far; ``failed_uids`` only comes at the end."""

    status: int
    remaining: int
    completed: int
    failed: int
    warning: int
    failed_uids: tuple[str, ...] = ()
    comment: str = ""

    @property
    def is_final(self) -> bool:
        """Whether no further response comes."""
        return self.status not in _PENDING


class Outbound:
    """An association that is open.

    Parameters
    ----------
    association
        Established.
    peer
        Its AE title, for messages.
    response_s
        Seconds that the peer has for each response.
    """

    def __init__(self, association: Association, peer: str, response_s: float) -> None:
        self._association = association
        self._peer = peer
        self._response_s = response_s
        self._numbers = count()

    @property
    def is_open(self) -> bool:
        """Whether it is still established."""
        return bool(self._association.is_established)

    def abort(self) -> None:
        """Break off, also from another thread: who waits for a response is told that the association is lost.

        The connection is shut down, which the peer takes for an abort (PS3.8 9.2.3, AA-4): pynetdicom would send
        an A-ABORT, and go on to wait for the response.
        """
        connection = self._association.dul.socket
        if connection is not None and connection.socket is not None:
            with suppress(OSError):
                connection.socket.shutdown(SHUT_RDWR)

    def accepts(self, abstract_syntax: str, transfer_syntax: str | None = None) -> bool:
        """Whether the peer accepted a context that we may use as SCU, in any or in this transfer syntax."""
        return any(
            context.as_scu
            and context.abstract_syntax == abstract_syntax
            and transfer_syntax in (None, context.transfer_syntax[0])
            for context in self._association.accepted_contexts
        )

    def echo(self) -> None:
        """C-ECHO (PS3.7 9.1.5).

        Raises
        ------
        DestinationUnavailable
            No success came back.
        """
        answer = self._answer(self._call(self._association.send_c_echo, self._next_id()))
        if answer.status != _SUCCESS:
            raise DestinationUnavailable(f"{self._peer} answers C-ECHO with {answer.status:04X}H: look at its log")

    def store(self, path: Path, size_bytes: int, originator: tuple[str, int] | None = None) -> Answer:
        """C-STORE of a Part 10 file, its data set byte for byte (PS3.7 9.1.1).

        Parameters
        ----------
        path
            The file; the context of its SOP class and transfer syntax must be accepted (:meth:`accepts`).
        size_bytes
            Of it; a large one may take longer.
        originator
            AE title and Message ID of the C-MOVE that this is for.
        """
        title, message_id = originator or (None, None)
        self._association.dimse_timeout = self._response_s + size_bytes / _SLOWEST_BYTES_PER_S
        try:
            status = self._call(
                self._association.send_c_store,
                str(path),
                self._next_id(),
                originator_aet=title,
                originator_id=message_id,
            )
        finally:
            self._association.dimse_timeout = self._response_s
        return self._answer(status)

    def find(self, identifier: Dataset, query_model: str) -> Iterator[Dataset]:
        """C-FIND (PS3.7 9.1.2); yields matches as they come. Whoever stops early makes it cancel.

        Raises
        ------
        PermanentRejection
            The peer refuses the query; ``code`` is its status.
        DestinationUnavailable
            It is out of resources, or gone.
        """
        number = self._next_id()
        responses = self._call(self._association.send_c_find, identifier, query_model, number)
        finished = False
        try:
            for status, match in responses:
                answer = self._answer(status)
                if answer.status not in _PENDING:
                    finished = True
                    self._require(answer, "C-FIND")
                elif match is not None:
                    yield match
        finally:
            if not finished and self.is_open:
                self._cancel(number, query_model, responses)

    def move(
        self,
        identifier: Dataset,
        destination: str,
        query_model: str,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[Retrieval]:
        """C-MOVE (PS3.7 9.1.4); yields the progress, and the final state last.

        Parameters
        ----------
        identifier
            Unique keys and QueryRetrieveLevel.
        destination
            AE title that the peer sends to.
        query_model
            SOP Class UID of the information model.
        is_cancelled
            Looked at after each response.
        """
        number = self._next_id()
        responses = self._call(self._association.send_c_move, identifier, destination, query_model, number)
        yield from self._retrieval(responses, number, query_model, is_cancelled)

    def get(
        self, identifier: Dataset, query_model: str, is_cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Retrieval]:
        """C-GET (PS3.7 9.1.3); the objects go to ``take`` of the association, the progress is yielded."""
        number = self._next_id()
        responses = self._call(self._association.send_c_get, identifier, query_model, number)
        yield from self._retrieval(responses, number, query_model, is_cancelled)

    def event_report(
        self, information: Dataset, event_type_id: int, sop_class_uid: str, sop_instance_uid: str
    ) -> Answer:
        """N-EVENT-REPORT (PS3.7 10.1.1)."""
        status, _ = self._call(
            self._association.send_n_event_report,
            information,
            event_type_id,
            sop_class_uid,
            sop_instance_uid,
            self._next_id(),
        )
        return self._answer(status)

    def action(
        self, information: Dataset, action_type_id: int, sop_class_uid: str, sop_instance_uid: str
    ) -> Answer:
        """N-ACTION (PS3.7 10.1.4)."""
        status, _ = self._call(
            self._association.send_n_action,
            information,
            action_type_id,
            sop_class_uid,
            sop_instance_uid,
            self._next_id(),
        )
        return self._answer(status)

    def _retrieval(
        self,
        responses: Iterator[tuple[Dataset, Dataset | None]],
        number: int,
        query_model: str,
        is_cancelled: Callable[[], bool],
    ) -> Iterator[Retrieval]:
        asked_to_stop = False
        for status, identifier in responses:
            state = _state(status, self._answer(status), identifier)
            yield state
            if not state.is_final and not asked_to_stop and is_cancelled() and self.is_open:
                asked_to_stop = True
                self._association.send_c_cancel(number, query_model=query_model)

    def _cancel(self, number: int, query_model: str, responses: Iterator[Any]) -> None:
        """C-CANCEL, then everything that the peer had sent already, so that the association can go on.

        A peer that goes on sending loses the association after the time limit.
        """
        deadline = time.monotonic() + self._response_s
        with suppress(DestinationUnavailable):
            self._association.send_c_cancel(number, query_model=query_model)
            for status, _ in responses:
                self._answer(status)
                if time.monotonic() > deadline:
                    self.abort()
                    return

    def _call(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return operation(*arguments, **options)
        except RuntimeError as error:  # pynetdicom's word for an association that is not established
            raise self._lost() from error
        except (ValueError, AttributeError) as error:
            raise PermanentRejection(
                f"{self._peer} did not accept a presentation context for this, or it cannot be encoded: {error}"
            ) from error

    def _answer(self, status: Dataset) -> Answer:
        code = status.get("Status")
        if code is None:
            raise self._lost()
        return Answer(int(code), str(status.get("ErrorComment") or ""))

    def _lost(self) -> DestinationUnavailable:
        return DestinationUnavailable(
            f"{self._peer} ended the association, or gave no answer within {self._response_s:g} s: look at its log"
        )

    def _require(self, answer: Answer, operation: str) -> None:
        if answer.ok or answer.status == _CANCELLED:
            return
        sentence = f"{self._peer} answers {operation} with {answer.status:04X}H"
        if answer.status in _OUT_OF_RESOURCES:
            raise DestinationUnavailable(f"{sentence}, out of resources: it must be relieved or asked later")
        raise PermanentRejection(f"{sentence}: look at its log and conformance statement", answer.status)

    def _next_id(self) -> int:
        return next(self._numbers) % _MAX_MESSAGE_ID + 1


def _state(status: Dataset, answer: Answer, identifier: Dataset | None) -> Retrieval:
    def number(keyword: str) -> int:
        return int(status.get(keyword) or 0)

    failed = None if identifier is None else identifier.get("FailedSOPInstanceUIDList")
    uids = [failed] if isinstance(failed, str) else list(failed or ())
    return Retrieval(
        answer.status,
        number("NumberOfRemainingSuboperations"),
        number("NumberOfCompletedSuboperations"),
        number("NumberOfFailedSuboperations"),
        number("NumberOfWarningSuboperations"),
        tuple(str(uid) for uid in uids if uid),
        answer.comment,
    )
