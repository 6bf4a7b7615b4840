"""One delivery under way: an item together with its message and event, which are certain to be in memory."""

from __future__ import annotations

from dataclasses import dataclass

from consumers.delivery.item import Item, Received, Subject


@dataclass(frozen=True)
class Work:
    """What a thread of the crew delivers.

    Attributes
    ----------
    item
        As the backlog knows it.
    received
        The message.
    subject
        Its event.
    source
        Whom it waits for when they are away.
    """

    item: Item
    received: Received
    subject: Subject
    source: str

    @property
    def study(self) -> str:
        """What is about one study keeps its order."""
        return self.item.study
