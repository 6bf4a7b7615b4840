"""What every channel is given, and what it must do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schemas.events import EscalationStep
from schemas.terminology import Language


@dataclass(frozen=True)
class Message:
    """One notice, ready to be sent.

    Attributes
    ----------
    notice_id
        The same for every repetition of this notice; a receiver that keeps it can drop what it has.
    address
        Of the contact at this channel.
    subject
        One line.
    lines
        Text, most important first, without the link.
    link
        Where to acknowledge.
    step
        The alarm, for channels that speak in codes.
    """

    notice_id: str
    address: str
    contact: str
    level: int
    language: Language
    subject: str
    lines: tuple[str, ...]
    link: str
    step: EscalationStep


class Channel(Protocol):
    """A way out; called from several threads."""

    def send(self, message: Message) -> None:
        """Hand a message over.

        Raises
        ------
        DestinationUnavailable, TransientFailure
            It was not taken, and may be later.
        PermanentRejection
            It will never be taken as it is.
        """
        ...
