"""A PACS with habits that real ones have, over pynetdicom: no program of this machine can be told to do this."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    MRImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from producers.poller.windows import parse_date
from tests.tools import free_port

Responses = Iterator[tuple[int, Dataset | None]]


@dataclass
class StrangePacs:
    """Its studies and its habits.

    Attributes
    ----------
    counts
        Whether it tells NumberOfStudyRelatedInstances.
    dates
        Whether it matches dates.
    most
        Refuses queries with more results with A700; ``None`` answers all.
    broken
        Study whose objects it cannot read.
    stalls
        Whether a retrieval never goes on until :attr:`ended`.
    """

    studies: Sequence[Sequence[Dataset]]
    counts: bool = True
    dates: bool = True
    most: int | None = None
    broken: str = ""
    stalls: bool = False
    port: int = field(default_factory=free_port)
    ended: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    queries: list[str] = field(default_factory=list)

    def find(self, event: Any) -> Responses:
        """C-FIND of all three levels."""
        query = event.identifier
        match query.QueryRetrieveLevel:
            case "STUDY":
                yield from self._studies(query)
            case "SERIES":
                for series in {image.SeriesInstanceUID: image for image in self._images(query)}.values():
                    yield 0xFF00, _answer(query, series)
            case _:
                for image in self._images(query):
                    yield 0xFF00, _answer(query, image)

    def get(self, event: Any) -> Iterator[Any]:
        """C-GET."""
        images = self._images(event.identifier)
        yield len(images)
        for image in images:
            yield from self._sent(image)

    def move(self, event: Any) -> Iterator[Any]:
        """C-MOVE to a destination that it does not know (A801), or that never ends."""
        if self.stalls:
            self._stall()
        yield None, None

    def _sent(self, image: Dataset) -> Responses:
        if self.stalls:
            self._stall()
        if image.StudyInstanceUID == self.broken:
            yield 0xC000, None
            return
        yield 0xFF00, image

    def _stall(self) -> None:
        self.stalled.set()
        self.ended.wait(120)

    def _studies(self, query: Dataset) -> Responses:
        self.queries.append(f"{query.StudyDate} {query.StudyTime}".strip())
        first, _, last = str(query.StudyDate).partition("-")
        found = [
            study[0]
            for study in self.studies
            if not self.dates or _day(first) <= _day(str(study[0].StudyDate)) <= _day(last or first)
        ]
        if self.most is not None and len(found) > self.most:
            yield 0xA700, None
            return
        for image in found:
            answer = _answer(query, image)
            if self.counts:
                answer.NumberOfStudyRelatedInstances = len(self._images(answer))
            yield 0xFF00, answer

    def _images(self, keys: Dataset) -> list[Dataset]:
        return [
            image
            for study in self.studies
            for image in study
            if all(
                keyword not in keys
                or not keys[keyword].value
                or image[keyword].value in _listed(keys[keyword].value)
                for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            )
        ]

    @contextmanager
    def listening(self) -> Iterator[StrangePacs]:
        """Answer on the port until the block ends."""
        entity = AE(ae_title="STRANGE")
        for context in (
            Verification,
            StudyRootQueryRetrieveInformationModelFind,
            StudyRootQueryRetrieveInformationModelGet,
            StudyRootQueryRetrieveInformationModelMove,
        ):
            entity.add_supported_context(context)
        entity.add_supported_context(MRImageStorage, scu_role=True, scp_role=True)
        server = entity.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[(evt.EVT_C_FIND, self.find), (evt.EVT_C_GET, self.get), (evt.EVT_C_MOVE, self.move)],
        )
        try:
            yield self
        finally:
            self.ended.set()
            server.shutdown()

    def source(self, way: str, **more: Any) -> dict[str, Any]:
        """Entry of the sources file."""
        return {"kind": way, "host": "127.0.0.1", "port": self.port, "ae_title": "STRANGE", **more}


def _answer(query: Dataset, image: Dataset) -> Dataset:
    answer = Dataset()
    answer.QueryRetrieveLevel = query.QueryRetrieveLevel
    answer.SpecificCharacterSet = "ISO_IR 192"
    for element in query:
        if element.keyword in image:
            answer[element.keyword] = image[element.keyword]
    return answer


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _day(text: str) -> str:
    day = parse_date(text)
    return "" if day is None else day.isoformat()
