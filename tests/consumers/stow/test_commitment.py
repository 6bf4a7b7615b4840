"""Storage commitment by our own gateway, by Orthanc, and by PACS that do it wrong or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import evt

from consumers.dicom.render import RenderedObject
from consumers.stow.client import StowClient
from consumers.stow.committed import CommittedTransport, random_uid
from consumers.stow.scu import StorageScu
from consumers.stow.web import DicomWeb
from producers.dimse.commitment import WELL_KNOWN_INSTANCE
from producers.dimse.commitment_listener import CommitmentListener
from producers.dimse.commitment_request import CommitmentScu, Reports
from producers.dimse.peers import Peer
from producers.dimse.requestor import Timeouts
from producers.dimse.silence import silence
from schemas.errors import DestinationUnavailable, TransientFailure
from schemas.events import DeliveryStatus
from tests.consumers.generated import generated
from tests.consumers.stow.acceptor import STORAGE_COMMITMENT, Pacs, accepting
from tests.consumers.stow.objects import SEG, SR, of
from tests.orthanc import orthanc_server
from tests.producers.dimse.around import department
from tests.tools import free_port

pytestmark = pytest.mark.integration

CLASSES = (SEG.sop_class_uid, SR.sop_class_uid, STORAGE_COMMITMENT)
QUICK = Timeouts(connect_s=5.0, association_s=5.0, response_s=10.0)
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def quiet() -> None:
    silence()


@contextmanager
def committed(
    peer: Peer, *, report_s: float = PATIENCE_S, port: int | None = None, web: DicomWeb | None = None
) -> Iterator[CommittedTransport]:
    """A way into a PACS that asks for commitment, and listens where a port is given."""
    reports = Reports()
    listener = (
        None if port is None else CommitmentListener("127.0.0.1", port, "WRITER", peer.ae_title, reports.hear)
    )
    transport = StorageScu(peer, "WRITER", QUICK) if web is None else StowClient(web, 1 << 30)
    made = CommittedTransport(transport, CommitmentScu(peer, "WRITER", QUICK, report_s, reports), listener)
    try:
        yield made
    finally:
        made.close()


def test_our_own_gateway_commits_on_the_association_that_asks(tmp_path: Path) -> None:
    made = of(generated(0))
    with department(tmp_path) as gateway:
        peer = Peer(ae_title="SCANSTREAM", host="127.0.0.1", port=gateway.port)
        with committed(peer) as transport:
            outcomes = transport.store(made)
            assert {one.status for one in outcomes} == {DeliveryStatus.STORED}, outcomes
            assert transport.store(made) == outcomes


def test_our_own_gateway_does_not_commit_what_it_does_not_have(tmp_path: Path) -> None:
    with department(tmp_path, commitment_grace_s=0.5) as gateway:
        peer = Peer(ae_title="SCANSTREAM", host="127.0.0.1", port=gateway.port)
        commitment = CommitmentScu(peer, "WRITER", QUICK, PATIENCE_S, Reports())
        report = commitment.confirm(random_uid(), [pair(SR)])
    assert (report.committed, report.failed) == (frozenset(), {SR.sop_instance_uid: 0x0112})


@pytest.mark.orthanc
@pytest.mark.parametrize("way", ["stow", "c-store"])
def test_orthanc_reports_on_an_association_of_its_own(tmp_path: Path, way: str) -> None:
    port = free_port()
    options = {"DicomModalities": {"writer": ["WRITER", "127.0.0.1", port]}}
    with orthanc_server(tmp_path, options=options) as server:
        peer = Peer(ae_title=server.ae_title, host="127.0.0.1", port=server.dicom_port)
        web = DicomWeb(server.dicom_web, None, 60.0) if way == "stow" else None
        with committed(peer, port=port, web=web) as transport:
            outcomes = transport.store([SEG, SR])
    assert [one.status for one in outcomes] == [DeliveryStatus.STORED] * 2, outcomes


def items(references: Sequence[tuple[str, str]], reason: int | None = None) -> list[Dataset]:
    made = []
    for sop_class, sop in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop
        if reason is not None:
            item.FailureReason = reason
        made.append(item)
    return made


def pair(item: RenderedObject) -> tuple[str, str]:
    return item.sop_class_uid, item.sop_instance_uid


def committing(report: Callable[[Dataset, Dataset], int | None], status: int = 0x0000) -> Pacs:
    """A PACS that answers a request with a status, and fills in the report; ``None`` reports nothing."""
    pacs = Pacs()

    def act(event: evt.Event) -> tuple[int, None]:
        asked, told = event.action_information, Dataset()
        told.TransactionUID = asked.TransactionUID
        kind = report(asked, told)

        def tell() -> None:
            event.assoc.send_n_event_report(told, kind or 0, UID(STORAGE_COMMITMENT), UID(WELL_KNOWN_INSTANCE))

        if kind is not None:
            threading.Timer(0.3, tell).start()
        return status, None

    pacs.handlers.append((evt.EVT_N_ACTION, act))
    return pacs


def test_what_is_not_committed_is_failed_with_its_reason() -> None:
    def report(asked: Dataset, told: Dataset) -> int:
        assert [str(item.ReferencedSOPInstanceUID) for item in asked.ReferencedSOPSequence] == ["1.3", "1.5"]
        told.ReferencedSOPSequence = items([pair(SEG)])
        told.FailedSOPSequence = items([pair(SR)], 0x0213)
        return 2

    with accepting(committing(report), CLASSES) as pacs, committed(pacs.peer()) as transport:
        seg, sr = transport.store([SEG, SR])
    assert seg.status is DeliveryStatus.STORED
    assert (sr.status, sr.status_code) == (DeliveryStatus.FAILED, 0x0213)
    assert sr.reason is not None
    assert "resource limitation" in sr.reason


def test_what_a_report_does_not_name_is_not_committed() -> None:
    def report(_: Dataset, told: Dataset) -> int:
        told.ReferencedSOPSequence = items([pair(SEG)])
        return 1

    with accepting(committing(report), CLASSES) as pacs, committed(pacs.peer()) as transport:
        seg, sr = transport.store([SEG, SR])
    assert (seg.status, sr.status) == (DeliveryStatus.STORED, DeliveryStatus.FAILED)
    assert sr.reason is not None
    assert "does not name it" in sr.reason


def test_what_was_refused_is_not_asked_about() -> None:
    def report(asked: Dataset, told: Dataset) -> int:
        told.ReferencedSOPSequence = asked.ReferencedSOPSequence
        assert [str(item.ReferencedSOPInstanceUID) for item in asked.ReferencedSOPSequence] == ["1.5"]
        return 1

    with accepting(committing(report), CLASSES[1:]) as pacs, committed(pacs.peer()) as transport:
        seg, sr = transport.store([SEG, SR])
        assert (seg.status, sr.status) == (DeliveryStatus.FAILED, DeliveryStatus.STORED)
        (alone,) = transport.store([SEG])
        assert alone.status is DeliveryStatus.FAILED


@pytest.mark.parametrize("transaction", [None, "1.2.3"])
def test_a_report_that_does_not_come_or_is_of_another_transaction_is_tried_again(transaction: str | None) -> None:
    def report(asked: Dataset, told: Dataset) -> int | None:
        told.TransactionUID = transaction
        told.ReferencedSOPSequence = asked.ReferencedSOPSequence
        return None if transaction is None else 1

    with (
        accepting(committing(report), CLASSES) as pacs,
        committed(pacs.peer(), report_s=1.5) as transport,
        pytest.raises(TransientFailure, match="SCANSTREAM_STOW_COMMITMENT_PORT"),
    ):
        transport.store([SR])


def test_a_pacs_that_refuses_the_request_or_the_service_is_waited_for() -> None:
    with (
        accepting(committing(lambda _, __: None, 0x0122), CLASSES) as pacs,
        committed(pacs.peer()) as transport,
        pytest.raises(DestinationUnavailable, match="SCANSTREAM_STOW_STORAGE_COMMITMENT"),
    ):
        transport.store([SR])
    with (
        accepting(Pacs(), CLASSES[:2]) as without,
        committed(without.peer()) as transport,
        pytest.raises(DestinationUnavailable, match="storage commitment"),
    ):
        transport.store([SR])
