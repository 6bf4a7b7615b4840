"""HL7 orders over MLLP and images by C-STORE, real processes: the two meet, whoever comes first."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from producers.patient_key import PatientKeys
from schemas.events import CommandKind, InferenceTask, TaskCommand
from schemas.settings import KafkaSettings
from schemas.topics import Priority
from tests.producers.dimse.peer import send_files
from tests.producers.hl7.listening import SECRET, codes, listening
from tests.producers.hl7.orders import merge, old_order, pid
from tests.producers.store.data import image
from tests.producers.test_gateway import gateway
from tests.streams.running import Seen, processor
from tests.streams.samples import new_study
from tests.streams.test_orders_on_kafka import TOPICS, commands, tasks

pytestmark = pytest.mark.integration


def scanned(folder: Path, study: str, patient: str, accession: str, count: int = 12) -> list[Path]:
    """Files of one axial series."""
    folder.mkdir()
    files = []
    for number in range(count):
        ds = image(
            f"{study}.1.{number}",
            study,
            PatientID=patient,
            IssuerOfPatientID="HOSP",
            AccessionNumber=accession,
            BodyPartExamined="HEAD",
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-100, -100, 4.5 * number],
            SliceThickness=4,
        )
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        files.append(folder / f"{number}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    return files


def test_orders_meet_their_studies_before_and_after(kafka: str, tmp_path: Path) -> None:
    run = random.randrange(10**9)
    before, after = new_study(), new_study()
    node = f"node-{run}"

    def order(number: int, control: str, priority: str, doing: str = "NW") -> bytes:
        return old_order(f"A{number}-{run}", f"{control}{run}", priority, doing, patient=pid(f"P{number}-{run}"))

    with (
        listening(KafkaSettings(bootstrap_servers=kafka), tmp_path) as listener,
        gateway(tmp_path, kafka, node, SCANSTREAM_PATIENT_KEY_SECRET=SECRET) as running,
        processor(kafka, tmp_path / "streams", node=node),
        Seen(kafka, *TOPICS) as seen,
    ):
        assert codes(listener.send(order(1, "C1", "S"), order(2, "C2", "R"))) == ["AA", "AA"]
        for number, study in ((1, before), (2, after)):
            files = scanned(tmp_path / study, study, f"P{number}-{run}", f"A{number}-{run}")
            assert set(send_files(running.dimse, files)) == {0}
        seen.wait_for([before, after], InferenceTask)
        (urgent,), (waiting,) = tasks(seen, before), tasks(seen, after)
        assert urgent.priority is Priority.P1_EMERGENCY
        assert urgent.priority_reason == "p1-emergency by rule order-stat: order priority matches 'S'"
        assert urgent.patient_key == PatientKeys(SECRET.encode()).key(f"P1-{run}", "HOSP")
        (series,) = urgent.series
        assert (series.orientation, series.slice_spacing_mm, series.slice_thickness_mm) == ("axial", 4.5, 4.0)
        assert series.position_range_mm == (0.0, 49.5)
        assert waiting.priority is not Priority.P1_EMERGENCY
        # the patient gets another number, then the order turns out to be urgent, and is cancelled in the end
        assert (
            codes(listener.send(merge(f"NEW-{run}", f"P2-{run}", f"C3{run}"), order(2, "C4", "S", "XO")))
            == ["AA"] * 2
        )
        seen.wait_for([after], TaskCommand)
        assert codes(listener.send(order(2, "C5", "S", "CA"))) == ["AA"]
        seen.wait_for([after], TaskCommand, 2)
        upgrade, cancel = commands(seen, after)
        assert (upgrade.kind, upgrade.priority) == (CommandKind.UPGRADE, Priority.P1_EMERGENCY)
        assert (cancel.kind, cancel.task_id) == (CommandKind.CANCEL, waiting.task_id)
        assert commands(seen, before) == []
    log = (tmp_path / "streams").read_text()
    assert str(run) not in log.replace(node, "")
