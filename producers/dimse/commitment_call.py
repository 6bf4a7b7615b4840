"""Decided commitments of one peer → N-EVENT-REPORTs on an association that we open (PS3.4 J.3.3). Blocking."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from producers.dimse.commitment import WELL_KNOWN_INSTANCE, report
from producers.dimse.data_sets import EXPLICIT_VR_LITTLE_ENDIAN
from producers.dimse.peers import Peers
from producers.dimse.proposals import IMPLICIT_LITTLE, Context
from producers.dimse.requestor import Proposal, Timeouts, associated
from producers.dimse.rights import STORAGE_COMMITMENT
from producers.store.commitments import Commitment
from schemas.errors import ConfigurationError, DestinationUnavailable

#: We are SCP of the service also where we open the association (PS3.4 J.3.3.1, PS3.7 D.3.3.4).
_PROPOSAL: Final = Proposal(
    [Context(STORAGE_COMMITMENT, (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_LITTLE), as_scp=True)]
)


@dataclass(frozen=True)
class ReportByCall:
    """Calls peers at the address of their entry.

    Attributes
    ----------
    peers
        Entries as they are now.
    tls
        For peers that want TLS; ``None`` when we have no certificate.
    timeouts
        Limits in seconds.
    """

    peers: Callable[[], Peers]
    tls: Callable[[], ssl.SSLContext | None]
    timeouts: Timeouts

    def __call__(self, reports: Sequence[Commitment]) -> list[int]:
        """Statuses of the reports that the peer answered, in their order; the first ones if not all.

        Raises
        ------
        ConfigurationError
            The peer has no address.
        DestinationUnavailable
            It is not reached, or ends the association before it answers anything.
        PermanentRejection
            It does not take reports.
        """
        title = reports[0].peer
        peer = self.peers().destination(title)
        if peer is None:
            raise ConfigurationError(
                f"{title} has no address for the report of its storage commitment: give host and port in its "
                "entry of the peers file (SCANSTREAM_GATEWAY_PEERS_FILE)"
            )
        statuses: list[int] = []
        try:
            with associated(
                peer, reports[0].own_ae_title, _PROPOSAL, timeouts=self.timeouts, tls=self.tls()
            ) as association:
                for commitment in reports:
                    event_type_id, information = report(commitment)
                    answer = association.event_report(
                        information, event_type_id, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE
                    )
                    statuses.append(answer.status)
        except DestinationUnavailable:
            if not statuses:
                raise
        return statuses
