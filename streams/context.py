"""``clinical.context`` → what orders and admissions say about a study, joined by whatever the two have in common.

A study and an order belong together by Study Instance UID or accession number; an admission by the patient, whose
keys before a merge count, too. A study without accession number takes the only active order of its patient.
Guarantee: an accession number joins no order of another patient, nor of another issuer where both are named. What
may be of another patient (the study names none, and hospitals gave the number to several; or the order names the
study and another patient) raises the urgency, and nothing else of it counts.

Everything is looked up by index: joining and telling who is affected by a change cost what they find. Filled by
:class:`producers.context_table.ContextReader` in a thread of its own, so everything here is under one lock.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple
from weakref import WeakSet

from producers.patient_key import plain_issuer
from schemas.events import ClinicalContext
from schemas.logs import fields
from streams.facts import ACTIVE, CANCELLED, GRANTED, HELD, NOTHING, REFUSED, Clinical
from streams.patients import Patients
from streams.urgency import most_urgent

log = logging.getLogger(__name__)

_OVER: Final = frozenset({CANCELLED, "completed"})


class StudyKeys(NamedTuple):
    """By what a study is joined."""

    study_instance_uid: str
    accession_number: str | None
    patient_key: str | None
    accession_issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of one value: all that decides, and no name of a patient."""

    event_id: str
    told_at: float
    patient_key: str
    accession_number: str | None
    accession_issuer: str
    studies: tuple[str, ...]
    merged_keys: tuple[str, ...]
    clinical: Clinical

    @property
    def is_order(self) -> bool:
        """Whether it is about one order, and not about the patient."""
        return self.accession_number is not None or bool(self.studies)


@dataclass
class Touched:
    """Whose decision may be another one now."""

    everything: bool = False
    studies: set[str] = field(default_factory=set)
    accessions: set[str] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return self.everything or bool(self.studies or self.accessions or self.patients)


class Changes:
    """What has changed for one reader of the table since it asked last."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self.touched = Touched()

    def take(self) -> Touched:
        """What has changed; forgotten with the question."""
        with self._lock:
            taken, self.touched = self.touched, Touched()
            return taken

    def __bool__(self) -> bool:
        return bool(self.touched)


class ContextTable:
    """All orders and admissions, in indexes.

    Parameters
    ----------
    most
        Entries that are kept; beyond it those that were said longest ago go.
    wait_until
        Monotonic seconds until which decisions wait for the first reading.
    """

    def __init__(self, most: int = 300_000, wait_until: float = float("-inf")) -> None:
        self._most = most
        self._wait_until = wait_until
        self._lock = threading.RLock()
        self._entries: dict[bytes, Entry] = {}
        self._by_study: dict[str, set[bytes]] = defaultdict(set)
        self._by_accession: dict[str, set[bytes]] = defaultdict(set)
        self._by_patient: dict[str, set[bytes]] = defaultdict(set)
        self._patients = Patients()
        self._readers: WeakSet[Changes] = WeakSet()
        self._is_read = False
        self._said = False
        self._is_full = False
        self._is_foreign = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_read(self) -> bool:
        """Whether the topic has been read once."""
        return self._is_read

    def changes(self) -> Changes:
        """A reader's own record of changes; before the first reading there are none."""
        with self._lock:
            reader = Changes(self._lock)
            self._readers.add(reader)
            return reader

    def ready_at(self, now: float) -> float:
        """Monotonic seconds from which decisions may be made: the past once the topic was read."""
        if self._is_read:
            return float("-inf")
        if now >= self._wait_until and not self._said:
            self._said = True
            if self._wait_until > float("-inf"):
                log.warning(
                    "clinical.context could not be read in time: deciding without orders until it is",
                    extra=fields(entries=len(self._entries)),
                )
        return self._wait_until

    def apply(self, key: bytes, context: ClinicalContext | None) -> None:
        """Take the newest word of a key; ``None`` removes it."""
        entry = None if context is None else _entry(context)
        with self._lock:
            before = self._entries.pop(key, None)
            if entry is not None:
                self._entries[key] = entry
            if before == entry:
                return
            # the patients of before and after: a merge joins some, its end parts them
            self._touch(before)
            if before is not None:
                self._unindex(key, before)
            if entry is not None:
                self._index(key, entry)
            self._touch(entry)
            while len(self._entries) > self._most:
                self._drop_oldest()

    def keep_only(self, keys: Collection[bytes]) -> None:
        """The whole topic has been read: remove what it does not have any more, and let decisions be made."""
        with self._lock:
            for key in [key for key in self._entries if key not in keys]:
                self.apply(key, None)
            if not self._is_read:
                self._is_read = True
                for reader in self._readers:
                    reader.touched.everything = True

    def join(self, keys: StudyKeys) -> Clinical:
        """What is said about a study."""
        with self._lock:
            patient = self._patients.group(keys.patient_key) if keys.patient_key else frozenset()
            sure, others = self._orders(keys, patient)
            found = {key for one in patient for key in self._by_patient.get(one, ())}
            about = [entry for key in found if not (entry := self._entries[key]).is_order]
        if not (sure or others or about):
            return NOTHING
        return _joined(sure, others, about)

    def _orders(self, keys: StudyKeys, patient: frozenset[str]) -> tuple[list[Entry], list[Entry]]:
        """Orders that are surely of a study, and those that may be of another patient or of another study."""
        named = self._by_study.get(keys.study_instance_uid, set())
        sure: list[Entry] = []
        others: list[Entry] = []
        for key in named:
            entry = self._entries[key]
            if not patient or entry.patient_key in patient:
                sure.append(entry)
            else:
                others.append(_urgency_of(entry))
        self._complain(len(others))
        if keys.accession_number:
            numbered = self._by_number(keys)
            if patient:
                ours = [entry for entry in numbered if entry.patient_key in patient]
                self._complain(len(numbered) - len(ours))
                sure += ours
            elif len({self._patients.group(entry.patient_key) for entry in numbered}) == 1:
                sure += numbered
            else:
                others += map(_urgency_of, numbered)
        elif not named:
            found = {key for one in patient for key in self._by_patient.get(one, ())}
            orders = [entry for key in found if (entry := self._entries[key]).is_order]
            active = [entry for entry in orders if entry.clinical.order_status not in _OVER]
            others = active if len(active) == 1 else []
        return sure, others

    def _by_number(self, keys: StudyKeys) -> list[Entry]:
        """Orders with the accession number of a study, but of no issuer that is known to be another."""
        issuer = plain_issuer(keys.accession_issuer or "")
        found = [self._entries[key] for key in self._by_accession.get(keys.accession_number or "", ())]
        return [
            entry
            for entry in found
            if keys.study_instance_uid not in entry.studies
            and (not issuer or not entry.accession_issuer or issuer == entry.accession_issuer)
        ]

    def _complain(self, number: int) -> None:
        if number and not self._is_foreign:
            self._is_foreign = True
            log.warning(
                "an order has the accession number or UID of a study and another patient, and is left out but for "
                "its urgency where it names the UID: if they are one, set SCANSTREAM_PATIENT_DEFAULT_ISSUER on "
                "the gateway and the HL7 listener",
                extra=fields(orders=number),
            )

    def _touch(self, entry: Entry | None) -> None:
        if entry is None or not self._is_read:
            return
        for reader in self._readers:
            reader.touched.studies.update(entry.studies)
            if entry.accession_number:
                reader.touched.accessions.add(entry.accession_number)
            for key in (entry.patient_key, *entry.merged_keys):
                reader.touched.patients |= self._patients.group(key)

    def _index(self, key: bytes, entry: Entry) -> None:
        for study in entry.studies:
            self._by_study[study].add(key)
        if entry.accession_number:
            self._by_accession[entry.accession_number].add(key)
        self._by_patient[entry.patient_key].add(key)
        for merged in entry.merged_keys:
            self._patients.join(entry.patient_key, merged)

    def _unindex(self, key: bytes, entry: Entry) -> None:
        _discard(self._by_study, entry.studies, key)
        _discard(self._by_accession, (entry.accession_number or "",), key)
        _discard(self._by_patient, (entry.patient_key,), key)
        for merged in entry.merged_keys:
            self._patients.part(entry.patient_key, merged)

    def _drop_oldest(self) -> None:
        if not self._is_full:
            self._is_full = True
            log.warning(
                "more orders and admissions than are kept: raise SCANSTREAM_STREAMS_CONTEXT_MOST",
                extra=fields(most=self._most),
            )
        oldest = next(iter(self._entries))
        self._unindex(oldest, self._entries.pop(oldest))


def _discard(index: dict[str, set[bytes]], names: Iterable[str], key: bytes) -> None:
    for name in names:
        keys = index.get(name)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del index[name]


def _entry(context: ClinicalContext) -> Entry:
    item = context.worklist
    studies = {context.study_instance_uid, None if item is None else item.study_instance_uid} - {None, ""}
    clinical = Clinical(
        order_priority=context.order_priority or None,
        worklist_priority=None if item is None else item.requested_procedure_priority or None,
        patient_class=context.patient_class or None,
        patient_location=context.patient_location or None,
        order_status=context.order_status or None,
        consent=context.consent or None,
        patient_age_years=context.patient_age_years,
        indication=context.reason or None,
    )
    return Entry(
        context.event_id,
        context.occurred_at.timestamp(),
        context.patient_key,
        context.accession_number or None,
        plain_issuer(context.accession_issuer or ""),
        tuple(sorted(study for study in studies if study)),
        context.merged_keys,
        clinical,
    )


def _urgency_of(entry: Entry) -> Entry:
    """What of an order counts that may be of another patient."""
    said = entry.clinical
    only = Clinical(order_priority=said.order_priority, worklist_priority=said.worklist_priority)
    return replace(entry, clinical=only)


def _joined(sure: list[Entry], others: list[Entry], about: list[Entry]) -> Clinical:
    """One word of many: the most urgent priority, of the rest what was said last.

    Of orders that are over only their status counts, as long as another one wants a result.
    """
    every = sorted(sure + others, key=_newest)
    orders = [entry for entry in every if entry.clinical.order_status not in _OVER] or every
    told = [entry.clinical for entry in sorted([*orders, *about], key=_newest)]
    deciding = _deciding(sure)
    return Clinical(
        order_priority=most_urgent(entry.clinical.order_priority for entry in orders),
        worklist_priority=most_urgent(entry.clinical.worklist_priority for entry in orders),
        patient_class=next((one.patient_class for one in told if one.patient_class), None),
        patient_location=next((one.patient_location for one in told if one.patient_location), None),
        order_status=None if deciding is None else deciding.clinical.order_status,
        order_event=None if deciding is None else deciding.event_id,
        consent=_consent([entry.clinical.consent for entry in [*sure, *about]]),
        patient_age_years=next((one.patient_age_years for one in told if one.patient_age_years is not None), None),
        indication=next((entry.clinical.indication for entry in orders if entry.clinical.indication), None),
    )


def _newest(entry: Entry) -> tuple[float, str]:
    return -entry.told_at, entry.event_id


def _deciding(orders: list[Entry]) -> Entry | None:
    """The order whose status counts: as long as one of several wants a result, there is one."""
    ranks = {ACTIVE: 0, None: 0, HELD: 1, "completed": 2, CANCELLED: 3}
    return min(orders, key=lambda one: (ranks.get(one.clinical.order_status, 0), *_newest(one)), default=None)


def _consent(said: list[str | None]) -> str | None:
    """A refusal counts before a consent."""
    return next((word for word in (REFUSED, GRANTED) if word in said), None)
