"""Storage service (PS3.4 B): C-STORE → store; the end of an association → a hint in the outbox.

Guarantee: success is answered only after the store said that the instance is durable.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined] # documented, but not in its __all__

from producers.dimse.command import Command
from producers.dimse.message import Message
from producers.dimse.negotiation import AcceptedContext
from producers.dimse.service import Exchange, Response, Session
from producers.store.outbox import Message as OutboxMessage
from producers.store.outcome import Received, Status
from producers.store.spool import Spool
from producers.store.store import InstanceStore
from schemas.errors import DestinationUnavailable
from schemas.events import Origin
from schemas.logs import fields

log = logging.getLogger(__name__)

_NOT_STORAGE: Final = ("Storage Commitment", "Media Storage", "Storage Management")
_NOT_DATA_SETS: Final = ("1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2")
#: JPEG XL and deflated frames: in pydicom's dictionary only once pynetdicom is imported, and decoded by neither.
_TOO_NEW: Final = tuple(f"1.2.840.10008.1.2.{end}" for end in ("4.110", "4.111", "4.112", "8.1"))

#: Every storage SOP class of PS3.6, retired ones included: archives still send them.
STORAGE_CLASSES: Final = frozenset(
    uid
    for uid, (name, kind, *_) in UID_dictionary.items()
    if kind == "SOP Class" and "Storage" in name and not name.startswith(_NOT_STORAGE)
)

#: Every transfer syntax of PS3.6 for data sets that pydicom knows. Nothing is decoded here, so all can be taken.
STORAGE_TRANSFER_SYNTAXES: Final = frozenset(
    uid
    for uid, (_, kind, *_) in UID_dictionary.items()
    if kind == "Transfer Syntax" and uid.startswith("1.2.840.10008.1.2") and uid not in _NOT_DATA_SETS + _TOO_NEW
)

#: Answer to application information (PS3.4 B.3.1): level 2, every attribute is kept; the bytes stay, and with them
#: signatures of any level; nothing is coerced.
_INFORMATION: Final = bytes((2, 0, 3, 0, 0, 0))

#: Messages of the hint that an association ended: association id, instances per study, Unix time.
Hint = Callable[[str, Mapping[str, int], float], Sequence[OutboxMessage]]


def information(proposed: bytes) -> bytes | None:
    """Answer to the application information that a peer proposes for a storage SOP class."""
    return _INFORMATION if proposed else None


class Storage:
    """C-STORE service class provider.

    Parameters
    ----------
    store
        Where instances go.
    hint
        Makes the messages for the end of an association.
    clock
        Unix time in seconds.
    """

    def __init__(self, store: InstanceStore, hint: Hint, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._hint = hint
        self._clock = clock

    def new_spool(self) -> Spool:
        """Place for the data set of an instance."""
        return self._store.new_spool()

    async def perform(self, exchange: Exchange) -> Response:
        """Store one instance and answer with its status (PS3.4 B.2.3)."""
        return Response(await self._store_one(exchange.session, exchange.context, exchange.message))

    async def _store_one(self, session: Session, context: AcceptedContext, message: Message) -> Command:
        command = message.command
        if message.data_set is None:
            return command.response(Status.CANNOT_UNDERSTAND, "a C-STORE without a data set")
        if command.sop_class_uid != context.abstract_syntax:
            message.data_set.close()
            return command.response(Status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the context")
        received = Received(
            data_set=message.data_set,
            transfer_syntax_uid=context.transfer_syntax,
            origin=Origin.C_STORE,
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            calling_ae_title=session.calling_ae_title,
            called_ae_title=session.called_ae_title,
            association_id=session.association_id,
            urgent=session.urgent,
        )
        outcome = await self._store.put(received)
        if outcome.is_new and outcome.study_instance_uid is not None:
            # What was there before has its event from another association, so the hint must not promise it.
            session.delivered[outcome.study_instance_uid] += 1
        return command.response(outcome.status, outcome.sentence or None)

    async def released(self, session: Session) -> None:
        """Put a hint per study into the outbox; without it the study is complete after the quiet period."""
        if not session.delivered:
            return
        try:
            await self._store.announce(self._hint(session.association_id, session.delivered, self._clock()))
        except DestinationUnavailable as error:
            log.error(  # noqa: TRY400 - the sentence says it all
                "no arrival hint written: studies wait for their quiet period",
                extra=fields(association_id=session.association_id, reason=str(error)),
            )
