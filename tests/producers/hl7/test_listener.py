"""The listener as it runs: real connections, real Kafka, and what is lost or doubled when something ends."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.patient_key import PatientKeys
from schemas.settings import KafkaSettings
from tests.producers.hl7.listening import SECRET, Running, codes, listening, of_key, received, written
from tests.producers.hl7.orders import admission, lines, merge, msh, new_order, old_order, pid

pytestmark = pytest.mark.integration

SOURCES = """
sources:
  - name: cyrillic
    sending_application: OLD-RIS
    character_set: windows-1251
    time_zone: Europe/Kyiv
    stations: {CT: CT1}
  - name: ris
    sending_application: RIS
    receiving_application: SCANSTREAM
    time_zone: Europe/Kyiv
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hl7")


@pytest.fixture(scope="module")
def listener(kafka: str, place: Path) -> Iterator[Running]:
    (place / "sources.yaml").write_text(SOURCES)
    settings = KafkaSettings(bootstrap_servers=kafka)
    with listening(settings, place, SCANSTREAM_HL7_SOURCES_FILE=str(place / "sources.yaml")) as running:
        yield running


def fresh(prefix: str = "A") -> str:
    return f"{prefix}{random.randrange(10**12)}"


def patient(number: str) -> str:
    return pid(number)


def key(number: str) -> str:
    found = PatientKeys(SECRET.encode()).key(number, "HOSP")
    assert found is not None
    return found


def test_orders_admissions_and_merges_reach_the_log(listener: Running, kafka_settings: KafkaSettings) -> None:
    accession, now, before = fresh(), fresh("P"), fresh("P")
    answers = listener.send(
        admission("A04", fresh(), patient=patient(before)),
        old_order(accession, fresh(), patient=patient(before)),
        merge(now, before, fresh()),
        admission("A03", fresh(), patient=pid(now, "Шевченко^Олена")),
    )
    assert codes(answers) == ["AA"] * 4
    assert [answer.header.value(5) for answer in answers] == ["RIS"] * 4
    old = of_key(kafka_settings, key(before), 2)
    assert [one and one.patient_class for one in old] == ["E", None]
    order = of_key(kafka_settings, accession, 2)
    assert [one and one.patient_key for one in order] == [key(before), key(now)]
    assert order[-1] is not None
    assert order[-1].worklist is not None
    assert (order[-1].worklist.patient_id, order[-1].worklist.patient_name) == (now, "Шевченко^Олена")
    survivor = of_key(kafka_settings, key(now), 2)
    assert [one and one.merged_keys for one in survivor] == [(key(before),)] * 2
    log = listener.log.read_text()
    assert "Шевченко" not in log
    assert before not in log


@pytest.mark.parametrize(
    ("codec", "charset", "application"),
    [("utf-8", "UNICODE UTF-8", "RIS"), ("utf-8", "", "RIS"), ("cp1251", "", "OLD-RIS"), ("cp1251", "", "RIS"),
     ("cp1251", "UNICODE UTF-8", "RIS"), ("cp1251", "windows-1251", "RIS"), ("iso8859-5", "8859/5", "RIS"),
     ("koi8_u", "", "RIS"), ("utf-8", "no such set", "RIS")],
)  # fmt: skip
def test_names_survive_their_character_sets(
    listener: Running, kafka_settings: KafkaSettings, codec: str, charset: str, application: str
) -> None:
    # ISO 8859-5 has no Ґ
    name = "Їжакевич^Є" if codec == "iso8859-5" else "Ґудзь^Євгенія^Іллівна"
    accession = fresh()
    text = old_order(accession, fresh(), patient=f"PID|||{fresh()}^^^HOSP||{name}||19610309|F").decode()
    text = text.replace("|UNICODE UTF-8\r", f"|{charset}\r").replace("|RIS|", f"|{application}|", 1)
    assert codes(listener.send(text.encode(codec))) == ["AA"]
    (order,) = of_key(kafka_settings, accession, 1)
    assert order is not None
    assert order.worklist is not None
    assert order.worklist.patient_name == name
    assert order.reason == "Підозра на інсульт"


def test_what_comes_again_is_written_once(listener: Running, kafka_settings: KafkaSettings) -> None:
    accession, again = fresh(), fresh()
    message = new_order(accession, again)
    assert codes(listener.send(message, message)) == ["AA", "AA"]
    assert codes(listener.send(message)) == ["AA"]
    # a later change, and then the old message once more: it does not undo the change
    assert codes(listener.send(new_order(accession, fresh(), "S", "XO"), message)) == ["AA", "AA"]
    # the same control id with other content is another message
    assert codes(listener.send(new_order(accession, again, "R", "XO"))) == ["AA"]
    found = of_key(kafka_settings, accession, 3)
    assert [one and one.order_priority for one in found] == ["A", "S", "R"]


def test_wrong_messages_are_named_kept_and_harm_nobody(
    listener: Running, kafka_settings: KafkaSettings, place: Path
) -> None:
    accession = fresh()
    wrong = [
        lines(msh("ADT^A01", "1"), "EVN|A01", "PID|1||||Секретний^Ім'я"),
        lines(msh("ADT^A01", "2")),
        lines(msh("ORM^O01", "3", "2.3.1"), pid()),
        lines(msh("ORM^O01", "4", "2.3.1"), pid(), "ORC|NW", "OBR|1"),
        lines(msh("ORM^O01", "5", "2.3.1"), pid(), f"ORC|QQ||{accession}", "OBR|1"),
        lines(msh("ADT^A40", "6"), pid()),
        lines(msh("ADT^A01", "7").replace("SCANSTREAM", "OTHER"), pid()),
        lines(msh("ADT^A01", "8").replace("|RIS|", "|NOBODY|"), pid()),
        b"PID|nothing of HL7",
        lines(msh("ADT^A01", ""), pid()),
        lines(msh("ADT^A99", "9"), pid()),
        lines(msh("ORU^R01", "10"), pid()),
    ]
    answers = listener.send(*wrong, old_order(accession, fresh()))
    assert codes(answers) == ["AE"] * 10 + ["AR"] * 2 + ["AA"]
    places = [answer.first("ERR") for answer in answers[:10]]
    found = [(err.value(2) or err.value(1), err.value(2, 3) or err.value(1, 3)) for err in places if err]
    assert found == [
        ("PID", "3"), ("PID", ""), ("ORC", ""), ("OBR", "18"), ("ORC", "1"), ("MRG", ""), ("MSH", "5"),
        ("MSH", "3"), ("MSH", ""), ("MSH", "10"),
    ]  # fmt: skip
    err = answers[3].first("ERR")
    assert err is not None
    assert err.value(1, 4) == "101"
    err = answers[11].first("ERR")
    assert err is not None
    assert err.value(3) == "200"
    kept = {file.read_bytes() for file in (place / "hl7" / "rejected").glob("*.hl7")}
    assert set(wrong[:10]) <= kept
    assert not kept & set(wrong[10:])
    assert all(file.stat().st_mode & 0o077 == 0 for file in (place / "hl7" / "rejected").iterdir())
    assert "Секретний" not in listener.log.read_text()
    assert all(b"\xd0" not in "".join(s.text for s in answer.segments).encode() for answer in answers)


def test_ten_thousand_messages_over_many_connections(listener: Running, kafka_settings: KafkaSettings) -> None:
    prefix, connections = fresh("L"), [listener.connect() for _ in range(8)]
    for turn in range(5):
        for number, connection in enumerate(connections):
            for message in range(250):
                accession = f"{prefix}-{number}-{message}"
                connection.send(old_order(accession, f"{prefix}.{number}.{turn}.{message}", "SARSA"[turn], "XO"))
        for connection in connections:
            assert set(codes(received(connection, 250))) == {"AA"}
    for connection in connections:
        connection.close()
    of_key(kafka_settings, f"{prefix}-7-249", 5)
    found: dict[str, list[str | None]] = {}
    for one in written(kafka_settings):
        if one.key.startswith(f"hosp/{prefix}") and one.context is not None:
            found.setdefault(one.key, []).append(one.context.order_priority)
    assert len(found) == 2000
    assert all(priorities == list("SARSA") for priorities in found.values())
