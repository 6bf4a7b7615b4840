"""Stored instances → another application entity by C-STORE, over associations of ours. Blocking, in a thread.

Guarantee: it ends within the time limits of the receiver however that behaves; each instance counts as completed
only when the receiver said so, and what is not whole on disk is never sent.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from producers.dimse.outbound import Answer, Outbound
from producers.dimse.peers import Peer
from producers.dimse.proposals import FALLBACKS, batches
from producers.dimse.requestor import Proposal, Timeouts, associated
from producers.dimse.suboperations import SubOperations
from producers.dimse.transfer_form import Incomplete, choose, converted_file, open_data_set
from producers.store.index import StoredInstance
from producers.store.transcode import CannotDecode
from schemas.errors import ConfigurationError, DestinationUnavailable, PermanentRejection

#: Told of each instance that was not delivered, and why.
Complain = Callable[[StoredInstance, str], None]


@dataclass(frozen=True)
class Route:
    """Where instances go.

    Attributes
    ----------
    destination
        Receiver.
    ae_title
        Ours.
    originator
        AE title and Message ID of the C-MOVE that it is for.
    timeouts
        Limits in seconds.
    tls
        For a receiver that wants it, as it is now; ``None`` when there is no certificate.
    """

    destination: Peer
    ae_title: str
    originator: tuple[str, int]
    timeouts: Timeouts
    tls: Callable[[], ssl.SSLContext | None] = lambda: None


class Transfer:
    """One C-MOVE's sub-operations.

    Parameters
    ----------
    route
        Where to.
    instances
        What.
    complain
        Called in the thread that runs.

    Attributes
    ----------
    state
        How far it is; may be read from any thread.
    reason
        Why instances failed without being tried; empty when none did.
    has_begun
        Whether its turn has come.
    is_stopped
        Whether no more instances go.
    """

    def __init__(self, route: Route, instances: Sequence[StoredInstance], complain: Complain) -> None:
        self._route = route
        self._instances = instances
        self._complain = complain
        self.has_begun = False
        self.is_stopped = False
        self._outbound: Outbound | None = None
        self.state = SubOperations(len(instances))
        self.reason = ""

    def stop(self, at_once: bool = False) -> None:
        """No more instances, from any thread; ``at_once`` also breaks off the one that is under way."""
        self.is_stopped = True
        outbound = self._outbound
        if at_once and outbound is not None:
            with suppress(Exception):  # it may end by itself at the same moment
                outbound.abort()

    def run(self) -> None:
        """Send everything; what cannot be sent is in ``state``."""
        self.has_begun = True
        rest = list(self._instances)
        for contexts, part in batches(self._instances):
            if self.is_stopped:
                return
            try:
                self._send(Proposal(contexts), part)
            except PermanentRejection as error:  # of these SOP classes; the next association has others
                self._give_up(part, str(error))
            except (DestinationUnavailable, ConfigurationError) as error:
                self._give_up(rest, str(error))
                return
            rest = rest[len(part) :]

    def _send(self, proposal: Proposal, part: Sequence[StoredInstance]) -> None:
        route = self._route
        tls = route.tls() if route.destination.tls else None
        with associated(route.destination, route.ae_title, proposal, timeouts=route.timeouts, tls=tls) as outbound:
            self._outbound = outbound
            try:
                for instance in part:
                    if self.is_stopped:
                        return
                    status = self._store(outbound, instance)
                    self.state = self.state.after(instance.sop_instance_uid, status)
            finally:
                self._outbound = None

    def _store(self, outbound: Outbound, instance: StoredInstance) -> int | None:
        """Status of the C-STORE, ``None`` when none could be made."""
        stored_as = instance.transfer_syntax_uid
        accepted = {uid for uid in (stored_as, *FALLBACKS) if outbound.accepts(instance.sop_class_uid, uid)}
        wanted = choose(stored_as, accepted)
        if wanted is None:
            self._complain(instance, "the receiver takes no transfer syntax that it can be had in")
            return None
        try:
            if wanted == stored_as:
                open_data_set(instance).close()
                answer = outbound.store(instance.path, instance.size_bytes, self._route.originator)
            else:
                answer = self._store_converted(outbound, instance, wanted)
        except (OSError, Incomplete, CannotDecode) as error:
            self._complain(instance, f"{type(error).__name__}: {error}")
            return None
        if answer.status:
            self._complain(instance, f"the receiver answers {answer.status:04X}H")
        return answer.status

    def _store_converted(self, outbound: Outbound, instance: StoredInstance, wanted: str) -> Answer:
        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            size = file.write(converted_file(instance, wanted))
            file.flush()
            return outbound.store(Path(file.name), size, self._route.originator)

    def _give_up(self, instances: Sequence[StoredInstance], reason: str) -> None:
        """Count as failed what of these was not tried."""
        done = self.state.total - self.state.remaining
        tried = {instance.sop_instance_uid for instance in self._instances[:done]}
        failed = [item for item in instances if item.sop_instance_uid not in tried]
        self.reason = reason
        self.state = self.state.with_failed(item.sop_instance_uid for item in failed)
        for instance in failed[:1]:
            self._complain(instance, f"{reason}; with it {len(failed) - 1} more")
