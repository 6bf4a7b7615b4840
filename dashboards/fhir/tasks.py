"""Inference tasks as FHIR Tasks: made from the log until the writer has stored one, and then that one.

One truth: the log says what becomes of a task, and the FHIR writer stores its Task only once the result is there,
under the same id. So a read or a search finds each task once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import orjson

from dashboards.fhir import query
from dashboards.fhir.alike import Alike, millis
from dashboards.fhir.live_task import etag_of, live_task
from dashboards.fhir.outcome import FhirRefusal, Json
from dashboards.fhir.store import FhirStore, Page, Stored
from dashboards.fhir.task_request import command_of, order_of_task
from dashboards.live.catalogue import Mark
from dashboards.live.records import TaskView
from dashboards.live.view import LiveView
from dashboards.orders.desk import Desk, Placed
from dashboards.orders.order import Refused, key_of

#: Page marks from here on are times of tasks that are not stored; those below are the store's.
_LIVE: Final = 10**15
#: Field of an order → element of the Task that said it.
_ELEMENT: Final = {
    "model": "Task.code",
    "model_version": "Task.input",
    "callback_url": "Task.input",
    "study_instance_uid": "Task.focus",
    "series_instance_uids": "Task.input",
    "idempotency-key": "Task.identifier",
}
#: Tasks that are looked at for one page; a page of older ones begins where it ended.
_MOST: Final = 1_000
#: Tasks that are matched at a time.
_PIECE: Final = 500

#: Parameters that name a task or its study.
_NAMES: Final = frozenset({"_id", "identifier", "focus:identifier"})


@dataclass(frozen=True)
class Current:
    """A Task as it is now."""

    stored: Stored
    etag: str


class Tasks:
    """What the facade knows of Tasks, and does with them.

    Parameters
    ----------
    store
        Tasks that the FHIR writer has stored.
    view
        Tasks as the log tells them.
    desk
        Takes orders and commands.
    """

    def __init__(self, store: FhirStore, view: LiveView, desk: Desk) -> None:
        self._store = store
        self._view = view
        self._desk = desk

    def read(self, task_id: str) -> Current:
        """A Task.

        Raises
        ------
        FhirRefusal
            404 when there is none.
        """
        try:
            stored = self._store.read("Task", task_id)
        except FhirRefusal as refusal:
            task = self._view.task(task_id)
            if refusal.status != 404 or task is None:
                raise
            return _current(task)
        return Current(stored, stored.etag)

    def version(self, task_id: str, version: str) -> Current:
        """One version of a Task; of those that are not stored only the current one is kept.

        Raises
        ------
        FhirRefusal
            404 when there is none.
        """
        if version.isdecimal() and len(version) < 19:
            stored = self._store.read("Task", task_id, int(version))
            return Current(stored, stored.etag)
        current = self.read(task_id)
        if current.etag != f'W/"{version}"':
            raise FhirRefusal(404, "not-found", "that version is not kept: read the Task as it is now")
        return current

    def search(self, wanted: query.Query) -> Page:
        """Tasks that match: those that are not stored first, the newest first, and then the stored ones."""
        if wanted.after is not None and wanted.after < _LIVE:
            return self._store.search(wanted)
        matches, cut_at = self._live(wanted)
        stored = replace(wanted, after=None, count=max(wanted.count - len(matches), 1))
        if wanted.only_total:
            return Page((), self._total(stored, len(matches)), None)
        if len(matches) > wanted.count or cut_at is not None:
            last = _made_at(matches[wanted.count - 1]) if len(matches) > wanted.count else 0
            last = max(last, cut_at or 0)
            # those of the same millisecond belong to this page, because the next one begins before it
            page = tuple(_current(one).stored for one in matches if _made_at(one) >= last)
            return Page(page, None, _LIVE + last)
        page = tuple(_current(one).stored for one in matches)
        rest = self._store.search(stored)
        total = None if wanted.after is not None or rest.total is None else rest.total + len(matches)
        if len(matches) == wanted.count:
            return Page(page, total, _LIVE if rest.matches else None)
        return Page((*page, *rest.matches), total, rest.after)

    def create(self, resource: Json, identifier: str | None) -> Placed:
        """Take the order that a Task is.

        Parameters
        ----------
        resource
            The Task.
        identifier
            What the requester calls it (``system|value``); ``None``: its first identifier.

        Raises
        ------
        FhirRefusal
            It cannot be done as it stands, with the element at fault.
        Refused
            Kafka is away, or the element is not known.
        """
        name = identifier or _first_identifier(resource)
        order = order_of_task(resource)
        try:
            return self._desk.order(order, None if name is None else key_of("fhir", name))
        except Refused as refused:
            where = _ELEMENT.get(refused.field or "")
            if where is None:
                raise
            # of a create, 404 would say that there are no Tasks here (FHIR R4 3.1.0.8)
            issue = "not-found" if refused.status == 404 else "business-rule"
            status = 422 if refused.status == 404 else refused.status
            raise FhirRefusal(status, issue, refused.detail, where) from refused

    def change(
        self, task_id: str, status: object, priority: object, reason: str | None, tag: str | None
    ) -> Current:
        """Ask for what a changed Task says.

        Parameters
        ----------
        task_id
            Of which task.
        status, priority
            As they should become; ``None``: as they are.
        reason
            Why.
        tag
            ``If-Match``: the version that the client has seen; ``None``: any.

        Raises
        ------
        FhirRefusal
            There is none, it has another version, or only its worker may do that.
        """
        current = self.read(task_id)
        if tag is not None and not _matches(tag, current.etag):
            raise FhirRefusal(
                412, "conflict", "the Task has another version: read it again", "Task.meta.versionId"
            )
        task = self._view.task(task_id)
        if task is None or task.finished:
            known = str(orjson.loads(current.stored.body).get("status"))
            if status in (None, known):
                return current
            raise FhirRefusal(
                409, "conflict", f"the Task is {known}: nothing can be changed any more", "Task.status"
            )
        command = None
        if status is not None or priority is not None:
            command = command_of(task, live_task(task)["status"] if status is None else status, priority)
        if command is not None:
            kind, wanted = command
            task = self._desk.command(task_id, kind, "fhir", reason, wanted)
        return self.read(task_id) if task.finished else _current(task)

    def _total(self, wanted: query.Query, more: int) -> int | None:
        total = self._store.search(wanted).total
        return None if total is None else total + more

    def _live(self, wanted: query.Query) -> tuple[list[TaskView], int | None]:
        """Tasks that match and are not stored; and if not all were looked at, from when on all were.

        No more are looked at than a page needs, with those of the same millisecond as its last.
        """
        matches, alike = list[TaskView](), Alike(wanted)
        count, first = 0, 0
        for piece in self._candidates(wanted):
            matches += alike.matching(piece)
            full = not wanted.only_total and len(matches) > wanted.count
            if full and _made_at(matches[-1]) < _made_at(matches[wanted.count - 1]):
                return matches, None
            count, first, last = count + len(piece), first or _made_at(piece[0]), _made_at(piece[-1])
            if count >= _MOST and last < first and not wanted.only_total:  # a total is of all
                return matches, last + 1  # of that millisecond there may be more
        return matches, None

    def _candidates(self, wanted: query.Query) -> Iterator[list[TaskView]]:
        """Tasks that are not stored, the newest first, a few at a time."""
        end = None if wanted.after is None else wanted.after - _LIVE

        def before(task: TaskView) -> bool:
            return end is None or _made_at(task) < end

        def waiting(tasks: list[TaskView]) -> list[TaskView]:
            stored = self._store.among("Task", [task.task_id for task in tasks])
            return [task for task in tasks if task.task_id not in stored]

        named = self._named(wanted)
        if named is not None:
            if piece := waiting([task for task in named if before(task)]):
                yield sorted(piece, key=_made_at, reverse=True)
            return
        mark: Mark | None = None
        while True:
            looked_at = self._view.newest(before, mark, _PIECE)
            if piece := waiting(looked_at):
                yield piece
            if len(looked_at) < _PIECE:
                return
            mark = (looked_at[-1].created_at, looked_at[-1].task_id)

    def _named(self, wanted: query.Query) -> list[TaskView] | None:
        """Tasks that a search names, which are looked up however many there are; ``None`` where it names none."""
        for parameter, value in wanted.used:
            names = {item.rpartition("|")[2] for item in query.split(value)} if parameter in _NAMES else set()
            if not names or "" in names:  # a system without a value names nothing
                continue
            if parameter in ("_id", "identifier"):
                return [task for name in names if (task := self._view.task(name)) is not None]
            studies = [self._view.study(name.removeprefix("urn:oid:")) for name in names]
            return [task for study in studies if study is not None for task in self._view.tasks_of(study)]
        return None


def _matches(condition: str, etag: str) -> bool:
    """Whether ``If-Match`` holds (RFC 9110 13.1.1), with versions compared weakly (FHIR R4 3.1.0.5)."""
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return "*" in tags or etag.removeprefix("W/") in tags


def _current(task: TaskView) -> Current:
    stored = Stored("Task", task.task_id, 0, millis(task.updated_at), orjson.dumps(live_task(task)))
    return Current(stored, etag_of(task))


def _made_at(task: TaskView) -> int:
    return millis(task.created_at)


def _first_identifier(resource: Json) -> str | None:
    identifiers = resource.get("identifier")
    for one in identifiers if isinstance(identifiers, list) else []:
        if isinstance(one, dict) and isinstance(one.get("value"), str) and one["value"]:
            return f"{one.get('system', '')}|{one['value']}"
    return None
