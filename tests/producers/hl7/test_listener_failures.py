"""What a listener loses or doubles when something ends under it: nothing. And senders that misbehave."""

from __future__ import annotations

import random
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import hl7.client
import pytest

from producers.hl7.client import client_tls
from producers.hl7.mllp import frame
from producers.topic_admin import create_topics
from schemas.errors import DestinationUnavailable, TransientFailure
from schemas.settings import KafkaSettings
from tests.producers.certificates import authority, signed
from tests.producers.hl7.listening import Running, codes, exchange, listening, of_key, received, written
from tests.producers.hl7.orders import admission, lines, msh, new_order, old_order, pid
from tests.services import kafka_broker, wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration


def fresh(prefix: str = "F") -> str:
    return f"{prefix}{random.randrange(10**12)}"


@pytest.fixture(scope="module")
def listener(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Takes little, and waits briefly."""
    bounds = {
        "SCANSTREAM_HL7_MAX_MESSAGE_BYTES": "20000",
        "SCANSTREAM_HL7_MESSAGE_TIMEOUT_S": "1",
        "SCANSTREAM_HL7_MAX_WAITING": "20",
    }
    with listening(KafkaSettings(bootstrap_servers=kafka), tmp_path_factory.mktemp("hl7"), **bounds) as running:
        yield running


def test_killed_before_it_could_answer(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    node, accession = fresh("node"), fresh()
    # who wants no answer shows what is in Kafka and not answered
    silent = old_order(accession, fresh()).replace(b"|P|2.3.1|||||", b"|P|2.3.1|||NE|NE|", 1)
    assert b"|NE|NE|" in silent
    with listening(kafka_settings, tmp_path, node) as running:
        connection = running.connect()
        connection.send(silent)
        of_key(kafka_settings, accession, 1)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(30)
        connection.close()
    with listening(kafka_settings, tmp_path, node) as running:
        connection = running.connect()
        connection.send(silent)
        assert codes(exchange(connection, old_order(accession, fresh(), "R", "XO"))) == ["AA"]
        connection.close()
    found = of_key(kafka_settings, accession, 2)
    assert [one and one.order_priority for one in found] == ["S", "R"]


def test_killed_again_and_again_nothing_is_lost_or_doubled(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    node, prefix, total = fresh("node"), fresh("K"), 1500
    unanswered = [old_order(f"{prefix}-{number}", f"{prefix}.{number}") for number in range(total)]
    chance = random.Random(7)
    for last in (False, False, True):
        with listening(kafka_settings, tmp_path, node) as running:
            connection = running.connect()
            with suppress(TransientFailure, OSError):
                stop_at = len(unanswered) if last else chance.randrange(100, 400)
                sent = 0
                for payload in unanswered[: stop_at + 200]:
                    connection.send(payload)
                    sent += 1
                answered = 0
                while answered < min(sent, stop_at):
                    assert codes(received(connection, 1)) == ["AA"]
                    answered += 1
                if not last:
                    running.process.send_signal(signal.SIGKILL)
                # what the kernel still has of the answers counts for the sender
                while answered < sent:
                    assert codes(received(connection, 1)) == ["AA"]
                    answered += 1
            del unanswered[:answered]
            connection.close()
    assert not unanswered
    of_key(kafka_settings, f"{prefix}-{total - 1}", 1)
    counted = Counter(one.key for one in written(kafka_settings) if one.key.startswith(f"hosp/{prefix}-"))
    assert len(counted) == total
    assert set(counted.values()) == {1}


def test_told_to_stop_it_answers_what_it_wrote_and_the_next_listener_knows_it(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    prefix, total = fresh("G"), 600
    messages = [old_order(f"{prefix}-{number}", f"{prefix}.{number}") for number in range(total)]
    answered = 0
    with listening(kafka_settings, tmp_path) as running:
        connection = running.connect()
        with suppress(TransientFailure, OSError):
            for payload in messages:
                connection.send(payload)
        with suppress(TransientFailure):
            while answered < total:
                assert codes(received(connection, 1)) == ["AA"]
                answered += 1
                if answered == 50:
                    running.process.send_signal(signal.SIGTERM)
        connection.close()
        assert running.process.wait(60) == 0
    of_key(kafka_settings, f"{prefix}-{answered - 1}", 1)
    with listening(kafka_settings, tmp_path) as other:
        assert set(codes(other.send(*messages))) == {"AA"}
    of_key(kafka_settings, f"{prefix}-{total - 1}", 1)
    counted = Counter(one.key for one in written(kafka_settings) if one.key.startswith(f"hosp/{prefix}-"))
    assert len(counted) == total
    assert set(counted.values()) == {1}


def test_without_kafka_the_sender_keeps_its_messages(tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "kafka"
    folder.mkdir()
    message, later = old_order(fresh(), fresh()), new_order(fresh(), fresh())
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")
    with kafka_broker(folder, port):
        create_topics(settings)
        manager = listening(settings, tmp_path)
        running = manager.__enter__()
        assert codes(running.send(old_order("BEFORE", fresh()))) == ["AA"]
    try:
        began = time.monotonic()
        answers = running.send(message, later)
        assert codes(answers) == ["AR", "AR"]
        # senders mostly wait for 10 to 30 s; a transaction may take 15
        assert time.monotonic() - began < 10.0
        assert "Kafka is away" in (answers[1].first("ERR") or answers[1].header).value(8)
        with kafka_broker(folder, port):
            taken: list[str] = []

            def there() -> bool:
                taken[:] = codes(running.send(message, later))
                return taken == ["AA", "AA"]

            wait_for(there, "Kafka to be used again")
            assert codes(running.send(message)) == ["AA"]
            wait_for(lambda: len({one.key for one in written(settings)}) == 3, "what was taken")
            counted = Counter(one.key for one in written(settings))
            assert set(counted.values()) == {1}
    finally:
        manager.__exit__(None, None, None)


def test_bytes_that_drip_and_bytes_that_never_end(listener: Running) -> None:
    block = frame(new_order(fresh(), fresh()))
    with socket.create_connection(("127.0.0.1", listener.port), 30) as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(block), 150):
            slow.sendall(block[start : start + 150])
            time.sleep(0.01)
        assert b"|AA|" in slow.recv(65536)
        slow.sendall(block[:100])
        assert slow.recv(10) == b""
    with socket.create_connection(("127.0.0.1", listener.port), 30) as large:
        with suppress(ConnectionError):
            large.sendall(b"\x0b" + b"MSH|^~\\&|" + b"x" * 30_000)
        with suppress(ConnectionError):
            assert large.recv(10) == b""
    with socket.create_connection(("127.0.0.1", listener.port), 30) as two:
        two.sendall(b"\r\n" + frame(admission("A01", fresh())) + frame(b"no message") + block)
        answers = b""
        while answers.count(b"\x1c\r") < 3:
            answers += two.recv(65536)
    found = [part[-2:] for part in answers.split(b"MSA|")[1:] for part in [b"??" + part[:2]]]
    assert found == [b"AA", b"AE", b"AA"]


def test_who_sends_too_much_is_asked_to_wait(listener: Running) -> None:
    messages = [old_order(fresh(), fresh()) for _ in range(400)]
    first = codes(listener.send(*messages))
    assert set(first) <= {"AA", "AR"}
    again = messages
    while again:
        answers = codes(listener.send(*again[:15]))
        again = [one for one, code in zip(again[:15], answers, strict=True) if code == "AR"] + again[15:]


@pytest.mark.parametrize(
    ("accept", "application", "good", "bad"),
    [
        ("", "", ["AA"], ["AE"]),
        ("AL", "NE", ["CA"], ["CE"]),
        ("AL", "AL", ["CA", "AA"], ["CE", "AE"]),
        ("NE", "AL", ["AA"], ["AE"]),
        ("ER", "ER", [], ["CE", "AE"]),
        ("SU", "NE", ["CA"], []),
    ],
)
def test_enhanced_mode(listener: Running, accept: str, application: str, good: list[str], bad: list[str]) -> None:
    header = msh("ADT^A08", fresh(), more=f"{accept}|{application}")
    connection = listener.connect()
    connection.send(lines(header, pid()))
    connection.send(lines(header.replace("A08", "A01")))
    assert codes(received(connection, len(good) + len(bad))) == good + bad
    # and nothing more
    assert codes(exchange(connection, admission("A01", fresh()))) == ["AA"]
    connection.close()


def test_another_client_is_answered(listener: Running, kafka_settings: KafkaSettings) -> None:
    accession = fresh()
    with hl7.client.MLLPClient("127.0.0.1", listener.port) as client:
        for number in range(3):
            answer = client.send_message(new_order(accession, f"{accession}.{number}", "SAR"[number]))
            parsed = hl7.parse(answer.strip(b"\x0b\x1c\r").decode() + "\r")
            assert str(parsed.segment("MSA")) == f"MSA|AA|{accession}.{number}"
    assert [one and one.order_priority for one in of_key(kafka_settings, accession, 3)] == ["S", "A", "R"]


def test_only_who_is_named_may_send(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    root = tmp_path / "tls"
    root.mkdir()
    ca, other_ca = authority(root), authority(root, "other")
    ours = signed(root, "listener", ca, address="127.0.0.1")
    good, bad = signed(root, "ris", ca), signed(root, "stranger", other_ca)
    file = tmp_path / "sources.yaml"
    file.write_text("sources: [{name: ris, addresses: [127.0.0.0/8]}]")
    settings = {
        "SCANSTREAM_HL7_SOURCES_FILE": str(file),
        "SCANSTREAM_HL7_TLS_CERTIFICATE": str(ours.certificate),
        "SCANSTREAM_HL7_TLS_KEY": str(ours.key),
        "SCANSTREAM_HL7_TLS_CA": str(ca.certificate),
    }

    def context(shows: Path | None, key: Path | None) -> ssl.SSLContext:
        return client_tls("SCANSTREAM_ORU", ca.certificate, shows, key)

    with listening(kafka_settings, tmp_path, **settings) as running:
        connection = running.connect(context(good.certificate, good.key))
        assert codes(exchange(connection, admission("A01", fresh()))) == ["AA"]
        connection.close()
        for shows, key in ((bad.certificate, bad.key), (None, None)):
            with (
                pytest.raises((TransientFailure, DestinationUnavailable), match=r"TLS|closed the connection"),
                closing(running.connect(context(shows, key))) as stranger,
            ):
                exchange(stranger, admission("A01", fresh()))
    file.write_text("sources: [{name: ris, addresses: [192.0.2.0/24]}]")
    with listening(kafka_settings, tmp_path, SCANSTREAM_HL7_SOURCES_FILE=str(file)) as running:
        with (
            pytest.raises(TransientFailure, match="closed the connection"),
            closing(running.connect()) as stranger,
        ):
            exchange(stranger, admission("A01", fresh()))
        assert "no source may send from there" in running.log.read_text()
