"""From an HL7 message to what it is for: a queued study that is served sooner, and what a modality asks for."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from schemas.events import CommandKind, InferenceTask, InstanceStored, TaskCommand
from schemas.settings import KafkaSettings
from schemas.topics import Priority, Topic
from tests.producers.dimse.test_commitment import Scu, images, send
from tests.producers.dimse.test_worklist import ask, query
from tests.producers.hl7.listening import Running, codes, listening, of_key
from tests.producers.hl7.orders import admission, field, lines, msh, pid
from tests.producers.test_gateway import gateway, published
from tests.services import wait_for
from tests.streams.running import Seen, Sender, processor
from tests.streams.samples import instance, new_study

pytestmark = pytest.mark.integration


def order(accession: str, patient: str, *, control: str = "NW", priority: str = "R") -> bytes:
    today = f"{datetime.now(UTC):%Y%m%d}120000"
    return lines(
        msh("ORM^O01", f"{accession}.{control}.{priority}", "2.3.1"),
        pid(patient),
        field("ORC", {1: control, 3: accession, 7: f"^^^{today}^^{priority}"}),
        field("OBR", {1: "1", 4: "MRBRAIN^МРТ голови", 18: accession, 24: "MR"}),
    )


def test_a_stat_order_lets_a_queued_study_go_first(kafka: str, tmp_path: Path) -> None:
    run, study = random.randrange(10**12), new_study()
    accession, patient = f"A{run}", f"P{run}"
    with (
        Seen(kafka, Topic.COMMANDS, Topic.TASKS_P1, Topic.TASKS_P2, Topic.TASKS_P3, Topic.TASKS_P4) as seen,
        listening(KafkaSettings(bootstrap_servers=kafka), tmp_path) as listener,
        processor(kafka, tmp_path / "streams.log", node=f"n{run}"),
    ):
        Sender(kafka).send(*(instance(study, number, accession_number=accession) for number in range(12)))
        seen.wait_for([study], InferenceTask)
        assert codes(listener.send(order(accession, patient))) == ["AA"]
        assert codes(listener.send(order(accession, patient, control="XO", priority="S"))) == ["AA"]
        seen.wait_for([study], TaskCommand)
        (task,) = seen.of(study, InferenceTask)
        (command,) = seen.of(study, TaskCommand)
    assert isinstance(task, InferenceTask)
    assert isinstance(command, TaskCommand)
    assert task.priority is Priority.P3_NORMAL
    assert (command.kind, command.task_id) == (CommandKind.UPGRADE, task.task_id)
    assert command.priority is Priority.P1_EMERGENCY


def test_gateway_and_listener_of_a_machine_mean_the_same_patient(
    kafka: str, kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    run = random.randrange(10**12)
    accession, patient, node = f"A{run}", f"P{run}", f"n{run}"
    # neither is given a secret: the one that starts first makes it
    with (
        gateway(tmp_path, kafka, node) as running,
        listening(kafka_settings, tmp_path, node, SCANSTREAM_PATIENT_KEY_SECRET="") as listener,
    ):
        (image,) = images(1)
        image.PatientID, image.IssuerOfPatientID, image.PatientBirthDate = patient, "HOSP", "19610309"
        association = Scu().associate(running.dimse)
        send(association, [image])
        association.release()
        study = str(image.StudyInstanceUID)
        wait_for(lambda: any(isinstance(one, InstanceStored) for one in published(kafka, study)), "the event")
        (stored,) = (one for one in published(kafka, study) if isinstance(one, InstanceStored))
        assert codes(listener.send(admission("A01", f"adm{run}", patient=pid(patient)))) == ["AA"]
        assert stored.patient_key is not None
        (admitted,) = of_key(kafka_settings, stored.patient_key, 1)
        assert admitted is not None
        assert admitted.patient_class == "E"
        _worklist_follows(listener, running.dimse, accession, patient)


def _worklist_follows(listener: Running, dimse: int, accession: str, patient: str) -> None:
    def scheduled() -> Dataset | None:
        found = (answer for _, answer in ask(dimse, query(Modality="MR")) if answer is not None)
        return next((answer for answer in found if answer.AccessionNumber == accession), None)

    assert codes(listener.send(order(accession, patient))) == ["AA"]
    wait_for(lambda: scheduled() is not None, "the order in the worklist")
    found = scheduled()
    assert found is not None
    assert found.PatientID == patient
    assert found.ScheduledProcedureStepSequence[0].ScheduledProcedureStepDescription == "МРТ голови"
    for control, there in (("HD", False), ("RL", True), ("CA", False)):
        assert codes(listener.send(order(accession, patient, control=control))) == ["AA"]
        wait_for(lambda there=there: (scheduled() is not None) is there, f"the worklist after {control}")
