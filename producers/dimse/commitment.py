"""Storage commitment (PS3.4 J.3): what is asked for, what of it is committed, what the report says. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydicom.dataset import Dataset

from producers.dimse.command import Command, CommandField
from producers.dimse.data_sets import INVALID_ARGUMENT_VALUE, RESOURCE_LIMITATION, Refusal
from producers.dimse.rights import STORAGE_COMMITMENT
from producers.store.commitments import Commitment, Failures, Reference
from producers.store.headers import is_uid
from producers.store.lookup import Located

#: Well-known SOP Instance (PS3.4 J.3.5).
WELL_KNOWN_INSTANCE: Final = "1.2.840.10008.1.20.1.1"

REQUEST: Final = 1
ALL_COMMITTED: Final = 1
SOME_FAILED: Final = 2

# Statuses of the response, and values of Failure Reason (0008,1197) (PS3.3 C.14, PS3.7 C).
PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
CLASS_INSTANCE_CONFLICT: Final = 0x0119
NO_SUCH_ACTION: Final = 0x0123
DUPLICATE_TRANSACTION: Final = 0x0131

MAX_INSTANCES: Final = 50_000


def check_addressed(command: Command) -> None:
    """Whether an N-ACTION is a request for storage commitment of the well-known instance (PS3.4 J.3.2).

    Raises
    ------
    Refusal
        It is for another instance or class, or another action.
    """
    if command.requested_sop_class_uid != STORAGE_COMMITMENT:
        raise Refusal(CLASS_INSTANCE_CONFLICT, "not the SOP class of the presentation context")
    if command.requested_sop_instance_uid != WELL_KNOWN_INSTANCE:
        raise Refusal(NO_SUCH_INSTANCE, f"the instance must be the well-known {WELL_KNOWN_INSTANCE}")
    if command.action_type_id != REQUEST:
        raise Refusal(NO_SUCH_ACTION, f"the only action is {REQUEST}, request storage commitment")


def asked_for(attributes: Dataset) -> tuple[str, tuple[Reference, ...]]:
    """Transaction UID and referenced instances of a request, each once (PS3.4 table J.3-1).

    Raises
    ------
    Refusal
        One of them is missing or no UID, or there are too many.
    """
    transaction = str(attributes.get("TransactionUID") or "")
    if not is_uid(transaction):
        raise Refusal(INVALID_ARGUMENT_VALUE, "Transaction UID (0008,1195) is missing or no UID")
    items = attributes.get("ReferencedSOPSequence") or ()
    if len(items) > MAX_INSTANCES:
        raise Refusal(RESOURCE_LIMITATION, f"more than {MAX_INSTANCES} instances: ask for fewer at once")
    references: dict[Reference, None] = {}
    for item in items:
        reference = str(item.get("ReferencedSOPClassUID") or ""), str(item.get("ReferencedSOPInstanceUID") or "")
        if not all(map(is_uid, reference)):
            raise Refusal(INVALID_ARGUMENT_VALUE, "Referenced SOP Sequence (0008,1199) has an item without UIDs")
        references[reference] = None
    if not references:
        raise Refusal(INVALID_ARGUMENT_VALUE, "Referenced SOP Sequence (0008,1199) is missing or empty")
    return transaction, tuple(references)


def failures_of(instances: Iterable[Reference], located: Mapping[str, Located]) -> Failures:
    """Instances that cannot be committed, with Failure Reason (0008,1197)."""
    failures: Failures = {}
    for sop_class, sop in instances:
        found = located.get(sop)
        if found is None or not found.is_whole:
            failures[sop] = NO_SUCH_INSTANCE
        elif found.sop_class_uid != sop_class:
            failures[sop] = CLASS_INSTANCE_CONFLICT
    return failures


def counts_by_study(instances: Iterable[Reference], located: Mapping[str, Located]) -> dict[str, int]:
    """Study Instance UID → how many of the instances it has."""
    return dict(Counter(located[sop].study_instance_uid for _, sop in instances if sop in located))


def report(commitment: Commitment) -> tuple[int, Dataset]:
    """Event Type ID and Event Information of the N-EVENT-REPORT (PS3.4 table J.3-2).

    Parameters
    ----------
    commitment
        A decided one.
    """
    failures = commitment.failures or {}
    information = Dataset()
    information.TransactionUID = commitment.transaction_uid
    information.RetrieveAETitle = commitment.own_ae_title
    committed = [reference for reference in commitment.instances if reference[1] not in failures]
    if committed:
        information.ReferencedSOPSequence = _items(committed)
    if not failures:
        return ALL_COMMITTED, information
    failed = [reference for reference in commitment.instances if reference[1] in failures]
    information.FailedSOPSequence = _items(failed)
    for item in information.FailedSOPSequence:
        item.FailureReason = failures[item.ReferencedSOPInstanceUID]
    return SOME_FAILED, information


def report_command(event_type_id: int) -> Command:
    """N-EVENT-REPORT-RQ for the well-known instance."""
    return Command(
        CommandField.N_EVENT_REPORT_RQ,
        sop_class_uid=STORAGE_COMMITMENT,
        sop_instance_uid=WELL_KNOWN_INSTANCE,
        event_type_id=event_type_id,
    )


def _items(references: Sequence[Reference]) -> list[Dataset]:
    items = []
    for sop_class, sop in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop
        items.append(item)
    return items
