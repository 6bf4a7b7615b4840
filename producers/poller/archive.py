"""What the poller needs of a source, however it is spoken to, and the errors that only a source has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from producers.poller.plan import Instance, Request, Series, Study
from producers.poller.windows import Window
from schemas.errors import DestinationUnavailable

#: One object: its Part 10 file in chunks, to be taken before the next one.
Object = AsyncIterator[bytes]
#: Takes objects in their order and returns when the gateway has answered for all of them.
Store = Callable[[AsyncIterator[Object]], Awaitable[None]]


class SourceMisconfigured(DestinationUnavailable):
    """The source answers, and refuses all that we want until somebody configures it: wait, and say what to do."""


class Archive(Protocol):
    """A PACS that studies are read from.

    Every method raises :class:`DestinationUnavailable` when the source is away, and another error of
    :mod:`schemas.errors` when it failed on what was asked.
    """

    async def probe(self) -> None:
        """Ask for something that costs nothing (C-ECHO; a search that finds nothing)."""
        ...

    async def studies(self, window: Window, limit: int | None) -> tuple[list[Study], bool]:
        """Studies of a window, and whether these are all; not more than about ``limit``."""
        ...

    async def series(self, study: str) -> list[Series]:
        """Series of a study."""
        ...

    async def instances(self, study: str) -> list[Instance]:
        """Instances of a study."""
        ...

    async def retrieve(self, request: Request, store: Store) -> None:
        """Bring instances to the gateway: through ``store``, or by another way of the source's own.

        What arrived is counted at the gateway afterwards; an error only says why something may be missing.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
