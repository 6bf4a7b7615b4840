"""What messages mean: no service, every field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hl7apy.core import Message as BuiltMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.hl7.listener.interpret import interpret
from producers.hl7.listener.problem import Rejected
from producers.hl7.listener.sources import Source
from producers.hl7.listener.text import read
from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import ClinicalContext
from tests.producers.hl7.orders import (
    KEYS,
    KYIV,
    MULTILINGUAL,
    NOW,
    Table,
    admission,
    field,
    key,
    lines,
    merge,
    msh,
    new_order,
    old_order,
    pid,
)


def problem_of(payload: bytes, source: Source = KYIV) -> tuple[str, str, int | None]:
    with pytest.raises(Rejected) as caught:
        Table().take(payload, source)
    return caught.value.problem.code, caught.value.problem.segment, caught.value.problem.field


def test_an_order_of_old_is_read_whole() -> None:
    table = Table()
    (write,) = table.take(old_order("A1", "1"))
    order = table.order("A1")
    assert write.key == "hosp/A1"
    assert order.patient_key == key()
    assert (order.order_priority, order.patient_class, order.patient_location) == ("S", "E", "ED")
    assert (order.order_status, order.reason, order.patient_age_years) == ("active", "Підозра на інсульт", 65)
    item = order.worklist
    assert item is not None
    assert item.study_instance_uid == order.study_instance_uid
    assert (item.patient_name, item.patient_id, item.issuer_of_patient_id) == (MULTILINGUAL, "4711", "HOSP")
    assert (item.requested_procedure_id, item.requested_procedure_priority) == ("RP-1", "STAT")
    (step,) = item.steps
    assert (step.step_id, step.modality, step.start_date, step.start_time) == ("SPS-1", "CT", "20261122", "120000")
    assert step.description == "КТ голови"


def test_an_order_of_today_is_read_whole() -> None:
    table = Table()
    table.take(new_order("B1", "1"))
    order = table.order("B1")
    assert (order.order_priority, order.patient_class, order.reason) == ("A", "I", "Епілепсія")
    assert order.study_instance_uid == "1.2.826.0.1.3680043.8.498.77"
    assert order.worklist is not None
    (step,) = order.worklist.steps
    assert (step.modality, step.station_ae_title, step.start_time) == ("MR", "MR1", "080000")
    assert step.protocol is not None
    assert step.protocol.value == "MRB1"


@pytest.mark.parametrize(
    ("control", "status", "expected"),
    [
        ("NW", "", "active"), ("XO", "", "active"), ("RL", "", "active"), ("SC", "IP", "active"),
        ("CA", "", "cancelled"), ("OC", "", "cancelled"), ("DC", "", "cancelled"), ("HD", "", "held"),
        ("SC", "CM", "completed"), ("SC", "CA", "cancelled"), ("SC", "HD", "held"), ("XO", "CM", "completed"),
        ("CM", "", "completed"), ("UC", "", "active"),
    ],
)  # fmt: skip
def test_what_becomes_of_an_order(control: str, status: str, expected: str) -> None:
    table = Table()
    table.take(old_order("A1", "1"))
    table.take(old_order("A1", "2", control=control, status=status))
    order = table.order("A1")
    assert order.order_status == expected
    assert (order.worklist is None) is (expected in ("cancelled", "completed"))
    assert order.study_instance_uid is not None


@pytest.mark.parametrize("control", ["SC", "OK", "UA", "RE"])
@pytest.mark.parametrize(
    ("given", "status", "expected"),
    [
        ("CA", "", "cancelled"), ("CM", "", "completed"), ("HD", "", "held"), ("CA", "IP", "active"),
        ("NW", "", "active"),
    ],
)  # fmt: skip
def test_an_answer_without_a_status_leaves_the_order_as_it_was(
    control: str, given: str, status: str, expected: str
) -> None:
    table = Table()
    table.take(old_order("A1", "1", control=given))
    table.take(old_order("A1", "2", control=control, status=status))
    assert table.order("A1").order_status == expected


def test_a_message_that_says_little_changes_little() -> None:
    table = Table()
    table.take(old_order("A1", "1"))
    before = table.order("A1")
    table.take(lines(msh("ORM^O01", "2", "2.3.1"), pid(), "ORC|HD|P-1|F-1", field("OBR", {18: "A1"})))
    held = table.order("A1")
    assert held.worklist == before.worklist
    assert (held.order_priority, held.reason, held.patient_class) == ("S", "Підозра на інсульт", "E")
    table.take(lines(msh("ORM^O01", "3", "2.3.1"), pid(), "ORC|RL|P-1|F-1", field("OBR", {18: "A1"})))
    assert replace(table.order("A1"), event_id=before.event_id) == before
    # a new order under the number is another order
    table.take(lines(msh("ORM^O01", "4", "2.3.1"), pid(), "ORC|NW|P-1|F-1", field("OBR", {18: "A1"})))
    assert table.order("A1").order_priority is None
    assert table.order("A1").worklist is None


@pytest.mark.parametrize(
    ("where", "said", "expected"),
    [
        ("TQ1", "S", "S"), ("ORC", "A", "A"), ("OBR-27", "R", "R"), ("OBR-5", "STAT", "S"), ("OBR-5", "asap", "A"),
        ("OBR-5", "цито", "S"), ("OBR-5", "планово", "R"), ("ORC", "T", "T"), ("TQ1", "X9", "X9"),
        ("none", "", None),
    ],
)  # fmt: skip
def test_priority_is_found_wherever_it_stands(where: str, said: str, expected: str | None) -> None:
    orc = field("ORC", {1: "NW", 3: "F-1", 7: f"1^^^^^{said if where == 'ORC' else ''}"})
    tq1 = field("TQ1", {9: said if where == "TQ1" else ""})
    five, last = (said if where == name else "" for name in ("OBR-5", "OBR-27"))
    obr = field("OBR", {4: "CT", 5: five, 27: f"^^^^^{last}"})
    table = Table()
    table.take(lines(msh("OMI^O23", "1"), pid(), orc, tq1, obr))
    assert table.order("F-1").order_priority == expected


def test_several_orders_of_one_message() -> None:
    table = Table()
    writes = table.take(
        lines(
            msh("ORM^O01", "1", "2.3.1"), pid(),
            "ORC|NW", field("OBR", {4: "CT1^Голова", 18: "A1", 19: "RP1", 20: "S1", 24: "CT"}),
            "ORC|NW", field("OBR", {4: "CT2^Шия", 18: "A1", 19: "RP1", 20: "S2", 24: "CT"}),
            "ORC|CA", field("OBR", {4: "MR1^МРТ", 18: "A2", 19: "RP2", 20: "S3", 24: "MR"}),
        )
    )  # fmt: skip
    assert [write.key for write in writes] == ["hosp/A1", "hosp/A2"]
    assert len({write.context.event_id for write in writes if write.context}) == 2
    item = table.order("A1").worklist
    assert item is not None
    assert [step.step_id for step in item.steps] == ["S1", "S2"]
    assert table.order("A2").order_status == "cancelled"


def test_where_a_source_keeps_its_numbers_is_its_own_affair() -> None:
    source = Source(name="his", accession=("ORC-2",), stations={"CT": "CT1"}, modalities={"КТ": "CT"})
    table = Table()
    table.take(
        lines(msh("ORM^O01", "1"), pid(), "ORC|NW|P7|F7", field("OBR", {4: "X^Грудна клітка", 24: "КТ"})), source
    )
    item = table.order("P7").worklist
    assert item is not None
    assert (item.steps[0].modality, item.steps[0].station_ae_title) == ("CT", "CT1")
    # no study was named: it is made, and is the same when the message comes again
    uid = item.study_instance_uid
    table.take(lines(msh("ORM^O01", "2"), pid(), "ORC|NW|P7|F7", field("OBR", {4: "X", 24: "КТ"})), source)
    assert table.order("P7").study_instance_uid == uid


def test_admissions_of_a_patient() -> None:
    table = Table()
    con = field("CON", {2: "001", 10: "R"})
    table.take(lines(msh("ADT^A01", "1"), "EVN|A01", pid(), "PV1|1|e|ED^3^1", con))
    first = table.contexts[key()]
    assert (first.patient_class, first.patient_location, first.consent) == ("E", "ED", None)
    table.take(lines(msh("ADT^A08", "2"), "EVN|A08", pid(), field("CON", {2: "001", 11: "R"})))
    assert (table.contexts[key()].patient_class, table.contexts[key()].consent) == ("E", "refused")
    table.take(admission("A04", "3", "PV1|1|O|POLI"))
    assert (table.contexts[key()].patient_class, table.contexts[key()].consent) == ("O", "refused")
    table.take(admission("A03", "4"))
    gone = table.contexts[key()]
    assert (gone.patient_class, gone.patient_location, gone.patient_age_years) == (None, None, 65)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["A"], "granted"),
        (["A", "R"], "refused"),
        (["X"], "refused"),
        (["P"], None),
        (["L", "A"], "granted"),
        ([], None),
    ],
)
def test_consent(statuses: list[str], expected: str | None) -> None:
    table = Table()
    cons = [field("CON", {2: "001", 11: status}) for status in statuses]
    table.take(lines(msh("ADT^A01", "1"), pid(), *cons))
    assert table.contexts[key()].consent == expected
    only = Source(name="his", consent_types=("AI",))
    table = Table()
    table.take(lines(msh("ADT^A01", "1"), pid(), *cons), only)
    assert table.contexts[key()].consent is None


def test_a_new_name_reaches_the_worklist() -> None:
    table = Table()
    table.take(old_order("A1", "1"))
    writes = table.take(admission("A08", "2", patient=pid(name="Гнатюк^Олесь")))
    assert [write.key for write in writes] == [key(), "hosp/A1"]
    item = table.order("A1").worklist
    assert item is not None
    assert item.patient_name == "Гнатюк^Олесь"
    assert len(table.take(admission("A08", "3", patient=pid(name="Гнатюк^Олесь")))) == 1


def test_a_merge_takes_everything_over_and_is_remembered() -> None:
    table = Table()
    table.take(admission("A01", "1"))
    table.take(old_order("A1", "2"))
    table.take(merge("5000", "4711", "3"))
    assert key() not in table.contexts
    now = table.contexts[key("5000")]
    assert (now.merged_keys, now.patient_class, now.patient_location) == ((key(),), "E", "ED")
    order = table.order("A1")
    assert (order.patient_key, order.merged_keys) == (key("5000"), (key(),))
    assert order.worklist is not None
    assert order.worklist.patient_id == "5000"
    table.take(merge("6000", "5000", "4"))
    assert set(table.contexts[key("6000")].merged_keys) == {key(), key("5000")}
    assert set(table.order("A1").merged_keys) == {key(), key("5000")}
    # what comes later about the survivor does not forget it, and a merge with itself removes nobody
    table.take(admission("A08", "5", patient=pid("6000")))
    table.take(merge("6000", "6000", "6"))
    assert set(table.contexts[key("6000")].merged_keys) == {key(), key("5000")}


@pytest.mark.parametrize(
    ("identifiers", "authority", "expected"),
    [
        ("1^^^HOSP^MR", "", ("1", "HOSP")),
        ("9^^^TAX^SS~1^^^HOSP^MR", "", ("1", "HOSP")),
        ("9^^^NET^PI~1^^^HOSP^MR", "hosp", ("1", "HOSP")),
        ("9^^^NET^PI~1", "HOSP", ("1", "HOSP")),
        ("1", "", ("1", "")),
        ('""~1^^^HOSP', "", ("1", "HOSP")),
        ("1^^^HOSP&1.2.3&ISO^MR", "", ("1", "HOSP")),
    ],
)
def test_the_identifier_that_counts(identifiers: str, authority: str, expected: tuple[str, str]) -> None:
    table = Table()
    source = Source(name="his", assigning_authority=authority)
    (write,) = table.take(lines(msh("ADT^A01", "1"), f"PID|1||{identifiers}||A^B"), source)
    assert write.key == key(*expected)


def test_what_is_wrong_is_named() -> None:
    assert problem_of(lines(msh("ADT^A01", "1"))) == ("101", "PID", None)
    assert problem_of(lines(msh("ADT^A01", "1"), "PID|1||||A^B")) == ("101", "PID", 3)
    assert problem_of(lines(msh("ADT^A01", ""), pid())) == ("101", "MSH", 10)
    assert problem_of(lines(msh("ORM^O01", "1"), pid())) == ("100", "ORC", None)
    assert problem_of(lines(msh("ORM^O01", "1"), pid(), "ORC|NW", "OBR|1")) == ("101", "OBR", 18)
    assert problem_of(lines(msh("ORM^O01", "1"), pid(), "ORC|??|1|1", "OBR|1")) == ("103", "ORC", 1)
    assert problem_of(lines(msh("ADT^A40", "1"), pid())) == ("101", "MRG", None)
    assert problem_of(lines(msh("ADT^A40", "1"), pid(), "MRG|")) == ("101", "MRG", 1)
    assert problem_of(lines(msh("ADT^A60", "1"), pid())) == ("201", "MSH", 9)
    assert problem_of(lines(msh("SIU^S12", "1"), pid())) == ("200", "MSH", 9)
    trial = lines(msh("ADT^A01", "1").replace("|P|", "|T|"), pid())
    assert problem_of(trial) == ("202", "MSH", 11)
    assert Table().take(trial, Source(name="test", processing=("P", "T")))
    other = Source(name="his", assigning_authority="HOSP")
    assert problem_of(lines(msh("ADT^A01", "1"), "PID|1||1^^^NET"), other) == ("204", "PID", 3)
    ours = Source(name="his", receiving_facility="LAB")
    assert problem_of(lines(msh("ADT^A01", "1"), pid()), ours) == ("103", "MSH", 6)


def test_the_same_message_is_the_same_event() -> None:
    def ids(payload: bytes, source: Source = KYIV) -> list[str]:
        return [write.context.event_id for write in Table().take(payload, source) if write.context]

    message = old_order("A1", "1")
    assert ids(message) == ids(message)
    assert ids(message) != ids(old_order("A1", "2"))
    assert ids(message) != ids(old_order("A1", "1", "R"))
    assert ids(message) != ids(message, Source(name="other", time_zone="Europe/Kyiv"))


def test_a_message_of_another_builder() -> None:
    built: Any = BuiltMessage("OMI_O23", version="2.5.1")
    built.msh.msh_3, built.msh.msh_4 = "RIS", "HOSP"
    built.msh.msh_9, built.msh.msh_10, built.msh.msh_11 = "OMI^O23^OMI_O23", "H1", "P"
    built.msh.msh_18 = "UNICODE UTF-8"
    built.add_segment("PID")
    built.pid.pid_3, built.pid.pid_5, built.pid.pid_7 = "4711^^^HOSP^MR", MULTILINGUAL, "19610309"
    for name in ("ORC", "TQ1", "OBR", "IPC"):
        built.add_segment(name)
    built.orc.orc_1, built.orc.orc_3 = "NW", "F9"
    built.tq1.tq1_9 = "S"
    built.obr.obr_3, built.obr.obr_4 = "F9", "CTH^КТ голови"
    built.ipc.ipc_1, built.ipc.ipc_2, built.ipc.ipc_3 = "A9", "R9", "1.2.3"
    built.ipc.ipc_4, built.ipc.ipc_5 = "S9", "CT"
    table = Table()
    table.take(built.to_er7().encode())
    order = table.order("A9")
    assert (order.order_priority, order.study_instance_uid) == ("S", "1.2.3")
    assert order.worklist is not None
    assert order.worklist.patient_name == MULTILINGUAL


@pytest.mark.parametrize("codec", ["cp1251", "koi8_u", "iso8859-5", "cp866", "utf-8"])
@pytest.mark.parametrize("name", ["Шевченко^Олена^Іванівна", "Їжакевич^Єлизавета", "ПЕТРЕНКО^ІВАН", "Коваль^Ія"])
def test_character_sets_are_recognised(codec: str, name: str) -> None:
    if codec == "cp866":
        name = name.replace("І", "I").replace("і", "i")  # it has none
    text = lines(msh("ADT^A01", "1", charset=""), pid(name=name)).decode()
    assert name in read(text.encode(codec), "utf-8").message.segments[1].text


def test_a_character_set_that_is_said_falsely_is_noticed() -> None:
    text = lines(msh("ADT^A01", "1"), pid()).decode()
    found = read(text.encode("cp1251"), "utf-8")
    assert (found.codec, found.guessed) == ("cp1251", True)
    assert not read(text.encode(), "cp1251").guessed


PIECES = st.sampled_from([
    "|", "^", "~", "&", "\\", '""', "NW", "CA", "A1", "HOSP", "MR", "20261122", "19610309", "2026-13-45", "S",
    "\\X00\\",
    "\\X\\", "Ґ", "\x0b", "9" * 40, " ", "1.2.3", "99999999999999", "\u0085", "CT",
])  # fmt: skip
SEGMENTS = st.sampled_from(
    ["PID", "PV1", "PV2", "ORC", "OBR", "TQ1", "IPC", "ZDS", "MRG", "CON", "EVN", "MSH", "XXX"]
)
SEGMENT = st.builds(lambda name, parts: f"{name}|{''.join(parts)}", SEGMENTS, st.lists(PIECES, max_size=40))
KINDS = st.sampled_from(["ADT^A01", "ADT^A03", "ADT^A08", "ADT^A40", "ORM^O01", "OMI^O23", "ORU^R01", ""])


@settings(max_examples=400, deadline=None)
@given(kind=KINDS, segments=st.lists(SEGMENT, max_size=8), good=st.booleans())
def test_any_message_is_understood_or_its_field_is_named(kind: str, segments: list[str], good: bool) -> None:
    start = [msh(kind, "1"), *([pid()] if good else [])]
    payload = lines(*start, *segments)
    table = Table()
    table.take(old_order("A1", "0"))
    try:
        writes = table.take(payload)
    except Rejected as error:
        assert len(error.problem.sentence) < 300
        assert MULTILINGUAL not in error.problem.sentence
        return
    assert writes
    for write in writes:
        if write.context is not None:
            assert Codec().decode(Codec().encode(write.context)) == write.context


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, header: bool) -> None:
    payload = msh("ORM^O01", "1").encode() + b"\r" + data if header else data
    try:
        message = read(payload, "utf-8").message
        interpret(message, payload, KYIV, KEYS, Table(), NOW)
    except InvalidMessage:
        pass


def test_contexts_show_no_identity_where_they_are_printed() -> None:
    table = Table()
    table.take(old_order("A1", "1"))
    shown: ClinicalContext = table.order("A1")
    assert "4711" not in repr(shown)
    assert "Ґудзь" not in repr(shown)


def test_an_accession_number_of_another_patient_takes_neither_study_nor_identity_over() -> None:
    table = Table()
    table.take(old_order("A1", "1"))
    of_first = table.order("A1").study_instance_uid
    other = old_order("A1", "2", control="CA", patient=pid("9999", "Other^Person"))
    table.take(other.partition(b"ZDS|")[0])
    order = table.order("A1")
    assert (order.patient_key, order.order_status) == (key("9999"), "cancelled")
    assert of_first is not None
    assert (order.study_instance_uid, order.merged_keys, order.worklist) == (None, (), None)


def test_one_accession_number_of_two_hospitals_are_two_orders() -> None:
    table = Table()
    first = old_order("A1", "1")
    table.take(first)
    table.take(old_order("A1", "2", control="CA", patient=pid("9999")).replace(b"|HOSP|", b"|North/2|", 1))
    assert [(name, one.order_status) for name, one in sorted(table.contexts.items())] == [
        ("hosp/A1", "active"),
        ("north%2F2/A1", "cancelled"),
    ]
    # a facility may be any system of a hospital: it is not told to those who compare issuers
    assert {one.accession_issuer for one in table.contexts.values()} == {None}
    (nameless,) = table.take(first.replace(b"|HOSP|", b"||", 1))
    assert nameless.key == "A1"


def test_who_issued_an_accession_number_is_agreed_on_or_said_with_it() -> None:
    table = Table()
    (said,) = table.take(new_order("A1^Північ", "1"))
    assert said.context is not None
    assert (said.context.accession_number, said.context.accession_issuer) == ("A1", "Північ")
    assert said.key == "%D0%BF%D1%96%D0%B2%D0%BD%D1%96%D1%87/A1"
    (said,) = table.take(new_order("A1^^1.2.3^ISO", "2"))
    assert said.context is not None
    assert said.context.accession_issuer == "1.2.3"
    agreed = Source(name="ris", accession_issuer="CITY")
    for number, message in enumerate((new_order("A1^X", "3"), old_order("A1", "4"))):
        (said,) = table.take(message, agreed)
        assert (number, said.key) == (number, "city/A1")
        assert said.context is not None
        assert said.context.accession_issuer == "CITY"


def test_an_order_stays_where_it_is_when_its_issuer_is_said_later_or_only_once() -> None:
    table = Table()
    table.take(old_order("A1", "1"))
    # as it was kept before there were issuers
    table.contexts = {"A1": table.contexts["hosp/A1"]}
    (write,) = table.take(old_order("A1", "2", control="CA"))
    assert (write.key, table.contexts["A1"].order_status) == ("A1", "cancelled")
    # one of the same number, of another patient, is another
    (other,) = table.take(old_order("A1", "3", patient=pid("9999")))
    assert other.key == "hosp/A1"
    # with the issuer at first, and without
    table = Table()
    (first,) = table.take(new_order("B1^Північ", "4"))
    (write,) = table.take(old_order("B1", "5", control="HD"))
    assert write.key == first.key
    assert write.context is not None
    assert (write.context.order_status, write.context.accession_issuer) == ("held", "Північ")
    # agreed on from some day on
    table = Table()
    table.take(old_order("A1", "6"))
    (write,) = table.take(old_order("A1", "7", control="CA"), Source(name="ris", accession_issuer="CITY"))
    assert (write.key, [*table.contexts]) == ("hosp/A1", ["hosp/A1"])
    assert table.contexts["hosp/A1"].accession_issuer == "CITY"


def test_of_two_issuers_nobody_knows_which_one_a_message_without_any_means() -> None:
    table = Table()
    table.take(new_order("B1^Північ", "1"))
    table.take(new_order("B1^South", "2"))
    (write,) = table.take(old_order("B1", "3", control="CA"))
    assert write.key == "hosp/B1"
    assert [one.order_status for one in table.contexts.values()] == ["active", "active", "cancelled"]


def test_merges_of_one_message_build_on_each_other() -> None:
    table = Table()
    table.take(lines(msh("ADT^A40", "1"), pid("3"), "MRG|1^^^HOSP^MR", pid("3"), "MRG|2^^^HOSP^MR"))
    assert set(table.contexts[key("3")].merged_keys) == {key("1"), key("2")}


def test_an_order_that_the_filler_replaced_is_over() -> None:
    table = Table()
    table.take(old_order("A1", "1"))
    table.take(old_order("A1", "2", control="RU"))
    assert table.order("A1").order_status == "cancelled"


def test_a_refusal_outlives_a_merge_with_who_agreed() -> None:
    table = Table()
    for number, (patient, status) in enumerate((("1", "A"), ("2", "R"))):
        consent = field("CON", {1: "1", 11: status})
        table.take(lines(msh("ADT^A08", str(number)), pid(patient), consent))
    table.take(merge("1", "2", "9"))
    assert table.contexts[key("1")].consent == "refused"
