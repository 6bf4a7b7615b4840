"""Performed procedure steps and availability notifications with pynetdicom as SCU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from producers.dimse.procedure_step import SOP_CLASS
from producers.dimse.receiving import receive_all
from producers.dimse.rights import INSTANCE_AVAILABILITY
from schemas.events import HintKind
from tests.producers.dimse.around import Department, department
from tests.producers.dimse.peer import MR
from tests.producers.dimse.test_commitment import Scu, images, new_uid, send

pytestmark = pytest.mark.integration

MPPS = HintKind.MPPS_COMPLETED


@pytest.fixture
def scp(tmp_path: Path) -> Iterator[Department]:
    with department(tmp_path) as found:
        yield found


@pytest.fixture
def modality(scp: Department) -> Iterator[Any]:
    entity = AE("MODALITY")
    for uid in (SOP_CLASS, INSTANCE_AVAILABILITY):
        entity.add_requested_context(uid)
    association = entity.associate("127.0.0.1", scp.port)
    assert association.is_established
    receive_all(association)
    yield association
    association.release()


def data_set(**values: object) -> Dataset:
    data = Dataset()
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def begun(*studies: str, **changes: object) -> Dataset:
    """Attributes of an N-CREATE."""
    values: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Шевченко^Олена",
        "PatientID": "SECRET-ID",
        "ScheduledStepAttributesSequence": [data_set(StudyInstanceUID=study) for study in studies],
        "PerformedProcedureStepID": "PPS-1",
        "PerformedStationAETitle": "MODALITY",
        "PerformedProcedureStepStartDate": "20261122",
        "PerformedProcedureStepStartTime": "0930",
        "PerformedProcedureStepStatus": "IN PROGRESS",
        "PerformedSeriesSequence": [],
        "Modality": "MR",
    }
    return data_set(**{key: value for key, value in (values | changes).items() if value is not None})


def done(instances: Sequence[str], status: str = "COMPLETED", **changes: object) -> Dataset:
    """Attributes of the last N-SET."""
    half = len(instances) // 2
    items = [data_set(ReferencedSOPClassUID=MR, ReferencedSOPInstanceUID=uid) for uid in instances]
    series = data_set(
        SeriesInstanceUID=new_uid(),
        ProtocolName="Голова",
        ReferencedImageSequence=items[:half],
        ReferencedNonImageCompositeSOPInstanceSequence=items[half:],
    )
    values: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PerformedProcedureStepStatus": status,
        "PerformedProcedureStepEndDate": "20261122",
        "PerformedProcedureStepEndTime": "0950",
        "PerformedSeriesSequence": [series],
    }
    return data_set(**{key: value for key, value in (values | changes).items() if value is not None})


def create(modality: Any, data: Dataset, uid: str | None) -> int:
    return int(modality.send_n_create(data, SOP_CLASS, uid)[0].Status)


def change(modality: Any, data: Dataset, uid: str) -> int:
    return int(modality.send_n_set(data, SOP_CLASS, uid)[0].Status)


def test_a_completed_step_tells_how_many_instances_its_study_has(scp: Department, modality: Any) -> None:
    study, uid = new_uid(), new_uid()
    assert create(modality, begun(study), uid) == 0
    assert change(modality, data_set(SpecificCharacterSet="ISO_IR 192", StudyID="під час"), uid) == 0
    assert scp.promises() == []
    assert change(modality, done([new_uid() for _ in range(5)]), uid) == 0
    assert scp.promises() == [(MPPS, study, 5)]


def test_the_steps_of_a_study_are_counted_together_once_none_is_in_progress(
    scp: Department, modality: Any
) -> None:
    study, first, second, stopped = new_uid(), new_uid(), new_uid(), new_uid()
    shared = new_uid()
    for uid in (first, second, stopped):
        assert create(modality, begun(study), uid) == 0
    assert change(modality, done([new_uid(), shared]), first) == 0
    assert change(modality, done([new_uid()], "DISCONTINUED"), stopped) == 0
    assert scp.promises() == []
    assert change(modality, done([new_uid(), shared]), second) == 0
    assert scp.promises() == [(MPPS, study, 3)]


def test_a_step_of_several_studies_tells_of_each_once_its_instances_are_stored(
    scp: Department, modality: Any
) -> None:
    storing = Scu().associate(scp.port)
    one, other = images(2), images(1)
    sent = [sop for _, sop in send(storing, [*one, *other])]
    storing.release()
    studies = [str(data[0].StudyInstanceUID) for data in (one, other)]
    for instances in ([*sent, new_uid()], sent):
        uid = new_uid()
        assert create(modality, begun(*studies), uid) == 0
        assert change(modality, done(instances), uid) == 0
    assert sorted(scp.promises()) == sorted([(MPPS, studies[0], 2), (MPPS, studies[1], 1)])


def test_a_final_step_is_not_changed_any_more_also_after_a_restart(tmp_path: Path) -> None:
    uids = [new_uid(), new_uid()]
    for run in range(2):
        with department(tmp_path) as scp:
            entity = AE("MODALITY")
            entity.add_requested_context(SOP_CLASS)
            association: Any = entity.associate("127.0.0.1", scp.port)
            receive_all(association)
            for uid, status in zip(uids, ("COMPLETED", "DISCONTINUED"), strict=True):
                if run == 0:
                    assert create(association, begun(new_uid()), uid) == 0
                    assert change(association, done([new_uid()], status), uid) == 0
                answer, _ = association.send_n_set(done([new_uid()]), SOP_CLASS, uid)
                assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)
                assert create(association, begun(new_uid()), uid) == 0x0111
            association.release()
    kept = (tmp_path / "gateway/services.sqlite").read_bytes()
    assert not any(secret.encode() in kept for secret in ("SECRET-ID", "Шевченко", "Голова"))


def test_a_step_without_a_name_gets_one(scp: Department, modality: Any) -> None:
    named: list[str] = []
    modality.bind(evt.EVT_DIMSE_RECV, lambda event: named.append(event.message.command_set.AffectedSOPInstanceUID))
    assert create(modality, begun(new_uid()), None) == 0
    (uid,) = named
    assert uid.startswith("2.25.")
    assert change(modality, done([new_uid()]), uid) == 0


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"PerformedProcedureStepStatus": "COMPLETED"}, 0x0106),
        ({"PerformedProcedureStepStatus": None}, 0x0120),
        ({"PerformedStationAETitle": ""}, 0x0121),
        ({"Modality": None}, 0x0120),
        ({"ScheduledStepAttributesSequence": []}, 0x0121),
        ({"ScheduledStepAttributesSequence": [Dataset()]}, 0x0121),
    ],
)
def test_a_step_without_what_it_must_have_is_not_created(
    modality: Any, changes: dict[str, object], status: int
) -> None:
    uid = new_uid()
    assert create(modality, begun(new_uid(), **changes), uid) == status
    assert change(modality, done([new_uid()]), uid) == 0x0112


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"PerformedProcedureStepStatus": "FINISHED"}, 0x0106),
        ({"PerformedSeriesSequence": None}, 0x0121),
        ({"PerformedSeriesSequence": []}, 0x0121),
        ({"PerformedProcedureStepEndTime": None}, 0x0120),
    ],
)
def test_a_step_without_what_it_must_have_is_not_completed(
    scp: Department, modality: Any, changes: dict[str, Any], status: int
) -> None:
    uid = new_uid()
    assert create(modality, begun(new_uid()), uid) == 0
    assert change(modality, done([new_uid()], **changes), uid) == status
    assert scp.promises() == []
    assert change(modality, done([new_uid()]), uid) == 0


def notification(study: str, states: Sequence[str]) -> Dataset:
    items = [
        data_set(
            ReferencedSOPClassUID=MR,
            ReferencedSOPInstanceUID=new_uid(),
            InstanceAvailability=state,
            RetrieveAETitle="PACS",
        )
        for state in states
    ]
    series = data_set(SeriesInstanceUID=new_uid(), ReferencedSOPSequence=items)
    return data_set(
        ReferencedPerformedProcedureStepSequence=[], StudyInstanceUID=study, ReferencedSeriesSequence=[series]
    )


def test_a_study_that_is_online_elsewhere_tells_how_many_instances_it_has(scp: Department, modality: Any) -> None:
    def notify(data: Dataset) -> int:
        return int(modality.send_n_create(data, INSTANCE_AVAILABILITY, new_uid())[0].Status)

    study = new_uid()
    assert notify(notification(study, ["ONLINE"] * 4)) == 0
    assert notify(notification(new_uid(), ["ONLINE", "NEARLINE"])) == 0
    assert scp.promises() == [(HintKind.INSTANCE_AVAILABILITY, study, 4)]
    assert notify(notification("", ["ONLINE"])) == 0x0120
    assert notify(notification(study, ["SOMEWHERE"])) == 0x0106
    assert notify(notification(study, [])) == 0x0121
    assert notify(data_set(StudyInstanceUID=study)) == 0x0120
