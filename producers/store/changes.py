"""Jobs → rows and moved files of one commit, and what is to be done once it has succeeded.

Nothing here commits, answers or removes anything: should the commit fail, the store is as it was, but for files in
their places that no row names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from producers.store import index, outbox, removals
from producers.store.files import instance_file, move_into_place
from producers.store.headers import Headers
from producers.store.index import Known, StoredFile
from producers.store.jobs import Announcement, Deletion, Job, Put, Rules
from producers.store.lanes import lane_of
from producers.store.outbox import Lane, Message
from producers.store.outcome import ConflictPolicy, PutKind, PutOutcome, Status

T = TypeVar("T")

_MAX_CACHED: Final = 20_000

_ANSWERS: Final = {
    PutKind.STORED: (Status.SUCCESS, ""),
    PutKind.REPLACED: (Status.SUCCESS, ""),
    PutKind.DUPLICATE: (Status.SUCCESS, ""),
    PutKind.KEPT_FIRST: (
        Status.COERCION_OF_DATA_ELEMENTS,
        "another instance with this SOP Instance UID is stored already; the first one is kept",
    ),
    PutKind.CONFLICT: (
        Status.DUPLICATE_SOP_INSTANCE,
        "another instance with this SOP Instance UID is stored already; the first one is kept",
    ),
}


class Parents:
    """Which studies and series have rows, so that the index is not asked again for each of their instances."""

    def __init__(self) -> None:
        self.series: set[tuple[str, str]] = set()
        self.lanes: dict[str, Lane] = {}

    def clear(self) -> None:
        """Forget everything: rows may be gone."""
        self.series.clear()
        self.lanes.clear()

    def bound(self) -> None:
        """Keep it small."""
        if len(self.series) > _MAX_CACHED or len(self.lanes) > _MAX_CACHED:
            self.clear()


class Changes:
    """The work of one commit.

    Parameters
    ----------
    connection
        In a transaction.
    rules
        How this store does its work.
    parents
        Shared by all commits.
    now
        Unix time, seconds.

    Attributes
    ----------
    answers
        To be called after the commit.
    touched
        Directories that must be on disk before it.
    leftover
        Files in ``incoming`` that nobody needs after it.
    deleted, replaced
        Files, relative to the root, that no row names after it.
    announced
        Whether the outbox got rows.
    """

    def __init__(self, connection: sqlite3.Connection, rules: Rules, parents: Parents, now: float) -> None:
        self.answers: list[Callable[[], None]] = []
        self.touched: set[Path] = set()
        self.leftover: list[Path] = []
        self.deleted: list[str] = []
        self.replaced: list[str] = []
        self.announced = False
        self._connection = connection
        self._rules = rules
        self._parents = parents
        self._now = now

    def apply(self, job: Job) -> None:
        """Do one job."""
        if isinstance(job, Put):
            kind = self._put(job)
            self.answers.append(_answer(job.done, outcome(kind, job.headers)))
        elif isinstance(job, Announcement):
            self._announce(job.messages)
            self.answers.append(_answer(job.done, True))
        else:
            count = self._delete(job)
            self.answers.append(_answer(job.done, count))

    def _put(self, put: Put) -> PutKind:
        before = index.known(self._connection, put.headers.sop_instance_uid)
        if before is None:
            self._store(put)
            return PutKind.STORED
        if (before.sha256, before.transfer_syntax_uid) == (
            put.written.sha256,
            put.received.transfer_syntax_uid,
        ):
            return self._duplicate(put, before)
        return self._conflict(put, before)

    def _duplicate(self, put: Put, before: Known) -> PutKind:
        target = self._rules.root / before.file
        if not target.is_file():
            # Somebody removed the file; the same bytes came again, so it is whole again.
            move_into_place(put.written.path, target, self.touched)
        self.leftover.append(put.written.path)
        return PutKind.DUPLICATE

    def _conflict(self, put: Put, before: Known) -> PutKind:
        policy = self._rules.policy
        if put.adopted:
            # Never acknowledged, or the index is older than the files: only what is newer may take the place.
            is_newer = put.written.path.stat().st_mtime > before.stored_at
            if policy is not ConflictPolicy.REPLACE or not is_newer:
                return PutKind.CONFLICT
        kind = PutKind.CONFLICT
        if policy is ConflictPolicy.REPLACE:
            self._replace(put, before)
            kind = PutKind.REPLACED
        else:
            self.leftover.append(put.written.path)
            if policy is ConflictPolicy.KEEP_FIRST:
                kind = PutKind.KEPT_FIRST
        if self._rules.audit is not None:
            self._announce([self._rules.audit.conflict(policy, put, before, self._now)])
        return kind

    def _replace(self, put: Put, before: Known) -> None:
        """The new file has a name of its own, so readers find the old one whole until the row names the new."""
        self._parents.clear()
        messages = self._rules.announce(replace(put.received, replaces=True), put.headers, put.written, self._now)
        lane = self._store(replace(put, messages=tuple(messages)))
        index.update_parents(self._connection, put.headers, self._now, lane)
        index.delete_empty_parents(self._connection, before.study_instance_uid)
        removals.remember(self._connection, [before.file])
        self.replaced.append(before.file)

    def _store(self, put: Put) -> Lane:
        headers, written = put.headers, put.written
        file = place_of(self._rules.root, put)
        if not put.adopted:
            move_into_place(written.path, self._rules.root / file, self.touched)
        lane = self._store_parents(headers, lane_of(put.received, headers))
        stored = StoredFile(
            put.received.transfer_syntax_uid,
            file,
            written.header_bytes,
            written.size_bytes,
            written.sha256,
            self._now,
        )
        index.insert_instance(self._connection, headers, stored)
        for message in put.messages:
            self._add(message, lane)
        return lane

    def _store_parents(self, headers: Headers, lane: Lane) -> Lane:
        """Rows of study and series; the lane of a study's hints is normal once any of its instances is."""
        study = headers.study_instance_uid
        of_study = self._parents.lanes.get(study)
        if of_study is None:
            index.insert_study(self._connection, headers, self._now, lane)
            of_study = Lane(index.lane_of(self._connection, study) or Lane.URGENT)
            self._parents.lanes[study] = of_study
        if lane > of_study:
            index.set_lane(self._connection, study, lane)
            self._parents.lanes[study] = lane
        if (study, headers.series_instance_uid) not in self._parents.series:
            index.insert_series(self._connection, headers)
            self._parents.series.add((study, headers.series_instance_uid))
        return lane

    def _delete(self, deletion: Deletion) -> int:
        if deletion.stored_before is not None:
            newest = index.newest(self._connection, deletion.study)
            if newest is None or newest >= deletion.stored_before:
                return 0
        files = index.delete(self._connection, deletion.study, deletion.series, deletion.sop)
        if not files:
            return 0
        self._parents.clear()
        removals.remember(self._connection, files)
        self.deleted += files
        if self._rules.audit is not None:
            whole = not index.has_study(self._connection, deletion.study)
            self._announce([self._rules.audit.deleted(deletion, len(files), whole, self._now)])
        return len(files)

    def _announce(self, messages: Sequence[Message]) -> None:
        """In the lane of the study, behind all its instances that are there."""
        for message in messages:
            study = message.key.decode("utf-8", "replace")
            lane = self._parents.lanes.get(study)
            if lane is None:
                found = index.lane_of(self._connection, study)
                lane = Lane.NORMAL if found is None else Lane(found)
            self._add(message, lane)

    def _add(self, message: Message, lane: Lane) -> None:
        outbox.add(self._connection, message, self._now, lane)
        self.announced = True


def place_of(root: Path, put: Put) -> str:
    """Relative path of an instance's file; no two puts ever have the same."""
    if put.adopted:
        return put.written.path.relative_to(root).as_posix()
    return instance_file(put.headers.sop_instance_uid, put.written.path.name)


def outcome(kind: PutKind, headers: Headers) -> PutOutcome:
    """Answer to a put."""
    status, sentence = _ANSWERS[kind]
    return outcome_of(kind, status, sentence, headers)


def outcome_of(kind: PutKind, status: Status, sentence: str, headers: Headers | None) -> PutOutcome:
    """Answer with the names of the instance, as far as they are known."""
    if headers is None:
        return PutOutcome(kind, status, sentence)
    return PutOutcome(
        kind,
        status,
        sentence,
        headers.study_instance_uid,
        headers.series_instance_uid,
        headers.sop_instance_uid,
        headers.sop_class_uid,
    )


def _answer(done: Callable[[T], None], value: T) -> Callable[[], None]:
    return lambda: done(value)
