"""Results in tiny-pacs, which answers 409 and A700H to what it has already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pydicom import Dataset

from consumers.dicom.plan import plan_of
from consumers.dicom.render import RenderedObject
from consumers.stow.client import StowClient
from consumers.stow.destination import StowDestination
from consumers.stow.scu import StorageScu
from consumers.stow.transport import Transport
from consumers.stow.web import DicomWeb
from producers.dimse.peers import Peer
from producers.dimse.requestor import Timeouts
from schemas.events import DeliveryStatus
from schemas.ids import dicom_uid
from schemas.terminology import Language
from tests.consumers.generated import Case, generated
from tests.consumers.stow.objects import ALL, CaseSource, changed, data_set, of, renamed
from tests.consumers.stow.tiny import TinyPacs, tiny_pacs

pytestmark = pytest.mark.integration

FULL = 0
FEW = plan_of("seg,sr", Language.UKRAINIAN)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyPacs]:
    with tiny_pacs(tmp_path_factory.mktemp("tiny")) as server:
        yield server


@pytest.fixture(params=["stow", "c-store"])
def transport(tiny: TinyPacs, request: pytest.FixtureRequest) -> Iterator[Transport]:
    with ExitStack() as stack:
        if request.param == "stow":
            web = DicomWeb(tiny.dicom_web, None, timeout_s=60.0)
            stack.callback(web.close)
            yield StowClient(web, batch_bytes=1 << 30)
        else:
            peer = Peer(ae_title=tiny.ae_title, host="127.0.0.1", port=tiny.dicom_port)
            yield StorageScu(peer, "SCANSTREAM", Timeouts())


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """A case in a study of its own, which alone changes the UIDs of its objects."""
    return renamed(generated(FULL), "Шевченко^Тарас", study=dicom_uid("tiny", request.node.name))


def test_every_kind_of_object_is_stored_and_a_second_delivery_is_the_same(
    transport: Transport, case: Case
) -> None:
    transport.probe()
    destination = StowDestination(transport, CaseSource(case), ALL)
    first = destination.deliver(case.result)
    assert {one.status for one in first} == {DeliveryStatus.STORED}, first
    again = destination.deliver(case.result)
    assert {one.status for one in again} == {DeliveryStatus.STORED}, again
    assert [one.identifier for one in again] == [one.identifier for one in first]
    # what it answers to a second delivery is kept
    assert {one.status_code for one in again} == ({409} if isinstance(transport, StowClient) else {0xA700})


def test_the_same_content_of_a_later_run_is_the_same_object(transport: Transport, case: Case) -> None:
    def later(dataset: Dataset) -> None:
        dataset.ContentTime = dataset.InstanceCreationTime = "235959"
        dataset.PatientName = "Шевченко^Т"

    made = of(case, FEW)
    transport.store(made)
    outcomes = transport.store([changed(item, later) for item in made])
    assert {one.status for one in outcomes} == {DeliveryStatus.STORED}, outcomes


def test_another_content_under_the_same_uid_is_a_conflict(transport: Transport, case: Case) -> None:
    def other(dataset: Dataset) -> None:
        dataset.SeriesDescription = "чужий опис"

    def other_pixels(dataset: Dataset) -> None:
        dataset.PixelData = bytes([dataset.PixelData[0] ^ 1]) + dataset.PixelData[1:]

    made = of(case, FEW)
    transport.store(made)
    pixels = [item for item in made if "PixelData" in data_set(item)]
    attempts: list[tuple[RenderedObject, str]] = [
        *((changed(item, other), "differs at SeriesDescription") for item in made),
        *((changed(item, other_pixels), "differs at PixelData") for item in pixels),
    ]
    assert pixels
    for item, reason in attempts:
        (outcome,) = transport.store([item])
        assert outcome.status is DeliveryStatus.FAILED
        assert outcome.reason is not None
        assert reason in outcome.reason
        assert "чужий" not in outcome.reason
