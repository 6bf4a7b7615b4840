"""pynetdicom's own acceptor as a PACS that answers as told, over real associations."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt

from producers.dimse.peers import Peer

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


@dataclass
class Pacs:
    """A running acceptor; ``answer`` gives the status of each C-STORE."""

    answer: Callable[[evt.Event], int] = lambda _: 0x0000
    handlers: list[Any] = field(default_factory=list)
    stored: list[tuple[str, str, bytes]] = field(default_factory=list)
    associations: list[evt.Event] = field(default_factory=list)
    port: int = 0

    def peer(self, title: str = "PACS", *, tls: bool = False) -> Peer:
        return Peer(ae_title=title, host="127.0.0.1", port=self.port, tls=tls)

    def uids(self) -> list[str]:
        return [uid for uid, _, _ in self.stored]

    def take(self, event: evt.Event) -> int:
        request: Any = event.request
        status = self.answer(event)
        if status < 0x0100 or status >> 12 == 0xB:
            data = request.DataSet.getvalue()
            self.stored.append((str(request.AffectedSOPInstanceUID), str(event.context.transfer_syntax), data))
        return status


@contextmanager
def accepting(
    pacs: Pacs,
    classes: Sequence[str],
    *,
    syntaxes: Sequence[str] = SYNTAXES,
    configure: Callable[[AE], object] = lambda _: None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Pacs]:
    """Listen on a free port with Verification and these SOP classes."""
    entity = AE("PACS")
    entity.add_supported_context(VERIFICATION)
    for uid in classes:
        entity.add_supported_context(uid, list(syntaxes))
    configure(entity)
    handlers = [(evt.EVT_C_STORE, pacs.take), (evt.EVT_ACCEPTED, pacs.associations.append), *pacs.handlers]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls)
    assert server is not None
    pacs.port = int(server.server_address[1])
    try:
        yield pacs
    finally:
        server.shutdown()
        entity.shutdown()
