"""Services around storing (PS3.4 F, J, K, R): what a department's workflow needs besides images.

Storage Commitment, Modality Performed Procedure Step, Instance Availability Notification and Modality Worklist,
put together: what they keep is in one database beside the index.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from producers.dimse import identifier, procedure_step
from producers.dimse.availability import InstanceAvailability
from producers.dimse.command import CommandField
from producers.dimse.commitment_call import ReportByCall
from producers.dimse.commitment_reports import CommitmentReports, Patience
from producers.dimse.commitment_service import StorageCommitment
from producers.dimse.data_sets import TRANSFER_SYNTAXES
from producers.dimse.peers import Peers
from producers.dimse.procedure_step_service import ProcedureSteps
from producers.dimse.promises import Promised, Promises
from producers.dimse.requestor import Timeouts
from producers.dimse.rights import INSTANCE_AVAILABILITY, MODALITY_WORKLIST, STORAGE_COMMITMENT
from producers.dimse.service import Registry
from producers.dimse.worklist import Orders, Worklist
from producers.store import commitments, procedure_steps
from producers.store.lookup import Lookup
from producers.store.service_database import ServiceDatabase
from producers.store.store import InstanceStore


@dataclass(frozen=True)
class Surroundings:
    """What the services ask of the gateway.

    Attributes
    ----------
    promised
        Makes a hint.
    orders
        What is scheduled, or ``None`` while that is not known.
    peers
        Known application entities, as they are now.
    tls
        For associations that we open; ``None`` when there is no certificate.
    """

    promised: Promised
    orders: Orders
    peers: Callable[[], Peers]
    tls: Callable[[], ssl.SSLContext | None]


class Workflow:
    """The services, over one store.

    Parameters
    ----------
    store
        Where instances and the outbox are.
    surroundings
        The rest of the gateway.
    patience
        With instances that are under way, and with peers that take no report.
    timeouts
        Of associations that we open, in seconds.
    clock
        Unix time in seconds.

    Raises
    ------
    ConfigurationError
        The database cannot be opened.
    """

    def __init__(
        self,
        store: InstanceStore,
        surroundings: Surroundings,
        patience: Patience,
        timeouts: Timeouts,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = ServiceDatabase(store.root, (*commitments.DDL, *procedure_steps.DDL))
        self._lookup = Lookup(store.root)
        self._orders = surroundings.orders
        self._clock = clock
        self._promises = Promises(store, surroundings.promised, clock)
        call = ReportByCall(surroundings.peers, surroundings.tls, timeouts)
        self._reports = CommitmentReports(self._database, self._lookup, self._promises, call, patience, clock)

    def register(self, registry: Registry) -> None:
        """Offer the services."""
        commitment = StorageCommitment(self._database, self._reports, self._clock)
        registry.register(commitment, CommandField.N_ACTION_RQ, [STORAGE_COMMITMENT], TRANSFER_SYNTAXES)
        steps = ProcedureSteps(self._database, self._lookup, self._promises, self._clock)
        for command in (CommandField.N_CREATE_RQ, CommandField.N_SET_RQ):
            registry.register(steps, command, [procedure_step.SOP_CLASS], TRANSFER_SYNTAXES)
        availability = InstanceAvailability(self._promises)
        registry.register(availability, CommandField.N_CREATE_RQ, [INSTANCE_AVAILABILITY], TRANSFER_SYNTAXES)
        worklist = Worklist(self._orders)
        registry.register(worklist, CommandField.C_FIND_RQ, [MODALITY_WORKLIST], identifier.TRANSFER_SYNTAXES)

    async def start(self) -> None:
        """Take up what an earlier process left."""
        await self._reports.start()

    async def stop(self) -> None:
        """End what is under way; nothing is lost."""
        await self._reports.stop()

    def close(self) -> None:
        """Close the database."""
        self._lookup.close()
        self._database.close()
