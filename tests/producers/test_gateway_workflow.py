"""Storage commitment and procedure steps with the gateway as a process: killed, and in front of the assembler."""

from __future__ import annotations

import queue
import signal
import time
from pathlib import Path

import pytest
from pynetdicom import AE

from producers.dimse.procedure_step import SOP_CLASS
from producers.dimse.receiving import receive_all
from schemas.events import HintKind, ReadyReason, StudyReady
from schemas.topics import Topic
from streams.rules_file import DEFAULT_FILE
from tests.producers.dimse.around import known_peer
from tests.producers.dimse.peer import MR
from tests.producers.dimse.test_commitment import Scu, ask, images, new_uid, request, send
from tests.producers.dimse.test_procedure_step import begun, change, create, done
from tests.producers.test_gateway import gateway, published
from tests.services import stop
from tests.streams.running import Seen, processor
from tests.tools import free_port

pytestmark = pytest.mark.integration


def test_killed_between_request_and_report_it_reports_after_its_start_and_once(tmp_path: Path) -> None:
    scu, port, nowhere = Scu(), free_port(), f"127.0.0.1:{free_port()}"
    peers = tmp_path / "peers.yaml"
    known_peer(peers, scu.title, port)
    settings = {"SCANSTREAM_GATEWAY_PEERS_FILE": str(peers), "SCANSTREAM_GATEWAY_COMMITMENT_GRACE_S": "60"}
    with gateway(tmp_path, nowhere, "killed", **settings) as running:
        association = scu.associate(running.dimse)
        references = send(association, images(2))
        late = images(1)[0]
        expected = [*references, (MR, str(late.SOPInstanceUID))]
        data = request(expected)
        # the third image is still under way, so the report is not sent before the kill
        assert ask(association, data) == 0
        running.child.send_signal(signal.SIGKILL)
        running.child.wait(60)
        association.abort()
    with scu.listening(port), gateway(tmp_path, nowhere, "killed", **settings) as running:
        association = scu.associate(running.dimse)
        send(association, [late])
        event_type, report = scu.report()
        assert (event_type, report.TransactionUID) == (1, data.TransactionUID)
        assert len(report.ReferencedSOPSequence) == 3
        association.release()
        assert stop(running.child) == 0
    with scu.listening(port), gateway(tmp_path, nowhere, "killed", **settings), pytest.raises(queue.Empty):
        scu.reports.get(timeout=2.0)


def test_a_completed_step_makes_the_study_ready_before_its_quiet_period(kafka: str, tmp_path: Path) -> None:
    quiet_s = 300
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        DEFAULT_FILE.read_text(encoding="utf-8").replace("{ quiet_s: 5,", f"{{ quiet_s: {quiet_s},"),
        encoding="utf-8",
    )
    node = f"node-{new_uid()[-12:]}"
    with (
        Seen(kafka, Topic.STUDIES) as seen,
        processor(kafka, tmp_path / "streams.log", node=node, rules=rules),
        gateway(tmp_path, kafka, node) as running,
    ):
        entity = AE("MODALITY")
        entity.add_requested_context(SOP_CLASS)
        steps = entity.associate("127.0.0.1", running.dimse)
        receive_all(steps)
        made = images(12)
        study, step = str(made[0].StudyInstanceUID), new_uid()
        assert create(steps, begun(study), step) == 0
        # an association for each half, and neither is released: only the step tells that this is all
        halves = [Scu().associate(running.dimse) for _ in range(2)]
        started = time.monotonic()
        for association, part in zip(halves, (made[:6], made[6:]), strict=True):
            send(association, part)
        assert change(steps, done([str(data.SOPInstanceUID) for data in made]), step) == 0
        seen.wait_for([study], StudyReady)
        took = time.monotonic() - started
        for association in (*halves, steps):
            association.release()
        told = running.log.read_text()
    assert "performed procedure step" in told
    assert not any(identity in told for identity in ("SECRET-ID", "Шевченко", "SECRET^PATIENT"))
    (ready,) = seen.studies(study)
    assert (ready.reason, ready.instance_count) == (ReadyReason.MPPS_COMPLETED, 12)
    assert took < quiet_s / 2
    kinds = [getattr(event, "kind", None) for event in published(kafka, study)]
    assert HintKind.MPPS_COMPLETED in kinds
