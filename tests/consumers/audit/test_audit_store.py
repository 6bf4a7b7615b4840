"""The audit store over its real engine and its real HTTP interface."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from consumers.audit.embedded import EmbeddedEngine, outside
from consumers.audit.http_interface import WRITER, HttpInterface, create_app
from consumers.audit.rows import GENESIS, RawMessage, rows_of
from consumers.audit.store import AuditStore, connect
from schemas.codec import Codec
from schemas.errors import ConfigurationError, DestinationUnavailable, PermanentRejection
from tests.schemas.test_contract import CLASSES, example
from tests.tools import free_port

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[HttpInterface]:
    engine = EmbeddedEngine(tmp_path / "audit")
    interface = HttpInterface(create_app(engine, "secret-of-the-test"), "127.0.0.1", 0)
    interface.start()
    yield interface
    interface.close()
    engine.close()


@pytest.fixture
def store(served: HttpInterface) -> AuditStore:
    store = AuditStore(connect(f"clickhouse://{WRITER}:secret-of-the-test@127.0.0.1:{served.port}/default"))
    store.migrate()
    store.migrate()
    return store


@pytest.fixture
def reader(served: HttpInterface) -> Client:
    return clickhouse_connect.get_client(host="127.0.0.1", port=served.port)


def messages(first: int = 0, topic: str = "imaging.studies") -> list[RawMessage]:
    codec = Codec()
    return [
        RawMessage(
            topic, 3, first + offset, b"1.2.3", codec.encode(example(record)), [("ce_source", b"/s/n/p")], 1000
        )
        for offset, record in enumerate(sorted(CLASSES))
    ]


def test_rows_are_stored_once_and_chained(store: AuditStore, reader: Client) -> None:
    rows, heads = rows_of(messages(), Codec(), {})
    store.insert(rows, NOW)
    store.insert(rows, NOW)
    assert reader.query("SELECT count(), uniqExact(offset) FROM events").result_rows == [(len(rows), len(rows))]
    assert store.heads() == {("imaging.studies", 3): (len(rows) - 1, heads["imaging.studies", 3])}
    assert rows[0].prev_hash == GENESIS
    more, _ = rows_of(messages(len(rows)), Codec(), heads)
    store.insert(more, NOW)
    assert store.broken_links() == []
    assert reader.query("SELECT DISTINCT problem FROM events").result_rows == [("",)]
    assert reader.query("SELECT destination, status FROM deliveries").result_rows == [("stow", "stored")] * 2
    assert reader.query("SELECT model, since_task_ms FROM results LIMIT 1").result_rows == [
        ("mri-brain-segmentation", 6990)
    ]


def test_a_row_that_contradicts_its_hash_is_refused(store: AuditStore) -> None:
    rows, _ = rows_of(messages(), Codec(), {})
    forged = [dataclasses.replace(rows[0], body='{"forged":true}'), *rows[1:]]
    with pytest.raises(PermanentRejection, match="does not match"):
        store.insert(forged, NOW)
    assert store.heads() == {}


def test_a_deleted_row_is_found(store: AuditStore) -> None:
    rows, _ = rows_of(messages(), Codec(), {})
    store.insert([*rows[:3], *rows[4:]], NOW)
    assert [(link["offset"]) for link in store.broken_links()] == [4]


def test_what_cannot_be_decoded_is_kept(store: AuditStore, reader: Client) -> None:
    raw = RawMessage("imaging.studies", 0, 0, None, b"not avro", [], 0)
    tombstone = RawMessage("inference.status", 0, 0, b"k", None, [], 0)
    rows, _ = rows_of([raw, tombstone], Codec(), {})
    store.insert(rows, NOW)
    (found,) = reader.query("SELECT body, problem FROM events WHERE topic = 'imaging.studies'").result_rows
    assert found[0] == "bm90IGF2cm8=" and "neither" in found[1]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO events (topic) VALUES ('x')",
        "DROP TABLE events",
        "ALTER TABLE events DELETE WHERE 1",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM url('http://127.0.0.1/', 'TSV', 'a String')",
        "SELECT 1 INTO OUTFILE '/tmp/scanstream-must-not-exist' TRUNCATE FORMAT TSV",
        "SELECT 1; DROP TABLE events",
        "SET readonly = 0",
        "SELECT * FROM python(x)",
    ],
)
def test_readers_only_read(store: AuditStore, served: HttpInterface, sql: str) -> None:
    answer = httpx.post(f"http://127.0.0.1:{served.port}/", content=sql)
    assert answer.status_code in {400, 403, 404, 500}, answer.text
    assert "Code: " in answer.text
    assert not Path("/tmp/scanstream-must-not-exist").exists()
    assert store.heads() == {}


def test_plain_http_clients_work(store: AuditStore, served: HttpInterface) -> None:
    base = f"http://127.0.0.1:{served.port}"
    assert httpx.get(f"{base}/ping").text == "Ok.\n"
    with urllib.request.urlopen(f"{base}/?query=SELECT%201%20FORMAT%20JSONCompact") as answer:
        assert b'"data"' in answer.read()
    named = httpx.post(
        base, params={"param_x": "Ґ", "default_format": "JSONEachRow"}, content="SELECT {x:String} AS v"
    )
    assert named.json() == {"v": "Ґ"}
    wrong = httpx.post(base, content="SELECT nothing FROM events")
    assert wrong.status_code == 404 and wrong.headers["X-ClickHouse-Exception-Code"] == "47"
    imposter = httpx.post(base, params={"query": "DROP TABLE events"}, auth=(WRITER, "guess"))
    assert imposter.status_code == 403


def test_clickhouse_connect_reads_arrow_and_parameters(store: AuditStore, reader: Client) -> None:
    store.insert(rows_of(messages(), Codec(), {})[0], NOW)
    assert reader.query_arrow("SELECT topic, offset FROM events").num_rows == len(CLASSES)
    found = reader.query("SELECT count() FROM events WHERE offset < {n:UInt64}", parameters={"n": 4})
    assert found.result_rows == [(4,)]
    with pytest.raises(DatabaseError):
        reader.command("TRUNCATE TABLE events")


def test_a_second_engine_in_the_directory_is_refused_with_a_sentence(store: AuditStore, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from consumers.audit.embedded import EmbeddedEngine; "
        f"EmbeddedEngine(Path({str(tmp_path / 'audit')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "another audit writer may be running there" in done.stderr


def test_the_guard_reads_the_parsers_tree() -> None:
    assert (
        outside("SelectWithUnionQuery (children 1)\n Function equals (children 1)\n  TableIdentifier a.b") is None
    )
    assert outside(" TableExpression (children 1)\n  Function S3 (children 1)") == "S3"


def test_a_store_that_is_away_is_waited_for_and_a_wrong_address_is_not() -> None:
    with pytest.raises(DestinationUnavailable, match="check ClickHouse"):
        connect(f"clickhouse://u:p@127.0.0.1:{free_port()}/default")
    with pytest.raises(ConfigurationError, match="CLICKHOUSE_DSN is no address") as caught:
        connect("clickhouse://u:secret@127.0.0.1:port/default")
    assert "secret" not in str(caught.value)


def test_tables_are_made_once_the_store_is_back(served: HttpInterface) -> None:
    client = connect(f"clickhouse://{WRITER}:secret-of-the-test@127.0.0.1:{served.port}/default")
    served.close()
    with pytest.raises(DestinationUnavailable):
        AuditStore(client).migrate()


def test_an_account_that_may_not_make_tables_is_a_wrong_setting(served: HttpInterface) -> None:
    with pytest.raises(ConfigurationError, match="account that may create tables"):
        AuditStore(connect(f"clickhouse://127.0.0.1:{served.port}/default")).migrate()
