"""Instances that a peer was sent → its word that it keeps them (PS3.4 J.3), with us as SCU. Blocking.

The report comes on the association of the request, or on one that the peer opens to us, as it likes (PS3.4 J.3.3).
For the second way somebody of ours must listen: :class:`producers.dimse.commitment_listener.CommitmentListener`.
Guarantee: an instance counts as committed only when a report with the Transaction UID of its request says so.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from producers.dimse.commitment import PROCESSING_FAILURE, REQUEST, WELL_KNOWN_INSTANCE
from producers.dimse.outbound import Outbound
from producers.dimse.peers import Peer
from producers.dimse.proposals import FALLBACKS, Context
from producers.dimse.refusal import PEERS_ENTRY
from producers.dimse.requestor import Proposal, Timeouts, associated
from producers.dimse.rights import STORAGE_COMMITMENT
from schemas.errors import DestinationUnavailable, PermanentRejection, TransientFailure

Reference = tuple[str, str]

_PROPOSAL: Final = Proposal([Context(STORAGE_COMMITMENT, FALLBACKS)])
_LOOK_EVERY_S: Final = 0.5
_SUCCESS: Final = 0x0000


@dataclass(frozen=True)
class Report:
    """What a peer reports: committed instances, and Failure Reason (0008,1197) of those that are not."""

    committed: frozenset[str]
    failed: Mapping[str, int]


class Reports:
    """Reports that are waited for, by Transaction UID; they may come in any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._expected: set[str] = set()
        self._come: dict[str, Report] = {}

    @contextmanager
    def expected(self, transaction_uid: str) -> Iterator[None]:
        """Take a report of this transaction as long as the block lasts."""
        with self._changed:
            self._expected.add(transaction_uid)
        try:
            yield
        finally:
            with self._changed:
                self._expected.discard(transaction_uid)
                self._come.pop(transaction_uid, None)

    def hear(self, _: int, information: Dataset) -> int:
        """Take Event Information (PS3.4 table J.3-2); a report that nobody waits for any more is taken too.

        Refusing a late one would only make the peer send it again.
        """
        transaction = str(information.get("TransactionUID") or "")
        with self._changed:
            if transaction in self._expected:
                try:
                    self._come[transaction] = _report(information)
                except (AttributeError, TypeError, ValueError):
                    return PROCESSING_FAILURE
                self._changed.notify_all()
        return _SUCCESS

    def wait(
        self, transaction_uid: str, until: float, clock: Callable[[], float] = time.monotonic
    ) -> Report | None:
        """Report of a transaction, or ``None`` when the time has come first."""
        with self._changed:
            while transaction_uid not in self._come:
                left = until - clock()
                if left <= 0:
                    return None
                self._changed.wait(min(left, _LOOK_EVERY_S))
            return self._come[transaction_uid]


@dataclass(frozen=True)
class CommitmentScu:
    """Asks one peer for storage commitment.

    Attributes
    ----------
    peer
        Whom.
    ae_title
        Ours; the peer reports to the entity of this title.
    timeouts
        Limits of associations.
    report_s
        Longest wait for the report, in seconds.
    reports
        Where they come in.
    tls
        For a peer whose entry has ``tls``.
    entry
        Where the peer's title and address are configured, for messages.
    """

    peer: Peer
    ae_title: str
    timeouts: Timeouts
    report_s: float
    reports: Reports
    tls: ssl.SSLContext | None = None
    entry: str = PEERS_ENTRY

    def confirm(self, transaction_uid: str, references: Sequence[Reference]) -> Report:
        """Ask for the commitment of instances, and wait for the report.

        Parameters
        ----------
        transaction_uid
            A new one.
        references
            SOP Class and SOP Instance UIDs.

        Raises
        ------
        DestinationUnavailable
            The peer is away, has no such service for us, or has no resources.
        TransientFailure
            No report came in time.
        """
        with self.reports.expected(transaction_uid):
            until = time.monotonic() + self.report_s
            try:
                with associated(
                    self.peer,
                    self.ae_title,
                    _PROPOSAL,
                    timeouts=self.timeouts,
                    tls=self.tls,
                    hear=self.reports.hear,
                    entry=self.entry,
                ) as outbound:
                    self._ask(outbound, transaction_uid, references)
                    report = self._wait(outbound, transaction_uid, until)
            except PermanentRejection as error:
                raise DestinationUnavailable(f"storage commitment: {error}") from error
            # the peer may have ended the association, in order to report on one of its own
            report = report or self.reports.wait(transaction_uid, until)
        if report is None:
            raise TransientFailure(
                f"{self.peer.ae_title} did not report on storage commitment within {self.report_s:g} s: raise "
                "SCANSTREAM_STOW_COMMITMENT_TIMEOUT_S; a PACS that reports on an association of its own must know "
                f"the address of {self.ae_title}, and SCANSTREAM_STOW_COMMITMENT_PORT the port there"
            )
        return report

    def _ask(self, outbound: Outbound, transaction_uid: str, references: Sequence[Reference]) -> None:
        information = Dataset()
        information.TransactionUID = transaction_uid
        information.ReferencedSOPSequence = [_item(*reference) for reference in references]
        answer = outbound.action(information, REQUEST, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE)
        if not answer.ok:
            raise DestinationUnavailable(
                f"{self.peer.ae_title} answers a request for storage commitment with {answer.status:04X}H: enable "
                f"it there for {self.ae_title}, or unset SCANSTREAM_STOW_STORAGE_COMMITMENT"
            )

    def _wait(self, outbound: Outbound, transaction_uid: str, until: float) -> Report | None:
        while outbound.is_open:
            report = self.reports.wait(transaction_uid, min(until, time.monotonic() + _LOOK_EVERY_S))
            if report is not None or time.monotonic() >= until:
                return report
        return None


def _item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _report(information: Dataset) -> Report:
    failed = {
        str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or PROCESSING_FAILURE)
        for item in information.get("FailedSOPSequence") or ()
    }
    named = {str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence") or ()}
    return Report(frozenset(named - failed.keys()), failed)
