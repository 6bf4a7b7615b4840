"""What peers say of whole studies → hints in the outbox, for the services that hear of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from producers.store.headers import is_uid
from producers.store.outbox import Message
from producers.store.store import InstanceStore
from schemas.events import HintKind
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Message of one hint: kind, Study Instance UID, number of instances, UID of what was said, Unix time.
Promised = Callable[[HintKind, str, int, str, float], Message]


@dataclass(frozen=True)
class Promises:
    """Puts hints into the outbox.

    Attributes
    ----------
    store
        Owner of the outbox.
    message
        Makes a hint.
    clock
        Unix time in seconds.
    """

    store: InstanceStore
    message: Promised
    clock: Callable[[], float]

    async def tell(self, kind: HintKind, counts: Mapping[str, int], about: str) -> None:
        """One hint per study.

        Parameters
        ----------
        kind
            Who says it.
        counts
            Study Instance UID → instances that it has at least.
        about
            UID of what was said.

        Raises
        ------
        DestinationUnavailable
            They could not be written.
        """
        now = self.clock()
        messages = [
            self.message(kind, study, count, about, now)
            for study, count in counts.items()
            if count > 0 and is_uid(study)
        ]
        if messages:
            await self.store.announce(messages)
            log.info("studies announced", extra=fields(kind=kind.value, about=about, studies=len(messages)))
