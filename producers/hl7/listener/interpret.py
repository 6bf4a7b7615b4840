"""A message of a source → what to write to ``clinical.context``, and under which keys. Pure.

Orders have their accession number as key, after who issued it, and admissions the patient key. Guarantee: the same
bytes under the same MSH-10 from the same source give the same event ids; a message gives one event at least, or
``Rejected`` with the field that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Final

from producers.hl7.listener.orders import Known, contexts_of, with_identity
from producers.hl7.listener.patient import (
    Identifier,
    Patient,
    Visit,
    consent_of,
    identifier_in,
    patient_in,
    patient_of,
    text,
    visit_of,
)
from producers.hl7.listener.problem import (
    REQUIRED,
    TABLE_VALUE,
    UNSUPPORTED_EVENT,
    UNSUPPORTED_PROCESSING,
    UNSUPPORTED_TYPE,
    Rejected,
)
from producers.hl7.listener.sources import Source
from producers.hl7.listener.times import moment
from producers.hl7.read import Message
from producers.patient_key import PatientKeys
from schemas.events import ClinicalContext
from schemas.ids import event_id

_ADMISSIONS: Final = frozenset({"A01", "A03", "A04", "A08"})
_DISCHARGE: Final = "A03"
_MERGE: Final = "A40"
_ORDERS: Final = frozenset({("ORM", "O01"), ("OMI", "O23")})
#: Orders of one patient that are written again when its name or number changes.
_MOST_ORDERS: Final = 500


@dataclass(frozen=True)
class Write:
    """One message for the log; without a context a tombstone."""

    key: str
    context: ClinicalContext | None


def first_event_id(source: Source, control_id: str, payload: bytes) -> str:
    """Id of the first event that a message gives: the same when it is sent again."""
    return event_id("clinical-context", _digest(source, control_id, payload), 0)


def interpret(
    message: Message, payload: bytes, source: Source, keys: PatientKeys, known: Known, received_at: datetime
) -> list[Write]:
    """What a message changes.

    Parameters
    ----------
    message, payload
        As it was read, and its bytes.
    source
        Who sent it.
    keys
        Hashes patients' identifiers.
    known
        What was said before.
    received_at
        Counts where MSH-7 is empty.

    Raises
    ------
    Rejected
        It cannot be taken.
    """
    header = message.header
    kind, event = text(header, 9).upper(), text(header, 9, 2).upper()
    _require_for_us(message, source)
    at = _written_at(message, source, received_at)
    if (kind, event) in _ORDERS:
        contexts = list(_orders(message, source, keys, known, at))
    elif kind == "ADT" and event == _MERGE:
        contexts = list(_merged(message, source, keys, known, at))
    elif kind == "ADT" and event in _ADMISSIONS:
        contexts = list(_admitted(message, source, keys, known, at))
    else:
        code = UNSUPPORTED_EVENT if kind in ("ADT", "ORM", "OMI") else UNSUPPORTED_TYPE
        raise Rejected(code, "MSH-9", "this message type is not taken: see docs/hl7-orders.md", may_pass=True)
    digest = _digest(source, text(header, 10), payload)
    return [
        Write(one.key, one.context and replace(one.context, event_id=event_id("clinical-context", digest, number)))
        for number, one in enumerate(contexts)
    ]


def _digest(source: Source, control_id: str, payload: bytes) -> str:
    said = "\0".join((source.name, control_id)).encode("utf-8", "surrogatepass")
    return sha256(said + b"\0" + payload).hexdigest()


def _require_for_us(message: Message, source: Source) -> None:
    header = message.header
    for place, agreed, number in (
        ("MSH-5", source.receiving_application, 5),
        ("MSH-6", source.receiving_facility, 6),
    ):
        if agreed is not None and text(header, number) != agreed:
            raise Rejected(TABLE_VALUE, place, f"{place} is not what was agreed on: correct the sender's settings")
    if text(header, 11).upper() not in ("", *source.processing):
        raise Rejected(
            UNSUPPORTED_PROCESSING, "MSH-11", "this is a message of a test or a training: send it to a test system"
        )
    if not text(header, 10):
        raise Rejected(REQUIRED, "MSH-10", "MSH-10 is empty: a message needs a control id")


def _written_at(message: Message, source: Source, received_at: datetime) -> datetime:
    return moment(text(message.header, 7), source.zone) or received_at


def _said(
    message: Message, source: Source, patient: Patient, visit: Visit, at: datetime, event: str
) -> ClinicalContext:
    return ClinicalContext(
        event_id="",
        occurred_at=at,
        patient_key=patient.identifier.key,
        patient_class=visit.patient_class,
        message_type=f"{text(message.header, 9).upper()}^{event}",
        consent=consent_of(message, source),
        patient_age_years=patient.age_years,
        patient_location=visit.location,
    )


def _orders(message: Message, source: Source, keys: PatientKeys, known: Known, at: datetime) -> Iterator[Write]:
    patient, visit = patient_of(message, source, keys, at), visit_of(message)
    said = _said(message, source, patient, visit, at, text(message.header, 9, 2).upper())
    for key, context in contexts_of(message, source, patient, visit, said, known).items():
        yield Write(key, context)


def _admitted(message: Message, source: Source, keys: PatientKeys, known: Known, at: datetime) -> Iterator[Write]:
    patient, visit, event = patient_of(message, source, keys, at), visit_of(message), text(message.header, 9, 2)
    said = _said(message, source, patient, visit, at, event.upper())
    said = replace(said, reason=text(message.first("PV2"), 3, 2)[:256] or None)
    before = known.get(said.patient_key)
    if before is not None:
        said = _after(said, before)
    if event.upper() == _DISCHARGE:
        # who has gone home is nowhere, and no emergency any more
        said = replace(said, patient_class=None, patient_location=None, reason=None)
    yield Write(said.patient_key, said)
    yield from _renamed(patient, said, known)


def _after(said: ClinicalContext, before: ClinicalContext) -> ClinicalContext:
    """What is said now, and what was before where nothing is said now."""
    return replace(
        said,
        patient_class=said.patient_class or before.patient_class,
        patient_location=said.patient_location or before.patient_location,
        consent=said.consent or before.consent,
        reason=said.reason or before.reason,
        patient_age_years=before.patient_age_years if said.patient_age_years is None else said.patient_age_years,
        merged_keys=before.merged_keys,
    )


def _renamed(patient: Patient, said: ClinicalContext, known: Known) -> Iterator[Write]:
    """Scheduled orders of a patient whose name or number is another now."""
    for key, order in _scheduled(known, patient.identifier):
        if order.worklist is not None:
            item = with_identity(order.worklist, patient)
            if item != order.worklist:
                yield Write(key, replace(order, worklist=item, occurred_at=said.occurred_at))


def _scheduled(known: Known, identifier: Identifier) -> list[tuple[str, ClinicalContext]]:
    return [one for one, _ in zip(known.orders_of(identifier.key), range(_MOST_ORDERS), strict=False)]


def _merged(message: Message, source: Source, keys: PatientKeys, known: Known, at: datetime) -> Iterator[Write]:
    """A40: each MRG names who the PID before it was, too; everything of it goes over."""
    pid, pairs = None, []
    for segment in message.segments:
        if segment.name == "PID":
            pid = segment
        elif segment.name == "MRG" and pid is not None:
            pairs.append((pid, segment))
    if not pairs:
        place = "MRG" if pid is not None else "PID"
        raise Rejected(REQUIRED, place, "a merge needs a PID and after it an MRG: send both")
    seen = _Seen(known)
    for survivor, gone in pairs:
        patient = patient_in(survivor, source, keys, at)
        before = identifier_in(gone, 1, source, keys).key
        said = _said(message, source, patient, visit_of(message), at, _MERGE)
        writes = list(_rekeyed(said, before, patient, seen))
        seen.add(writes)
        yield from writes


class _Seen:
    """What the log says with what a message has changed so far: one merge builds on those before it."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._changed: dict[str, ClinicalContext | None] = {}

    def add(self, writes: Iterable[Write]) -> None:
        self._changed.update((one.key, one.context) for one in writes)

    def get(self, key: str) -> ClinicalContext | None:
        return self._changed[key] if key in self._changed else self._known.get(key)

    def orders_of(self, patient_key: str, accession: str | None = None) -> Iterable[tuple[str, ClinicalContext]]:
        for key, order in self._known.orders_of(patient_key, accession):
            if key not in self._changed:
                yield key, order
        for key, changed in self._changed.items():
            if changed is None or not changed.accession_number or changed.patient_key != patient_key:
                continue
            if accession in (None, changed.accession_number):
                yield key, changed


def _rekeyed(said: ClinicalContext, gone: str, patient: Patient, known: Known) -> Iterator[Write]:
    of_survivor, of_gone, consent = known.get(said.patient_key), known.get(gone), said.consent
    for before in (of_survivor, of_gone):
        if before is not None:
            said = replace(_after(said, before), merged_keys=said.merged_keys)
    # of two who are one, a refusal counts unless the message itself takes it back
    told = [before.consent for before in (of_survivor, of_gone) if before is not None]
    if consent is None and "refused" in told:
        said = replace(said, consent="refused")
    former = {gone}
    for before in (of_survivor, of_gone):
        former.update(before.merged_keys if before is not None else ())
    former.discard(said.patient_key)
    yield Write(said.patient_key, replace(said, merged_keys=tuple(sorted(former))))
    if gone == said.patient_key:
        return
    yield Write(gone, None)
    for key, order in [*known.orders_of(gone)][:_MOST_ORDERS]:
        item = None if order.worklist is None else with_identity(order.worklist, patient)
        keys_before = tuple(sorted({*order.merged_keys, *former} - {said.patient_key}))
        yield Write(
            key,
            replace(
                order,
                patient_key=said.patient_key,
                worklist=item,
                merged_keys=keys_before,
                occurred_at=said.occurred_at,
            ),
        )
