from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigurationError
from schemas.topics import Priority
from streams.facts import Facts
from streams.matching import TextFilter, first_match
from streams.rules import Periods
from streams.rules_file import DEFAULT_FILE, load_rules, parse_rules

RULES = load_rules()
TEXT = DEFAULT_FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("facts", "priority", "reason"),
    [
        (Facts(), "p3-normal", "p3-normal by default: no rule matched"),
        (
            Facts(requested_procedure_priority="stat"),
            "p1-emergency",
            "p1-emergency by rule requested-stat: requested procedure priority matches 'STAT*'",
        ),
        (
            Facts(calling_ae_title="ed_ct1"),
            "p1-emergency",
            "p1-emergency by rule emergency-device: calling ae title matches 'ED_*'",
        ),
        (
            Facts(study_description="КТ голови, ПІДОЗРА НА ІНСУЛЬТ"),
            "p1-emergency",
            "p1-emergency by rule emergency-words: study description matches 'інсульт'",
        ),
        (
            Facts(study_description="CT thorax urgent"),
            "p2-urgent",
            "p2-urgent by rule urgent-words: study description matches 'urgent'",
        ),
        (
            Facts(requested_procedure_priority="LOW"),
            "p4-routine",
            "p4-routine by rule requested-low: requested procedure priority matches 'LOW*'",
        ),
        # what an order says counts before the worklist, that before the tags, those before the sender
        (
            Facts(order_priority="R", patient_class="O", worklist_priority="STAT", calling_ae_title="ED_1"),
            "p4-routine",
            "p4-routine by rule order-routine-outpatient: order priority matches 'R' and "
            "patient class matches 'O'",
        ),
        (Facts(order_priority="A"), "p2-urgent", "p2-urgent by rule order-asap: order priority matches 'A'"),
        (
            Facts(order_priority="A", patient_class="E"),
            "p1-emergency",
            "p1-emergency by rule order-asap-emergency: order priority matches 'A' and patient class matches 'E'",
        ),
        (
            Facts(patient_class="E", requested_procedure_priority="LOW"),
            "p2-urgent",
            "p2-urgent by rule emergency-patient: patient class matches 'E'",
        ),
        (
            Facts(patient_location="Приймальне відділення"),
            "p2-urgent",
            "p2-urgent by rule emergency-department: patient location matches 'приймальн*'",
        ),
        (
            Facts(worklist_priority="LOW", requested_procedure_priority="STAT"),
            "p4-routine",
            "p4-routine by rule worklist-low: worklist priority matches 'LOW*'",
        ),
        # STAT stands inside another word, and a title only resembles one of the emergency room's.
        (Facts(study_description="MR prostate"), "p3-normal", "p3-normal by default: no rule matched"),
        (Facts(calling_ae_title="MED_1"), "p3-normal", "p3-normal by default: no rule matched"),
    ],
)
def test_the_first_rule_that_matches_decides_and_says_so(facts: Facts, priority: str, reason: str) -> None:
    decision = RULES.decide(facts)
    assert (decision.priority.value, decision.reason) == (priority, reason)


def test_the_reason_quotes_the_rule_and_never_the_study() -> None:
    decision = RULES.decide(Facts(study_description="stroke, Іваненко Іван"))
    assert "Іваненко" not in decision.reason


def test_age_decides_where_it_is_known() -> None:
    rules = parse_rules(
        TEXT.replace(
            "  - name: screening",
            "  - { name: newborn, priority: p2-urgent, when: { age_years: { maximum: 0.1 } } }\n"
            "  - name: screening",
        ),
        "test",
    )
    assert rules.decide(Facts(age_years=0.05)).reason == "p2-urgent by rule newborn: age years are at most 0.1"
    assert rules.decide(Facts()).priority is Priority.P3_NORMAL
    assert rules.decide(Facts(age_years=30.0)).priority is Priority.P3_NORMAL


def test_a_task_may_wait_for_its_hours_and_its_times_count_from_then() -> None:
    rules = parse_rules(
        TEXT.replace("windows: []", "windows: [{ priority: [p4-routine], begin: 20:00, end: 06:00 }]")
        .replace("time_zone: UTC", "time_zone: Europe/Kyiv")
        .replace("priority: p4-routine\n", "priority: p4-routine\n    useful_for_s: 86400\n"),
        "test",
    )
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    routine = rules.decide(Facts(requested_procedure_priority="LOW"))
    times = rules.times(routine, noon)
    assert times.not_before == datetime(2026, 11, 23, 18, tzinfo=UTC)
    assert times.deadline == datetime(2026, 11, 23, 22, tzinfo=UTC)
    assert times.useful_until == datetime(2026, 11, 24, 18, tzinfo=UTC)
    assert rules.times(routine, noon + timedelta(hours=8)).not_before is None
    assert rules.times(rules.decide(Facts()), noon).not_before is None
    assert rules.windowed == {Priority.P4_ROUTINE}


def test_all_conditions_of_a_rule_must_hold() -> None:
    rules = parse_rules(
        TEXT.replace(
            "  - name: screening",
            "  - name: head-ct\n    priority: p2-urgent\n"
            "    when: { modality: [CT], body_part: [head, brain], called_ae_title: [SCANSTREAM] }\n"
            "  - name: screening",
        ),
        "test",
    )
    facts = Facts(frozenset({"SR", "CT"}), frozenset({"BRAIN"}), called_ae_title="SCANSTREAM")
    assert rules.decide(facts).reason == (
        "p2-urgent by rule head-ct: called ae title matches 'SCANSTREAM' and modality matches 'CT' "
        "and body part matches 'brain'"
    )
    assert rules.decide(Facts(frozenset({"CT"}), called_ae_title="SCANSTREAM")).priority is Priority.P3_NORMAL


@pytest.mark.parametrize(
    ("facts", "periods"),
    [
        (Facts(frozenset({"MR"})), Periods(5, 0.5, 600)),
        (Facts(frozenset({"US"})), Periods(30, 5, 1800)),
        (Facts(frozenset({"US"}), requested_procedure_priority="STAT"), Periods(2, 0.2, 60, 2)),
    ],
)
def test_periods_depend_on_priority_and_modality(facts: Facts, periods: Periods) -> None:
    assert RULES.periods(facts) == periods


@pytest.mark.parametrize(("priority", "seconds"), [*zip(Priority, (60, 180, 1800, 14400), strict=True)])
def test_every_class_has_its_deadline(priority: Priority, seconds: float) -> None:
    assert RULES.deadlines_s.of(priority) == seconds


@pytest.mark.parametrize(
    ("pattern", "text", "whole", "found"),
    [
        ("brain", "MR BRAIN W/O", False, True),
        ("CT", "MCT", True, False),
        ("c?", "CT", True, True),
        ("*голов*", "КТ ГОЛОВИ", False, True),
        ("STRASSE", "straße", False, True),
        ("[[]stat]*", "[STAT] head", False, True),
    ],
)
def test_patterns(pattern: str, text: str, whole: bool, found: bool) -> None:
    assert (first_match((pattern,), (text,), whole=whole) is not None) is found


def test_a_filter_lets_through_what_is_included_and_not_excluded() -> None:
    chosen = TextFilter(include=("head", "brain"), exclude=("phantom",))
    assert [chosen.passes(text) for text in ("HEAD", "KNEE", "brain phantom", None, " ")] == [
        True,
        False,
        False,
        True,
        True,
    ]
    assert not TextFilter(accept_missing=False).passes(None)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("calling_ae_title:", "calling_ae:", r"line 58, priorities\.13\.when\.calling_ae: there is no such field"),
        ("p2-urgent: 180", 'p2-urgent: "180"', r"deadlines_s\.p2-urgent: Input should be a valid number"),
        ("p2-urgent: 180", "", r"deadlines_s\.p2-urgent: the field is missing"),
        ("priority: p1-emergency\n", "priority: p0\n", r"priorities\.0\.priority: Input should be 'p1-emergency'"),
        ("minimum_instances: 10", "minimum_instances: 0", r"minimum_instances: .*greater than or equal to 1"),
        ("name: screening", "name: urgent-words", r"the file: priorities has urgent-words more than once"),
        ("quiet_s: 5,", "quiet_s: 5000,", r"completeness\.2: released_s may not exceed quiet_s"),
        (
            "{ quiet_s: 5,",
            "{ modality: [MR], quiet_s: 5,",
            "the last entry of completeness must have no conditions",
        ),
        ("remember_days: 30", "remember_days: 30\nremember_days: 3", "remember_days: given twice"),
        ("priorities:\n", "priorities: [\n", "is not YAML"),
        ('when: { requested_procedure_priority: ["LOW*"] }', "when: {}", "needs at least one condition"),
        (
            "  - name: worklist-stat",
            "  - { name: child, priority: p2-urgent, when: { age_years: { maximum: 1 } } }\n"
            "  - name: worklist-stat",
            "rule worklist-stat looks at the worklist and stands after child, which looks at where the images "
            "come from: what counts more stands first",
        ),
        (
            "when: { patient_class: [E] }",
            "when: { patient_class: [E], age_years: {} }",
            r"line \d+, priorities\.3\.when\.age_years: give minimum, maximum or both",
        ),
        ("time_zone: UTC", "time_zone: Europe/Kiew", "'Europe/Kiew' is not known on this machine: .*Europe/Kyiv"),
        (
            "priority: p1-emergency\n",
            "priority: p1-emergency\n    useful_for_s: 30\n",
            "useful_for_s of rule order-stat ends before the deadline of its class, 60 s",
        ),
        (
            "windows: []",
            'windows: [{ priority: [p5], begin: "20:00", end: "06:00" }]',
            r"line \d+, windows\.0\.priority\.0: Input should be 'p1-emergency'",
        ),
        (
            "windows: []",
            'windows: [{ priority: [p1-emergency], begin: "20:00", end: "06:00" }]',
            r"windows\.0: an emergency never waits for a window: take p1-emergency out",
        ),
        (
            "windows: []",
            "windows: [{ priority: [p4-routine], begin: 20:00, end: 20:00 }]",
            r"windows\.0: begin and end are the same: leave the window out",
        ),
        (
            "windows: []",
            'windows: [{ priority: [p4-routine], begin: "8 pm", end: "06:00" }]',
            r'windows\.0\.begin: give a time of day such as "20:00"',
        ),
        (
            "windows: []",
            "windows:\n  - { priority: [p4-routine, p3-normal], begin: 20:00, end: 06:00 }\n"
            "  - { priority: [p4-routine], begin: 05:00, end: 08:00, days: [sat] }",
            "windows 1 and 2 overlap for p4-routine: make them one, or give them different days or hours",
        ),
        (
            "minimum_instances: 10",
            "minimum_instances: 10\n    requires: { all: [{ modality: [MR] }, { modalty: [CT] }] }",
            r"line \d+, routes\.0\.requires\.all\.1\.modalty: there is no such field",
        ),
        (
            "minimum_instances: 10",
            "minimum_instances: 10\n    requires: { any: [] }",
            r"routes\.0\.requires\.any: .*at least 1 item",
        ),
        (
            "minimum_instances: 10",
            "minimum_instances: 10\n    requires: {}",
            r"routes\.0\.requires: a condition on a series needs at least one field",
        ),
        (
            "minimum_instances: 10",
            "minimum_instances: 10\n    maximum_instances: 9",
            r"routes\.0: minimum_instances may not exceed maximum_instances",
        ),
        (
            "minimum_instances: 10",
            "minimum_instances: 10\n    orientation: [transversal]",
            r"routes\.0\.orientation\.0: Input should be 'axial', 'coronal', 'sagittal' or 'oblique'",
        ),
        (
            "minimum_instances: 10",
            "minimum_instances: 10\n    slice_spacing_mm: { minimum: 5, maximum: 1 }",
            r"routes\.0\.slice_spacing_mm: minimum may not exceed maximum",
        ),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(old: str, new: str, sentence: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        parse_rules(TEXT.replace(old, new, 1), "/etc/rules.yaml")
    said = str(caught.value)
    assert said.startswith("rules file /etc/rules.yaml")
    assert said.count("\n") == 0
    assert "correct it and start again" in said


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="set SCANSTREAM_STREAMS_RULES_FILE"):
        load_rules(tmp_path / "none.yaml")
    cp1251 = tmp_path / "cp1251.yaml"
    cp1251.write_bytes("revision: інсульт".encode("cp1251"))
    with pytest.raises(ConfigurationError, match="cannot be read as UTF-8"):
        load_rules(cp1251)


words = st.one_of(
    st.none(),
    st.sampled_from(["S", "A", "R", "STAT", "LOW", "HIGH", "E", "O", "I", "ED", "x"]),
    st.text(max_size=8),
)
anything = st.builds(
    Facts,
    modality=st.frozensets(st.sampled_from(["MR", "CT", "SR"])),
    study_description=st.one_of(st.none(), st.sampled_from(["stroke", "screening", "cito"]), st.text(max_size=12)),
    calling_ae_title=st.one_of(st.none(), st.sampled_from(["ED_CT", "MR_1"])),
    called_ae_title=st.one_of(st.none(), st.sampled_from(["AI_STAT", "AI"])),
    requested_procedure_priority=words,
    worklist_priority=words,
    order_priority=words,
    patient_class=words,
    patient_location=words,
    age_years=st.one_of(st.none(), st.floats(0, 120)),
)


@given(anything, anything)
def test_what_a_stronger_source_decided_no_weaker_one_changes(facts: Facts, other: Facts) -> None:
    decision = RULES.decide(facts)
    rule = next((rule for rule in RULES.priorities if f"by rule {rule.name}: " in decision.reason), None)
    if rule is None:
        return
    sources = {
        0: ("order_priority", "patient_class", "patient_location"),
        1: ("worklist_priority",),
        2: ("requested_procedure_priority",),
    }
    kept = {
        name: getattr(facts, name) for number in range(rule.when.source + 1) for name in sources.get(number, ())
    }
    if rule.when.source < 3:
        assert RULES.decide(replace(other, **kept)) == decision


@given(anything)
def test_a_decision_is_always_the_same_and_tells_nothing_of_the_study(facts: Facts) -> None:
    decision = RULES.decide(facts)
    assert decision == RULES.decide(replace(facts))
    marked = replace(facts, study_description=f"{facts.study_description or ''} Ім'я-4711")
    assert "4711" not in RULES.decide(marked).reason
    quoted = [part for part in re.findall(r"'(.*?)'", decision.reason) if part]
    assert all(part in TEXT for part in quoted)
    periods = RULES.periods(facts)
    assert 0 < periods.released_s <= periods.quiet_s <= periods.hard_cap_s
