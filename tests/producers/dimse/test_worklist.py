"""Modality Worklist: matching as a table, then DCMTK and pynetdicom as modalities."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE

from producers.dimse.identifier import Keys
from producers.dimse.receiving import receive_all
from producers.dimse.rights import MODALITY_WORKLIST
from producers.dimse.worklist_query import SCHEDULED_STEP_SEQUENCE, matches, parse, steps_of
from schemas.errors import InvalidMessage
from schemas.events import ClinicalContext, Code, ScheduledProcedureStep, WorklistItem
from tests.producers.dimse.around import department
from tests.schemas.test_contract import example
from tests.tools import need


def order(number: int, name: str, date: str, time: str | None, **changes: Any) -> ClinicalContext:
    """An order of one step."""
    step = ScheduledProcedureStep(f"SPS-{number}", "MR", "MR_ROOM_2", date, time, description="МРТ голови")
    item = WorklistItem(name, f"P-{number}", f"1.2.3.{number}", f"RP-{number}", (step,))
    base = example("ClinicalContext")
    assert isinstance(base, ClinicalContext)
    return replace(base, accession_number=f"A-{number}", worklist=replace(item, **changes))


CT = ScheduledProcedureStep("SPS-3a", "CT", "CT_1", "20261124", None, protocol=Code("CTHEAD", "99X", "КТ голови"))
ORDERS = [
    order(1, "Шевченко^Олена", "20261122", "0945", patient_birth_date="19610309", patient_sex="F"),
    order(2, "Ковальчук^Іван=Kovalchuk^Ivan", "20261123", "1430"),
    order(3, "Smith^John", "20261124", "080000.000", steps=(CT, replace(CT, step_id="SPS-3b", modality="PT"))),
]

NAME, PATIENT_ID, ACCESSION = 0x00100010, 0x00100020, 0x00080050
MODALITY, STATION, DATE, TIME = 0x00080060, 0x00400001, 0x00400002, 0x00400003


@pytest.mark.parametrize(
    ("keys", "step_keys", "found"),
    [
        ({}, {}, "1 2 3a 3b"),
        ({}, {DATE: "20261122"}, "1"),
        ({}, {DATE: "20261123-"}, "2 3a 3b"),
        ({}, {DATE: "-20261123"}, "1 2"),
        ({}, {DATE: "20261122-20261123"}, "1 2"),
        # a range of dates with a range of times is one period
        ({}, {DATE: "20261122-20261123", TIME: "0950-1500"}, "2"),
        ({}, {DATE: "20261122-20261123", TIME: "0930-10"}, "1"),
        ({}, {DATE: "20261122-20261123", TIME: "0930-1430"}, "1 2"),
        ({}, {DATE: "20261122", TIME: "0945"}, "1"),
        ({}, {TIME: "14-"}, "2 3a 3b"),
        ({}, {MODALITY: "MR"}, "1 2"),
        ({}, {MODALITY: "PT", STATION: "CT_1"}, "3b"),
        ({}, {STATION: "CT_2"}, ""),
        ({NAME: "шевченко*"}, {}, "1"),
        ({NAME: "Шевченко"}, {}, "1"),
        ({NAME: "kovalchuk^ivan"}, {}, "2"),
        ({NAME: "Ков?льчук*"}, {}, "2"),
        ({PATIENT_ID: "P-3"}, {}, "3a 3b"),
        ({PATIENT_ID: "p-3"}, {}, ""),
        ({ACCESSION: "A-2", 0x00321060: "*"}, {}, "2"),
        ({0x0020000D: "1.2.3.1\\1.2.3.2"}, {}, "1 2"),
        ({0x00100030: "19610309"}, {}, "1"),
        # what is no key of ours narrows nothing
        ({0x00101030: "70"}, {0x00400006: ""}, "1 2 3a 3b"),
    ],
)
def test_matching(keys: dict[int, str], step_keys: dict[int, str], found: str) -> None:
    query = parse(Keys(keys, {SCHEDULED_STEP_SEQUENCE: Keys(step_keys)}))
    answered = [one.step.step_id for one in steps_of(ORDERS) if matches(query, one)]
    assert answered == [f"SPS-{name}" for name in found.split()]


@pytest.mark.parametrize(("tag", "value"), [(DATE, "tomorrow"), (DATE, "2026-11-22"), (TIME, "9")])
def test_what_is_no_date_or_time_is_refused(tag: int, value: str) -> None:
    with pytest.raises(InvalidMessage, match="no range"):
        parse(Keys({}, {SCHEDULED_STEP_SEQUENCE: Keys({tag: value})}))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with department(tmp_path, lambda: ORDERS) as scp:
        yield scp.port


def query(**step: str) -> Dataset:
    """Identifier with the usual return keys."""
    data, item = Dataset(), Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientWeight", "AccessionNumber"):
        setattr(data, keyword, "")
    data.StudyInstanceUID = data.RequestedProcedureID = ""
    for keyword in ("Modality", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepID"):
        setattr(item, keyword, step.get(keyword, ""))
    item.ScheduledProcedureStepDescription = ""
    data.ScheduledProcedureStepSequence = [item]
    return data


def ask(port: int, data: Dataset) -> list[tuple[int, Dataset | None]]:
    entity = AE("MODALITY")
    entity.add_requested_context(MODALITY_WORKLIST)
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    receive_all(association)
    answers = [(int(status.Status), found) for status, found in association.send_c_find(data, MODALITY_WORKLIST)]
    association.release()
    return answers


@pytest.mark.integration
def test_answers_hold_what_was_asked_for_in_unicode(port: int) -> None:
    *answers, last = ask(port, query())
    assert [status for status, _ in answers] == [0xFF00] * 4
    assert last == (0x0000, None)
    first = answers[0][1]
    assert first is not None
    assert first.SpecificCharacterSet == "ISO_IR 192"
    assert (str(first.PatientName), first.PatientBirthDate) == ("Шевченко^Олена", "19610309")
    assert (first.AccessionNumber, first.StudyInstanceUID, first.PatientWeight) == ("A-1", "1.2.3.1", None)
    (step,) = first.ScheduledProcedureStepSequence
    assert (step.ScheduledProcedureStepDescription, step.Modality) == ("МРТ голови", "MR")
    assert "PatientSex" not in first
    assert "ScheduledStationAETitle" not in step


@pytest.mark.integration
def test_a_sequence_without_keys_asks_for_all_of_it(port: int) -> None:
    data = query()
    data.ScheduledProcedureStepSequence = []
    data.AccessionNumber = "A-3"
    found = ask(port, data)[0][1]
    assert found is not None
    (step,) = found.ScheduledProcedureStepSequence
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledStationAETitle) == ("20261124", "CT_1")
    assert step.ScheduledProtocolCodeSequence[0].CodeMeaning == "КТ голови"


@pytest.mark.integration
def test_an_unknown_attribute_is_said_to_be_unsupported(port: int) -> None:
    data = query()
    data.add_new(0x00091001, "LO", "")
    assert [status for status, _ in ask(port, data)] == [0xFF01] * 4 + [0x0000]


@pytest.mark.integration
def test_what_cannot_be_answered_is_said(tmp_path: Path, port: int) -> None:
    assert ask(port, query(ScheduledProcedureStepStartDate="20261122-XX")) == [(0xA900, None)]
    (tmp_path / "unread").mkdir()
    with department(tmp_path / "unread", lambda: None) as unread:
        assert ask(unread.port, query()) == [(0xA700, None)]


@pytest.mark.integration
def test_a_query_is_cancelled(tmp_path: Path) -> None:
    many = [order(number, "Doe^Jane", "20261122", None) for number in range(5000)]
    with department(tmp_path, lambda: many) as scp:
        entity = AE("MODALITY")
        entity.add_requested_context(MODALITY_WORKLIST)
        association = entity.associate("127.0.0.1", scp.port)
        receive_all(association)
        statuses: list[int] = []
        for status, _ in association.send_c_find(query(), MODALITY_WORKLIST, msg_id=7):
            if not statuses:
                association.send_c_cancel(7, query_model=MODALITY_WORKLIST)
            statuses.append(int(status.Status))
        association.release()
    assert statuses[-1] == 0xFE00
    assert len(statuses) < 5000


@pytest.mark.integration
@pytest.mark.dcmtk
def test_dcmtk_as_modality(port: int) -> None:
    key = "(0040,0100)[0]"
    keys = [f"{key}.Modality=MR", f"{key}.ScheduledProcedureStepStartDate=20261101-20261130"]
    keys += [f"{key}.ScheduledProcedureStepID", "PatientName=Шевченко*", "SpecificCharacterSet=ISO_IR 192"]
    command = [need("findscu"), "-W", "-aet", "MODALITY", "127.0.0.1", str(port)]
    for item in keys:
        command += ["-k", item]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "SPS-1" in said
    assert "Шевченко^Олена" in said
    assert said.count("SPS-") == 1


@pytest.mark.integration
def test_pynetdicom_findscu_as_modality(port: int) -> None:
    command = [sys.executable, "-m", "pynetdicom", "findscu", "-W", "127.0.0.1", str(port)]
    keys = ("PatientName=Sm*", "AccessionNumber", "ScheduledProcedureStepSequence[0].Modality=CT")
    for key in keys:
        command += ["-k", key]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    said = (done.stdout + done.stderr).decode()
    assert "A-3" in said
    assert said.count("A-3") == 1
