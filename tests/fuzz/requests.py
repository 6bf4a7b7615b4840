"""Data sets of requests: identifiers of C-FIND, C-MOVE and C-GET, and what the N-services are told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from pydicom.dataset import Dataset

from producers.dimse import availability, commitment, find_query, procedure_step, retrieve_request, worklist_query
from producers.dimse.data_sets import INVALID_ARGUMENT_VALUE, Refusal, _read
from producers.dimse.extended import FIND_CLASSES, MOVE_CLASSES, agreed, find_information
from producers.dimse.identifier import TRANSFER_SYNTAXES, Keys, decode, encode
from producers.store.query import build
from schemas.errors import InvalidMessage
from schemas.events import ClinicalContext, ScheduledProcedureStep, WorklistItem

_SENTENCE: Final = 300
_ROW: Final[dict[str, str | int | None]] = {
    "StudyInstanceUID": "1.2",
    "SeriesInstanceUID": "1.2.3",
    "SOPInstanceUID": "1.2.3.4",
    "PatientID": "1",
    "PatientName": "Шевченко^Оксана",
    "NumberOfStudyRelatedInstances": 3,
    "Rows": 512,
}
_ORDER: Final = ClinicalContext(
    "id",
    datetime(2026, 1, 1, tzinfo=UTC),
    "key",
    "A-1",
    worklist=WorklistItem("Шевченко^Оксана", "1", "1.2", "R", ()),
)
_STEP: Final = ScheduledProcedureStep("S", "MR", "MR1", "20260101", "0945", description="МРТ головного мозку")


def identifier(data: bytes) -> None:
    """Keys that were read can be searched for, and every match of them can be written; or a sentence."""
    mode, syntax, body = _cut(data)
    try:
        keys = decode(body, syntax)
    except InvalidMessage as error:
        assert len(str(error)) < _SENTENCE
        return
    for use in (_find, _retrieve, _worklist):
        try:
            use(keys, mode, syntax)
        except InvalidMessage as error:
            assert len(str(error)) < _SENTENCE


def _find(keys: Keys, mode: int, syntax: str) -> None:
    sop_class = FIND_CLASSES[mode >> 2 & 1]
    abilities = find_information(b"\1\1\1" if mode & 8 else b"\0\0\0")
    query = find_query.parse(keys, sop_class, agreed(sop_class, {sop_class: abilities}))
    decode(encode(find_query.match(query, _ROW, "SCANSTREAM"), syntax), syntax)
    if query.level != "PATIENT":
        text, parameters = build(find_query.INDEX_LEVEL[query.level], query.filters, 10, 0, query.matching)
        assert text.count("?") == len(parameters)


def _retrieve(keys: Keys, mode: int, syntax: str) -> None:
    retrieve_request.parse(keys, MOVE_CLASSES[mode >> 2 & 1], relational=bool(mode & 8))


def _worklist(keys: Keys, mode: int, syntax: str) -> None:
    query = worklist_query.parse(keys)
    assert _ORDER.worklist is not None
    found = worklist_query.Scheduled(_ORDER, _ORDER.worklist, _STEP)
    worklist_query.matches(query, found)
    decode(encode(worklist_query.answer(query, found), syntax), syntax)


_SERVICES: Final[tuple[Callable[[Dataset], object], ...]] = (
    commitment.asked_for,
    availability.understand,
    lambda attributes: procedure_step.created("1.2.3", attributes),
    lambda attributes: procedure_step.changed(procedure_step.created("1.2.3", attributes), attributes),
)


def notification(data: bytes) -> None:
    """What an N-service understands, or a refusal with a short sentence, whatever the library makes of it."""
    mode, syntax, body = _cut(data)
    try:
        _read(body, syntax, _SERVICES[mode >> 2 & 3], INVALID_ARGUMENT_VALUE)
    except Refusal as refusal:
        assert len(refusal.sentence) < _SENTENCE


def _cut(data: bytes) -> tuple[int, str, bytes]:
    """First byte, the transfer syntax that it chooses, and the rest."""
    mode = data[0] if data else 0
    return mode, TRANSFER_SYNTAXES[(mode & 3) % len(TRANSFER_SYNTAXES)], data[1:]
