"""Sources of the file → whether each answers, before anybody relies on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from producers.poller.archive import Object, SourceMisconfigured
from producers.poller.connect import archive_of
from producers.poller.plan import Request
from producers.poller.sources import MoveSource
from producers.poller.sources_file import AnySource
from schemas.errors import ScanstreamError

#: A study that nobody has: a C-MOVE of it moves nothing, and still shows whether the PACS knows where to.
_NO_STUDY = "2.25.0"


@dataclass(frozen=True)
class Finding:
    """What a source said; ``trouble`` is a sentence with a remedy, empty when all is well."""

    source: str
    kind: str
    trouble: str

    @property
    def ok(self) -> bool:
        """Whether it can be polled."""
        return not self.trouble


async def check(name: str, source: AnySource) -> Finding:
    """Ask one source: C-ECHO or a search, and for C-MOVE whether it knows the gateway."""
    try:
        archive = archive_of(source)
        try:
            await archive.probe()
            if isinstance(source, MoveSource):
                try:
                    await archive.retrieve(Request(_NO_STUDY, "", (), ()), _nothing)
                except SourceMisconfigured:
                    raise
                except ScanstreamError:
                    # it has no such study, as it should be
                    pass
        finally:
            await archive.aclose()
    except ScanstreamError as error:
        return Finding(name, source.kind, str(error))
    return Finding(name, source.kind, "")


async def _nothing(objects: AsyncIterator[Object]) -> None:
    """A C-MOVE brings no objects here."""
    async for _ in objects:
        continue
