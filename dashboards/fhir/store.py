"""Transactions, reads and searches on the durable store.

A transaction is all or nothing, and transactions run one after the other: what one of them looks up (conditional
create, conditional update, references) is still so when it writes. An update that changes nothing makes no new
version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl
from uuid import uuid4

import orjson

from dashboards.fhir import query
from dashboards.fhir.checks import check_id, check_type
from dashboards.fhir.database import Database
from dashboards.fhir.entries import UNSTORED, Request, requests
from dashboards.fhir.outcome import FhirRefusal, Json
from dashboards.fhir.parameters import rows
from dashboards.fhir.references import resolve
from dashboards.fhir.task_name import task_id_of


@dataclass(frozen=True)
class Stored:
    """One version of a resource; ``body`` is its JSON in UTF-8, ``updated`` milliseconds since 1970."""

    resource_type: str
    resource_id: str
    version: int
    updated: int
    body: bytes
    status: int = 200

    @property
    def location(self) -> str:
        """Relative URL of this version."""
        return f"{self.resource_type}/{self.resource_id}/_history/{self.version}"

    @property
    def etag(self) -> str:
        """Weak entity tag of this version (FHIR R4 3.1.0.1.3)."""
        return f'W/"{self.version}"'


@dataclass(frozen=True)
class Page:
    """Part of the matches of a search, newest first; ``after`` is the mark of the next page, if there is one.

    ``total`` is ``None`` where nobody has counted.
    """

    matches: tuple[Stored, ...]
    total: int | None
    after: int | None


@dataclass
class _Target:
    request: Request
    resource_id: str
    current: Stored | None
    keep: bool


class FhirStore:
    """The resources of the facade; safe to use from several threads.

    Parameters
    ----------
    path
        SQLite file.
    now
        Clock of ``meta.lastUpdated``.
    new_id
        Gives the ids of new resources.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._database = Database(path)
        self._now = now
        self._new_id = new_id

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def transact(self, bundle: object) -> list[Stored]:
        """Carry out a transaction Bundle (FHIR R4 3.1.0.11).

        Returns
        -------
        list of Stored
            What is stored now, per entry; ``status`` is 201 for what is new, else 200.

        Raises
        ------
        FhirRefusal
            Nothing was written.
        """
        wanted = requests(bundle)
        moment = round(self._now().timestamp() * 1000)
        with self._database.write() as connection:
            targets = [self._target(connection, request) for request in wanted]
            names = _names(targets)
            return [_carry_out(connection, target, names, moment) for target in targets]

    def read(self, resource_type: str, resource_id: str, version: int | None = None) -> Stored:
        """Current or given version of a resource.

        Raises
        ------
        FhirRefusal
            404 when there is none.
        """
        check_type(resource_type)
        check_id(resource_id)
        with self._database.read() as connection:
            stored = _load(connection, resource_type, resource_id, version)
        if stored is None:
            raise FhirRefusal(
                404, "not-found", f"there is no such {resource_type}: search for it by its identifier"
            )
        return stored

    def among(self, resource_type: str, ids: Sequence[str]) -> set[str]:
        """Which of these ids resources of a type have."""
        marks = ", ".join("?" * len(ids))
        sql = f"SELECT id FROM resource WHERE type = ? AND id IN ({marks})"  # noqa: S608 - placeholders only
        with self._database.read() as connection:
            return {row[0] for row in connection.execute(sql, (resource_type, *ids))}

    def search(self, wanted: query.Query) -> Page:
        """Matches of a search, one page of them."""
        selected, values = query.where(wanted)
        with self._database.read() as connection:
            counted = f"SELECT count(*) FROM resource r WHERE {selected}"  # noqa: S608 - conditions have placeholders
            (total,) = connection.execute(counted, values).fetchone()
            if wanted.only_total:
                return Page((), total, None)
            if wanted.after is not None:
                selected, values = query.where(wanted, query.Condition("r.seq < ?", (wanted.after,)))
            paged = (
                "SELECT p.seq, v.type, v.id, v.version, v.updated, v.body FROM "  # noqa: S608 - as above
                f"(SELECT * FROM resource r WHERE {selected} ORDER BY r.seq DESC LIMIT ?) p "
                "JOIN version v ON v.type = p.type AND v.id = p.id AND v.version = p.version ORDER BY p.seq DESC"
            )
            found = connection.execute(paged, (*values, wanted.count + 1)).fetchall()
        page = found[: wanted.count]
        return Page(
            tuple(Stored(*row[1:]) for row in page), total, page[-1][0] if len(found) > len(page) else None
        )

    def _target(self, connection: sqlite3.Connection, request: Request) -> _Target:
        kind, given = request.resource_type, request.resource.get("id")
        if request.criteria is not None:
            found = _find(connection, kind, request.criteria)
            if len(found) > 1:
                raise FhirRefusal(
                    412,
                    "multiple-matches",
                    f"several {kind} resources match: make the criteria narrower",
                    request.where,
                )
            if found:
                if request.method == "PUT" and given not in (None, found[0]):
                    raise FhirRefusal(400, "value", "the resource has another id than the match", request.where)
                return _Target(request, found[0], _load(connection, kind, found[0]), request.method == "POST")
        if request.method == "POST":
            named = task_id_of(request.resource)
            current = None if named is None else _load(connection, kind, named)
            return _Target(request, named or self._new_id(), current, keep=False)
        if request.resource_id is not None and given not in (None, request.resource_id):
            raise FhirRefusal(400, "value", "the resource has another id than the URL", request.where)
        resource_id = request.resource_id or given or self._new_id()
        current = _load(connection, kind, resource_id)
        if request.criteria is not None and current is not None:
            raise FhirRefusal(409, "conflict", "a resource with this id exists and does not match", request.where)
        return _Target(request, resource_id, current, keep=False)


def _names(targets: list[_Target]) -> dict[str, str]:
    places = [f"{target.request.resource_type}/{target.resource_id}" for target in targets]
    if len(set(places)) != len(places):
        raise FhirRefusal(400, "invalid", "two entries of the transaction are the same resource: send one of them")
    criteria = [(t.request.resource_type, t.request.criteria) for t in targets if t.request.criteria]
    if len(set(criteria)) != len(criteria):
        raise FhirRefusal(400, "invalid", "two entries have the same criteria: send one of them")
    names = [target.request.name for target in targets if target.request.name]
    if len(set(names)) != len(names):
        raise FhirRefusal(400, "invalid", "two entries have the same fullUrl: give each its own")
    return {t.request.name: place for t, place in zip(targets, places, strict=True) if t.request.name}


def _carry_out(connection: sqlite3.Connection, target: _Target, names: dict[str, str], moment: int) -> Stored:
    request, current = target.request, target.current
    if target.keep and current is not None:
        return current
    if request.version is not None and (UNSTORED if current is None else current.version) != request.version:
        raise FhirRefusal(412, "conflict", "the resource has another version: read it again", request.where)
    resolve(request.resource, names, lambda kind, criteria: _find(connection, kind, criteria))
    version = 1 if current is None else current.version + 1
    body = _body(request.resource, target.resource_id, version, moment)
    if current is not None and _content(orjson.loads(current.body)) == _content(orjson.loads(body)):
        return current
    stored = Stored(
        request.resource_type, target.resource_id, version, moment, body, 201 if current is None else 200
    )
    _save(connection, stored, request.resource)
    return stored


def _save(connection: sqlite3.Connection, stored: Stored, resource: Json) -> None:
    kind, key = stored.resource_type, stored.resource_id
    connection.execute(
        "INSERT INTO version VALUES (?, ?, ?, ?, ?)", (kind, key, stored.version, stored.updated, stored.body)
    )
    (seq,) = connection.execute(
        "INSERT INTO resource (type, id, version, updated) VALUES (?, ?, ?, ?) ON CONFLICT (type, id) "
        "DO UPDATE SET version = excluded.version, updated = excluded.updated RETURNING seq",
        (kind, key, stored.version, stored.updated),
    ).fetchone()
    connection.execute("DELETE FROM search WHERE seq = ?", (seq,))
    connection.executemany(
        "INSERT INTO search (type, parameter, value, system, seq) VALUES (?, ?, ?, ?, ?)",
        [(kind, row.parameter, row.value, row.system, seq) for row in rows(resource)],
    )


def _find(connection: sqlite3.Connection, resource_type: str, criteria: str) -> list[str]:
    check_type(resource_type)
    wanted = query.parse(resource_type, parse_qsl(criteria, keep_blank_values=True))
    if not wanted.conditions:
        raise FhirRefusal(412, "multiple-matches", "the criteria select nothing in particular: give an identifier")
    selected, values = query.where(wanted)
    sql = f"SELECT r.id FROM resource r WHERE {selected} LIMIT 2"  # noqa: S608 - conditions have placeholders
    return [row[0] for row in connection.execute(sql, values)]


def _load(connection: sqlite3.Connection, kind: str, key: str, version: int | None = None) -> Stored | None:
    number = "coalesce(?, (SELECT version FROM resource WHERE type = v.type AND id = v.id))"
    sql = (
        "SELECT v.type, v.id, v.version, v.updated, v.body FROM version v "  # noqa: S608 - no values in the text
        f"WHERE v.type = ? AND v.id = ? AND v.version = {number}"
    )
    row = connection.execute(sql, (kind, key, version)).fetchone()
    return Stored(*row) if row else None


def _body(resource: Json, resource_id: str, version: int, moment: int) -> bytes:
    instant = datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {
        "resourceType": resource["resourceType"],
        "id": resource_id,
        "meta": {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": instant},
    }
    return orjson.dumps({**head, **{k: v for k, v in resource.items() if k not in head}})


def _content(resource: Json) -> Json:
    meta = {k: v for k, v in resource.get("meta", {}).items() if k not in ("versionId", "lastUpdated")}
    return {**resource, "meta": meta}
