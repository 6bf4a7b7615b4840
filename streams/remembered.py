"""Finished studies, packed, and found by what orders and admissions name.

Packed they take about a tenth of the size of their Avro form; they are opened on demand.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from typing import NamedTuple, cast

from schemas.codec import Codec
from schemas.events import AssemblyState
from streams.context import StudyKeys, Touched
from streams.facts import NOTHING, Clinical


class _Finished(NamedTuple):
    packed: bytes
    forget_at: float  # POSIX seconds
    may_be_told: bool  # it has tasks, or might have with what orders and admissions tell
    order_status: str | None


class Remembered:
    """Finished studies by their UID.

    Parameters
    ----------
    codec
        Packs them.
    remember_s
        How long, from when a study was opened, in seconds.
    """

    def __init__(self, codec: Codec, remember_s: float) -> None:
        self._codec = codec
        self._remember_s = remember_s
        self._finished: dict[str, _Finished] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._finished

    def add(self, state: AssemblyState, value: bytes) -> None:
        """Keep a study; ``value`` is its encoded record."""
        forget_at = state.opened_at.timestamp() + self._remember_s
        packed = zlib.compress(value, 1)
        self._finished[state.study_instance_uid] = _Finished(
            packed, forget_at, bool(state.tasks) or state.lacks_context, state.order_status
        )

    def get(self, uid: str) -> AssemblyState | None:
        """The record of a study; ``None`` if it is not known."""
        finished = self._finished.get(uid)
        if finished is None:
            return None
        return cast(AssemblyState, self._codec.decode(zlib.decompress(finished.packed)))

    def may_change(self, uid: str, clinical: Clinical) -> bool:
        """Whether what orders say now could ask anything of the tasks of a study; told without opening it."""
        finished = self._finished.get(uid)
        if finished is None:
            return False
        if finished.order_status is not None:
            return True
        return finished.may_be_told and clinical != NOTHING

    def forget(self, uid: str) -> None:
        """Keep it no longer."""
        self._finished.pop(uid, None)

    def old(self, now: float) -> list[str]:
        """Studies whose time is over, at a POSIX time."""
        return [uid for uid, finished in self._finished.items() if finished.forget_at <= now]


class StudyIndex:
    """Keys → studies that have them, so that a change of an order costs what it finds."""

    def __init__(self) -> None:
        self._keys: dict[str, StudyKeys] = {}
        self._by_accession: dict[str, set[str]] = defaultdict(set)
        self._by_patient: dict[str, set[str]] = defaultdict(set)

    def put(self, keys: StudyKeys) -> bool:
        """Note the keys of a study; whether they are others than before."""
        before = self._keys.get(keys.study_instance_uid)
        if before == keys:
            return False
        if before is not None:
            self.remove(keys.study_instance_uid)
        self._keys[keys.study_instance_uid] = keys
        if keys.accession_number:
            self._by_accession[keys.accession_number].add(keys.study_instance_uid)
        if keys.patient_key:
            self._by_patient[keys.patient_key].add(keys.study_instance_uid)
        return True

    def remove(self, uid: str) -> None:
        """Forget a study."""
        keys = self._keys.pop(uid, None)
        if keys is None:
            return
        for index, name in (
            (self._by_accession, keys.accession_number),
            (self._by_patient, keys.patient_key),
        ):
            if name:
                index[name].discard(uid)
                if not index[name]:
                    del index[name]

    def keys_of(self, uid: str) -> StudyKeys | None:
        """Keys of a study; ``None`` if it is not known."""
        return self._keys.get(uid)

    def affected(self, touched: Touched) -> list[str]:
        """Studies whose decision may be another one now, in a fixed order."""
        if touched.everything:
            return sorted(self._keys)
        found = {uid for uid in touched.studies if uid in self._keys}
        for accession in touched.accessions:
            found |= self._by_accession.get(accession, set())
        for patient in touched.patients:
            found |= self._by_patient.get(patient, set())
        return sorted(found)
