"""Storage commitment with pynetdicom as SCU: reports on the same association and on new ones."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID
from pynetdicom import AE, evt

from producers.dimse import commitment_reports
from producers.dimse.commitment import WELL_KNOWN_INSTANCE
from producers.dimse.commitment_reports import pause_s
from producers.dimse.receiving import receive_all
from producers.dimse.rights import STORAGE_COMMITMENT
from producers.store import commitments
from schemas.errors import DestinationUnavailable
from schemas.events import HintKind
from tests.producers.dimse.around import Department, department, known_peer
from tests.producers.dimse.peer import EXPLICIT, MR
from tests.producers.store.data import image
from tests.services import wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration

WAIT_S = 60.0


class Scu:
    """A modality: sends images, asks for their commitment, and hears reports."""

    def __init__(self, title: str = "MODALITY") -> None:
        self.title = title
        self.reports: queue.Queue[tuple[int, Dataset]] = queue.Queue()
        self.statuses: list[int] = []

    @property
    def handlers(self) -> list[Any]:
        return [(evt.EVT_N_EVENT_REPORT, self._hear)]

    def _hear(self, event: evt.Event) -> tuple[int, None]:
        self.reports.put((int(event.event_type or 0), event.event_information))
        return (self.statuses.pop(0) if self.statuses else 0x0000), None

    def associate(self, port: int) -> Any:
        entity = AE(self.title)
        entity.add_requested_context(STORAGE_COMMITMENT)
        entity.add_requested_context(MR, EXPLICIT)
        association = entity.associate("127.0.0.1", port, evt_handlers=self.handlers)
        assert association.is_established
        receive_all(association)
        return association

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        """Take associations for reports, as SCU of the service (role selection)."""
        entity = AE(self.title)
        entity.add_supported_context(STORAGE_COMMITMENT, scu_role=False, scp_role=True)
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=self.handlers)
        try:
            yield
        finally:
            assert server is not None
            server.shutdown()

    def report(self) -> tuple[int, Dataset]:
        return self.reports.get(timeout=WAIT_S)


def request(references: Sequence[tuple[str, str]], transaction: str | None = None, **changes: object) -> Dataset:
    data = Dataset()
    data.TransactionUID = transaction or new_uid()
    data.ReferencedSOPSequence = []
    for sop_class, sop in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop
        data.ReferencedSOPSequence.append(item)
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    return data


def ask(association: Any, data: Dataset | None, action: int = 1, instance: str = WELL_KNOWN_INSTANCE) -> int:
    status, _ = association.send_n_action(data, action, STORAGE_COMMITMENT, instance)
    return int(status.Status)


def new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def images(count: int) -> list[Dataset]:
    study = new_uid()
    made = [image(sop=new_uid(), study=study) for _ in range(count)]
    for data in made:
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    return made


def send(association: Any, data_sets: Sequence[Dataset]) -> list[tuple[str, str]]:
    for data in data_sets:
        assert association.send_c_store(data).Status == 0
    return [(str(data.SOPClassUID), str(data.SOPInstanceUID)) for data in data_sets]


def referenced(data: Dataset, keyword: str = "ReferencedSOPSequence") -> set[str]:
    return {str(item.ReferencedSOPInstanceUID) for item in data.get(keyword) or ()}


@pytest.fixture
def scp(tmp_path: Path) -> Iterator[Department]:
    with department(tmp_path) as found:
        yield found


def test_reports_on_the_same_association_that_all_is_committed(scp: Department) -> None:
    scu = Scu()
    association = scu.associate(scp.port)
    sent = images(3)
    references = send(association, sent)
    data = request(references)
    assert ask(association, data) == 0
    event_type, report = scu.report()
    assert (event_type, report.TransactionUID) == (1, data.TransactionUID)
    assert referenced(report) == {sop for _, sop in references}
    assert "FailedSOPSequence" not in report
    assert scp.promises() == [(HintKind.STORAGE_COMMITMENT, str(sent[0].StudyInstanceUID), 3)]
    # a second request on the association, and the association still works
    assert ask(association, request(references[:1])) == 0
    assert scu.report()[0] == 1
    association.release()


def test_a_part_of_a_study_that_is_committed_says_nothing_of_the_whole(scp: Department) -> None:
    scu = Scu()
    association = scu.associate(scp.port)
    sent = images(3)
    references = send(association, sent)
    for part in (references[:1], references[1:], references):
        assert ask(association, request(part)) == 0
        assert scu.report()[0] == 1
    association.release()
    assert scp.promises() == [(HintKind.STORAGE_COMMITMENT, str(sent[0].StudyInstanceUID), 3)]


def test_says_of_each_instance_why_it_is_not_committed(scp: Department) -> None:
    scu = Scu()
    association = scu.associate(scp.port)
    good, removed, of_other_class = images(3)
    references = send(association, [good, removed, of_other_class])
    (stored,) = [
        one
        for one in scp.run(scp.store.instances_of(str(removed.StudyInstanceUID)))
        if one.sop_instance_uid == removed.SOPInstanceUID
    ]
    stored.path.write_bytes(stored.path.read_bytes()[:-2])
    never = new_uid()
    other = ("1.2.840.10008.5.1.4.1.1.2", references[2][1])
    assert ask(association, request([references[0], references[1], other, (MR, never)])) == 0
    event_type, report = scu.report()
    assert event_type == 2
    assert referenced(report) == {good.SOPInstanceUID}
    failed = {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in report.FailedSOPSequence}
    assert failed == {removed.SOPInstanceUID: 0x0112, of_other_class.SOPInstanceUID: 0x0119, never: 0x0112}
    assert scp.promises() == []
    association.release()


def test_instances_that_are_under_way_in_another_association_have_a_little_time(tmp_path: Path) -> None:
    with department(tmp_path, commitment_grace_s=30.0) as scp:
        scu = Scu()
        association, other = scu.associate(scp.port), scu.associate(scp.port)
        late = images(2)
        references = [(str(data.SOPClassUID), str(data.SOPInstanceUID)) for data in late]
        assert ask(association, request(references)) == 0
        with pytest.raises(queue.Empty):
            scu.reports.get(timeout=1.0)
        send(other, late)
        assert scu.report()[0] == 1
        association.release()
        other.release()


def test_reports_on_a_new_association_when_the_first_is_gone_and_once_only(scp: Department) -> None:
    scu, port = Scu(), free_port()
    known_peer(scp.peers_file, scu.title, port)
    with scu.listening(port):
        association = scu.associate(scp.port)
        references = send(association, images(2))
        missing = (MR, new_uid())
        data = request([*references, missing])
        assert ask(association, data) == 0
        association.release()
        event_type, report = scu.report()
        assert (event_type, report.TransactionUID) == (2, data.TransactionUID)
        assert report.RetrieveAETitle == "ANY-SCP"
        with pytest.raises(queue.Empty):
            scu.reports.get(timeout=3.0)


def test_a_peer_without_an_address_hears_the_report_when_it_asks_again(scp: Department) -> None:
    scu = Scu()
    association = scu.associate(scp.port)
    data = request(send(association, images(1)))
    scu.statuses = [0x0110]
    assert ask(association, data) == 0
    assert scu.report()[0] == 1
    association.abort()
    again = scu.associate(scp.port)
    # until the report has come it is no other request, afterwards it is
    wait_for(lambda: ask(again, data) == 0x0131, "the end of the transaction")
    assert scu.report()[1].TransactionUID == data.TransactionUID
    assert scu.reports.empty()
    again.release()


def test_a_report_that_is_not_taken_comes_again_until_it_is(
    scp: Department, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.dimse.commitment_reports._FIRST_PAUSE_S", 0.2)
    scu, port = Scu(), free_port()
    known_peer(scp.peers_file, scu.title, port)
    association = scu.associate(scp.port)
    references = send(association, images(1))
    scu.statuses = [0x0110, 0x0213]
    assert ask(association, request(references)) == 0
    assert scu.report()[0] == 1
    association.release()
    with scu.listening(port):
        assert scu.report()[0] == 1
        assert scu.report()[0] == 1
        with pytest.raises(queue.Empty):
            scu.reports.get(timeout=3.0)


def test_a_restart_takes_up_what_is_owed(tmp_path: Path) -> None:
    scu, port = Scu(), free_port()
    with department(tmp_path, commitment_grace_s=60.0) as scp:
        association = scu.associate(scp.port)
        references = send(association, images(1))
        decided, undecided = request(references), request([(MR, new_uid())])
        assert ask(association, undecided) == 0
        association.release()
        second = scu.associate(scp.port)
        scu.statuses = [0x0110]
        assert ask(second, decided) == 0
        assert scu.report()[1].TransactionUID == decided.TransactionUID
        second.release()
    known_peer(tmp_path / "peers.yaml", scu.title, port)
    with scu.listening(port), department(tmp_path, commitment_grace_s=0.0):
        heard = {str(data.TransactionUID): kind for kind, data in (scu.report(), scu.report())}
        assert heard == {str(decided.TransactionUID): 1, str(undecided.TransactionUID): 2}
    with scu.listening(port), department(tmp_path), pytest.raises(queue.Empty):
        scu.reports.get(timeout=2.0)


def test_an_answer_that_the_disk_does_not_take_is_not_asked_for_again(
    scp: Department, monkeypatch: pytest.MonkeyPatch
) -> None:
    scu, port = Scu(), free_port()
    known_peer(scp.peers_file, scu.title, port)
    failures = [5]

    def end(*args: Any, **values: Any) -> None:
        if failures[0]:
            failures[0] -= 1
            raise sqlite3.OperationalError("database or disk is full")
        ended(*args, **values)

    ended = commitments.end
    monkeypatch.setattr(commitments, "end", end)
    monkeypatch.setattr(commitment_reports, "_FIRST_PAUSE_S", 0.2)
    with scu.listening(port):
        association = scu.associate(scp.port)
        references = send(association, images(1))
        assert ask(association, request([*references, (MR, new_uid())])) == 0
        association.release()
        scu.report()
        wait_for(lambda: failures == [0], "the disk to be found full")
        scp.run(scp.workflow.stop())
    assert scu.reports.empty()


def test_what_is_no_request_is_refused_with_the_status_of_the_standard(scp: Department) -> None:
    scu = Scu()
    association = scu.associate(scp.port)
    references = send(association, images(1))
    missing = [(MR, new_uid())]
    assert ask(association, request(references), action=2) == 0x0123
    assert ask(association, request(references), instance="1.2.3") == 0x0112
    assert ask(association, None) == 0x0115
    assert ask(association, request([])) == 0x0115
    assert ask(association, request(references, TransactionUID="")) == 0x0115
    assert ask(association, request([("", references[0][1])])) == 0x0115
    data = request(missing)
    assert ask(association, data) == 0
    assert ask(association, data) == 0, "sent again before the report: the first one holds"
    assert ask(association, request(references, transaction=str(data.TransactionUID))) == 0x0131
    assert scu.report()[0] == 2
    assert ask(association, data) == 0x0131
    with pytest.raises(queue.Empty):
        scu.reports.get(timeout=1.0)
    association.release()


def test_pauses_grow_and_have_an_end() -> None:
    assert [pause_s(tries) for tries in (0, 1, 2, 7, 8, 1000)] == [5.0, 10.0, 20.0, 600.0, 600.0, 600.0]


def test_a_report_that_nobody_takes_is_given_up_at_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.dimse.commitment_reports._FIRST_PAUSE_S", 0.1)
    scu, port = Scu(), free_port()
    with department(tmp_path, commitment_grace_s=0.0, commitment_report_hours=3 / 3600) as scp:
        known_peer(scp.peers_file, scu.title, port)
        association = scu.associate(scp.port)
        assert ask(association, request([(MR, new_uid())])) == 0
        association.abort()
        wait_for(lambda: "given up" in caplog.text, "the end of patience")
        with suppress(queue.Empty):  # it may have come on the association of the request, before that was aborted
            scu.reports.get_nowait()
        with scu.listening(port), pytest.raises(queue.Empty):
            scu.reports.get(timeout=2.0)


def test_what_ends_while_the_list_of_what_is_due_is_read_is_not_reported_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is read anew each second; here the peer's refusal comes in the middle of that."""
    calls, due = list[float](), commitments.due

    async def refused(_: object) -> list[int]:
        calls.append(time.monotonic())
        await asyncio.sleep(1.1)
        raise DestinationUnavailable("nobody listens")

    def slowly(*given: Any, **named: Any) -> Any:
        found = due(*given, **named)
        time.sleep(0.3 if calls else 0.0)
        return found

    monkeypatch.setattr(commitment_reports, "in_thread", refused)
    monkeypatch.setattr(commitments, "due", slowly)
    scu = Scu()
    with department(tmp_path, commitment_grace_s=0.0, commitment_report_hours=0.5 / 3600) as scp:
        known_peer(scp.peers_file, scu.title, free_port())
        association = scu.associate(scp.port)
        assert ask(association, request([(MR, new_uid())])) == 0
        association.abort()
        wait_for(lambda: "given up" in caplog.text, "the end of patience")
        time.sleep(1.0)  # in which the stale list was read to its end
    assert len(calls) == 1


def test_a_peer_without_an_address_costs_a_line_and_no_more(
    scp: Department, caplog: pytest.LogCaptureFixture
) -> None:
    scu = Scu("NOBODY")
    association = scu.associate(scp.port)
    assert ask(association, request([(MR, new_uid())])) == 0
    association.abort()

    def said() -> bool:
        return any("no address" in str(getattr(record, "fields", "")) for record in caplog.records)

    wait_for(said, "the sentence")
