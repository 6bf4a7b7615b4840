"""Counts of C-STORE sub-operations → responses of a C-GET or C-MOVE (PS3.4 C.4.2.1.5-7, C.4.3.1.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from producers.dimse.command import Command
from producers.dimse.identifier import Element, encode
from producers.dimse.service import Response

_FAILED_SOP_INSTANCE_UID_LIST: Final = 0x00080058
#: What a value of VR UI can hold at most.
_MAX_LIST_BYTES: Final = 0xFFFE
_MAX_COUNT: Final = 0xFFFF


class RetrieveStatus(IntEnum):
    """Statuses of C-MOVE and C-GET (PS3.4 tables C.4-2 and C.4-3)."""

    SUCCESS = 0x0000
    PENDING = 0xFF00
    CANCELLED = 0xFE00
    SOME_FAILED = 0xB000
    UNABLE_TO_CALCULATE_MATCHES = 0xA701
    UNABLE_TO_PERFORM_SUBOPERATIONS = 0xA702
    DESTINATION_UNKNOWN = 0xA801
    IDENTIFIER_DOES_NOT_MATCH = 0xA900


@dataclass(frozen=True)
class SubOperations:
    """How far a retrieval is; a state is never changed, so it can be read from any thread.

    Attributes
    ----------
    total
        Instances that were asked for.
    completed, warning
        Stored at the receiver, without and with a warning.
    failed_uids
        SOP Instance UIDs of those that were not.
    """

    total: int
    completed: int = 0
    warning: int = 0
    failed_uids: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """Number of those that failed."""
        return len(self.failed_uids)

    @property
    def remaining(self) -> int:
        """Number of those that nobody has tried yet."""
        return self.total - self.completed - self.warning - self.failed

    def after(self, sop_instance_uid: str, status: int | None) -> SubOperations:
        """State after one more.

        Parameters
        ----------
        sop_instance_uid
            Which.
        status
            Of its C-STORE; ``None`` when there was none.
        """
        if status == 0:
            return replace(self, completed=self.completed + 1)
        if status is not None and status >> 12 == 0xB:
            return replace(self, warning=self.warning + 1)
        return self.with_failed((sop_instance_uid,))

    def with_failed(self, sop_instance_uids: Iterable[str]) -> SubOperations:
        """State after some that could not be tried."""
        return replace(self, failed_uids=(*self.failed_uids, *sop_instance_uids))

    def pending(self, request: Command) -> Command:
        """Response while it goes on."""
        return self._counted(request.response(RetrieveStatus.PENDING), remaining=True)

    def final(self, request: Command, transfer_syntax_uid: str, cancelled: bool, comment: str = "") -> Response:
        """Last response, with the list of those that failed when there are any.

        Parameters
        ----------
        request
            C-GET or C-MOVE.
        transfer_syntax_uid
            Of its presentation context.
        cancelled
            Whether it ends because the peer asked for it.
        comment
            Why they failed.
        """
        done = self.completed + self.warning
        if cancelled:
            status = RetrieveStatus.CANCELLED
        elif not self.failed_uids:
            status = RetrieveStatus.SOME_FAILED if self.warning else RetrieveStatus.SUCCESS
        else:
            status = RetrieveStatus.SOME_FAILED if done else RetrieveStatus.UNABLE_TO_PERFORM_SUBOPERATIONS
        command = self._counted(request.response(status, comment or None), remaining=cancelled)
        if not self.failed_uids:
            return Response(command)
        element = Element(_FAILED_SOP_INSTANCE_UID_LIST, "UI", _listed(self.failed_uids))
        return Response(replace(command, has_data_set=True), encode([element], transfer_syntax_uid))

    def _counted(self, command: Command, remaining: bool) -> Command:
        return replace(
            command,
            remaining=min(self.remaining, _MAX_COUNT) if remaining else None,
            completed=min(self.completed, _MAX_COUNT),
            failed=min(self.failed, _MAX_COUNT),
            warning=min(self.warning, _MAX_COUNT),
        )


def _listed(uids: Iterable[str]) -> str:
    """As many as fit."""
    found: list[str] = []
    length = 0
    for uid in uids:
        length += len(uid) + 1
        if length > _MAX_LIST_BYTES:
            break
        found.append(uid)
    return "\\".join(found)
