"""Associations that a peer opens to report on storage commitment → the reports (PS3.4 J.3.3), over pynetdicom.

Most archives report so, and never on the association of the request. Only the entity that was asked may call, and
the only thing that it may do is to report (and C-ECHO, by which archives test an address).
"""

from __future__ import annotations

import ssl
from typing import Any, Final

from pynetdicom import AE, evt

from producers.dimse.proposals import FALLBACKS
from producers.dimse.requestor import Hear, report
from producers.dimse.rights import STORAGE_COMMITMENT
from producers.dimse.silence import silence
from producers.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from schemas.errors import ConfigurationError

_VERIFICATION: Final = "1.2.840.10008.1.1"
_PATIENCE_S: Final = 30.0


class CommitmentListener:
    """Listens for reports until it is closed.

    Parameters
    ----------
    host, port
        Address; port 0 takes a free one.
    ae_title
        Ours, by which the peer must call.
    peer
        AE title of the entity that may report.
    hear
        Takes the reports, in threads of their associations.
    tls
        Of the listening side; ``None`` is without.

    Attributes
    ----------
    port
        Where it listens.

    Raises
    ------
    ConfigurationError
        The address is taken, or is none of this machine.
    """

    def __init__(
        self, host: str, port: int, ae_title: str, peer: str, hear: Hear, tls: ssl.SSLContext | None = None
    ) -> None:
        silence()
        self._entity = AE(ae_title)
        self._entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._entity.require_called_aet = True
        self._entity.require_calling_aet = [peer]
        self._entity.acse_timeout = self._entity.dimse_timeout = self._entity.network_timeout = _PATIENCE_S
        self._entity.add_supported_context(_VERIFICATION, list(FALLBACKS))
        # the peer stays SCP of the service although it opens the association (PS3.7 D.3.3.4)
        self._entity.add_supported_context(STORAGE_COMMITMENT, list(FALLBACKS), scu_role=False, scp_role=True)
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, report, [hear]), (evt.EVT_CONN_OPEN, _let_end)]
        try:
            server = self._entity.start_server((host, port), block=False, ssl_context=tls, evt_handlers=handlers)
        except OSError as error:
            raise ConfigurationError(
                f"reports of storage commitment cannot be taken at {host}:{port} ({error.strerror}): change "
                "SCANSTREAM_STOW_COMMITMENT_PORT"
            ) from error
        if server is None:  # pragma: no cover - only where it blocks
            raise ConfigurationError("the listener for reports of storage commitment did not start")
        self.port = int(server.server_address[1])

    def close(self) -> None:
        """Listen no more, and abort associations."""
        self._entity.shutdown()


def _let_end(event: evt.Event) -> None:
    """A peer that leaves its association open does not hold up the end of the process."""
    event.assoc.dul.daemon = True
