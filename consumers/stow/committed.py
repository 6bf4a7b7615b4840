"""A way into a PACS → the same, with the PACS's word that it keeps what it was sent (PS3.4 J)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from pydicom import Dataset

from consumers.dicom.render import RenderedObject
from consumers.stow.reasons import said
from consumers.stow.transport import Transport
from producers.dimse.commitment_listener import CommitmentListener
from producers.dimse.commitment_request import Reference, Report
from schemas.events import DeliveryStatus, ObjectOutcome


class Confirm(Protocol):
    """Asks for the commitment of instances; see :class:`producers.dimse.commitment_request.CommitmentScu`."""

    def confirm(self, transaction_uid: str, references: Sequence[Reference]) -> Report:
        """Report of a new transaction."""
        ...


def random_uid() -> str:
    """A UID of nobody else (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


class CommittedTransport:
    """See :class:`consumers.stow.transport.Transport`; an instance that is not committed is not ``STORED``.

    Parameters
    ----------
    transport
        Stores.
    commitment
        Asks for commitment of what was stored, once for all objects of a result.
    listener
        Takes reports that come on associations of the PACS; closed with this.
    new_uid
        Transaction UIDs.
    """

    def __init__(
        self,
        transport: Transport,
        commitment: Confirm,
        listener: CommitmentListener | None = None,
        new_uid: Callable[[], str] = random_uid,
    ) -> None:
        self._transport = transport
        self._commitment = commitment
        self._listener = listener
        self._new_uid = new_uid

    def store(self, objects: Sequence[RenderedObject]) -> tuple[ObjectOutcome, ...]:
        """Store objects of one study, and wait for the report on them.

        Raises
        ------
        DestinationUnavailable
            As the transport, or the PACS is no SCP of Storage Commitment for us.
        TransientFailure
            As the transport, or no report came in time.
        """
        outcomes = self._transport.store(objects)
        stored = [(one.object_type, one.identifier) for one in outcomes if one.status is DeliveryStatus.STORED]
        if not stored:
            return outcomes
        report = self._commitment.confirm(self._new_uid(), stored)
        return tuple(_after(one, report) for one in outcomes)

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        """Structured reports of a study."""
        return self._transport.reports(study_instance_uid)

    def probe(self) -> None:
        """Ask for as little as possible; raises as the transport."""
        self._transport.probe()

    def close(self) -> None:
        """Listen no more, and close the way in."""
        if self._listener is not None:
            self._listener.close()
        self._transport.close()


def _after(outcome: ObjectOutcome, report: Report) -> ObjectOutcome:
    """Outcome of an instance after the report."""
    if outcome.status is not DeliveryStatus.STORED or outcome.identifier in report.committed:
        return outcome
    code = report.failed.get(outcome.identifier)
    why = "the report does not name it" if code is None else said(code)
    return replace(
        outcome,
        status=DeliveryStatus.FAILED,
        status_code=code,
        reason=f"stored, but the PACS does not commit to keep it ({why}): see its log for the reason",
    )
