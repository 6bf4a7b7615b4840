"""What one poller knows, in SQLite: how far it has listed, and where each study stands.

Durable at every step (``synchronous=FULL``): the studies of a listing and the mark up to which it went are one
transaction, so what was listed once is fetched, whatever happens to the process. The watermark, up to which the
gateway has everything, is never written: it follows from the studies that are still pending. A study that was set
aside keeps its row and its time of the next attempt; it does not hold the watermark.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from producers.poller.plan import Known, State, Study
from schemas.errors import ConfigurationError

SCHEMA_VERSION: Final = 1
FILE: Final = "ledger.sqlite"
_DDL: Final = (
    "CREATE TABLE IF NOT EXISTS mark (id INTEGER PRIMARY KEY CHECK (id = 1), listed_s REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS studies (study_instance_uid TEXT PRIMARY KEY, study_date TEXT NOT NULL,"
    " study_time TEXT NOT NULL, urgent INTEGER NOT NULL, by_series INTEGER NOT NULL,"
    " state TEXT NOT NULL, listed INTEGER, counted INTEGER,"
    " held INTEGER NOT NULL DEFAULT 0, changed_s REAL NOT NULL DEFAULT 0, checked_s REAL NOT NULL DEFAULT 0,"
    " seen_after_s REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,"
    " reason TEXT NOT NULL DEFAULT '', next_try_s REAL NOT NULL DEFAULT 0) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS by_state ON studies (state, urgent, study_date, study_time)",
)
_UIDS_AT_ONCE: Final = 500


@dataclass(frozen=True)
class Job:
    """A study to bring.

    Attributes
    ----------
    listed
        Instances that the source tells; ``None`` when it does not.
    attempts
        That failed so far.
    by_series
        Whether only its series can tell that it is wanted.
    """

    study_instance_uid: str
    listed: int | None
    attempts: int
    by_series: bool


@dataclass(frozen=True)
class Work:
    """A listed study that must be compared; see :class:`Job`."""

    study: Study
    urgent: bool
    by_series: bool


@dataclass(frozen=True)
class Aside:
    """A study that failed alone: what is told of it."""

    study_instance_uid: str
    attempts: int
    reason: str
    next_try_s: float


@dataclass(frozen=True)
class Standing:
    """Summary of a ledger, times in Unix seconds."""

    listed_s: float | None
    watermark_s: float | None
    pending: int
    complete: int
    aside: tuple[Aside, ...]


class Ledger:
    """The ledger of one source; of one thread.

    Parameters
    ----------
    directory
        Of this source; made when it is missing.

    Raises
    ------
    ConfigurationError
        Another poller works with it, or it is of another release, or cannot be opened.
    """

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"{directory} cannot be written ({error.strerror}): give this user the right, or set "
                "SCANSTREAM_DATA_DIR"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigurationError(
                f"another poller already works for {directory.name}: end it, or choose another source"
            ) from error
        try:
            self._db = _opened(directory / FILE)
        except ConfigurationError:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let another poller in."""
        self._db.close()
        os.close(self._lock)

    def listed_s(self) -> float | None:
        """Up to when everything was listed; ``None`` before the first listing."""
        row = self._db.execute("SELECT listed_s FROM mark").fetchone()
        return None if row is None else float(row[0])

    def known(self, uids: Collection[str]) -> dict[str, Known]:
        """What is known of these studies."""
        found: dict[str, Known] = {}
        asked = list(uids)
        for start in range(0, len(asked), _UIDS_AT_ONCE):
            part = asked[start : start + _UIDS_AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._db.execute(
                "SELECT study_instance_uid, state, counted, held, changed_s, checked_s "  # noqa: S608 - only marks
                f"FROM studies WHERE study_instance_uid IN ({marks})",
                part,
            )
            found |= {row[0]: Known(State(row[1]), *row[2:]) for row in rows}
        return found

    def record(self, work: Iterable[Work], listed_s: float) -> None:
        """Put a listing's studies that need work among the pending ones, and move the mark; one transaction.

        Parameters
        ----------
        work
            What was listed and must be compared.
        listed_s
            Up to when everything is listed: when the listing began, if the source told everything.
        """
        # the studies of the first listing hold the watermark at the beginning
        after_s = self.listed_s() or 0.0
        with self._transaction():
            self._db.executemany(
                "INSERT INTO studies (study_instance_uid, study_date, study_time, urgent, by_series, state,"
                " listed, counted, seen_after_s) VALUES (?,?,?,?,?,?,?,?,?)"
                " ON CONFLICT (study_instance_uid) DO UPDATE SET"
                " study_date = excluded.study_date, study_time = excluded.study_time, urgent = excluded.urgent,"
                " by_series = excluded.by_series, listed = excluded.listed, state = excluded.state,"
                " next_try_s = 0,"
                # one that is pending already holds the watermark where it was
                " seen_after_s = iif(state = excluded.state, seen_after_s, excluded.seen_after_s)",
                [
                    (
                        one.study.study_instance_uid,
                        one.study.study_date,
                        one.study.study_time,
                        one.urgent,
                        one.by_series,
                        State.PENDING.value,
                        one.study.instances,
                        one.study.instances,
                        after_s,
                    )
                    for one in work
                ],
            )
            self._db.execute(
                "INSERT INTO mark VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET listed_s = excluded.listed_s",
                (listed_s,),
            )

    def next(self, now_s: float, running: Collection[str], *, urgent_only: bool) -> Job | None:
        """Study to bring now: urgent before others, new before old, those set aside last; ``None`` for none."""
        rows = self._db.execute(
            "SELECT study_instance_uid, listed, attempts, by_series FROM studies"
            " WHERE state IN (?, ?) AND next_try_s <= ? AND urgent >= ?"
            " ORDER BY state = ?, urgent DESC, study_date DESC, study_time DESC LIMIT ?",
            (
                State.PENDING.value,
                State.ASIDE.value,
                now_s,
                urgent_only,
                State.ASIDE.value,
                len(running) + 1,
            ),
        )
        return next((Job(*row) for row in rows if row[0] not in running), None)

    def complete(self, job: Job, held: int, now_s: float) -> None:
        """The gateway has all instances of a study, ``held`` of them."""
        self._db.execute(
            "UPDATE studies SET state = ?, counted = ?, changed_s = iif(held = ?, changed_s, ?), held = ?,"
            " checked_s = ?, attempts = 0, reason = '', next_try_s = 0 WHERE study_instance_uid = ?",
            (State.COMPLETE.value, job.listed, held, now_s, held, now_s, job.study_instance_uid),
        )

    def set_aside(self, job: Job, reason: str, next_try_s: float) -> None:
        """A study failed alone; others go on."""
        self._db.execute(
            "UPDATE studies SET state = ?, counted = ?, attempts = attempts + 1, reason = ?, next_try_s = ?"
            " WHERE study_instance_uid = ?",
            (State.ASIDE.value, job.listed, reason, next_try_s, job.study_instance_uid),
        )

    def forget(self, before: str) -> None:
        """Drop complete studies of days (DA) before the window: no listing will ask for them again."""
        self._db.execute(
            "DELETE FROM studies WHERE state = ? AND study_date < ? AND study_date <> ''",
            (State.COMPLETE.value, before),
        )

    def standing(self) -> Standing:
        """Summary for people and metrics."""
        return _standing(self._db)

    def _transaction(self) -> sqlite3.Connection:
        # as a context manager, a connection commits or rolls back what was begun
        self._db.execute("BEGIN IMMEDIATE")
        return self._db


def read_standing(directory: Path) -> Standing | None:
    """Summary of a ledger that a poller may be working with; ``None`` when there is none.

    Raises
    ------
    ConfigurationError
        The file is no ledger.
    """
    path = directory / FILE
    if not path.is_file():
        return None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            return _standing(connection)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error}): move it away and polling begins again at start_days"
        ) from error


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in _DDL:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ConfigurationError(
            f"{path} cannot be read ({error}): move it away and polling begins again at start_days"
        ) from error
    if version not in (0, SCHEMA_VERSION):
        connection.close()
        raise ConfigurationError(
            f"{path} has version {version}, this release reads {SCHEMA_VERSION}: start the release that wrote it, "
            "or move it away and polling begins again at start_days"
        )
    return connection


def _standing(connection: sqlite3.Connection) -> Standing:
    mark = connection.execute("SELECT listed_s FROM mark").fetchone()
    counts = dict(connection.execute("SELECT state, count(*) FROM studies GROUP BY state").fetchall())
    (held_back,) = connection.execute(
        "SELECT min(seen_after_s) FROM studies WHERE state = ?", (State.PENDING.value,)
    ).fetchone()
    aside = connection.execute(
        "SELECT study_instance_uid, attempts, reason, next_try_s FROM studies WHERE state = ? ORDER BY next_try_s",
        (State.ASIDE.value,),
    ).fetchall()
    listed = None if mark is None else float(mark[0])
    # 0 is the beginning: the first listing has not been brought yet
    watermark = listed if held_back is None else (float(held_back) or None)
    return Standing(
        listed,
        watermark,
        counts.get(State.PENDING.value, 0),
        counts.get(State.COMPLETE.value, 0),
        tuple(Aside(*row) for row in aside),
    )
