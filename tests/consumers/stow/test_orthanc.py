"""Results in a real Orthanc, by STOW-RS and by C-STORE: what we store there comes back as it was."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from consumers.dicom.plan import Plan, plan_of
from consumers.stow.client import StowClient
from consumers.stow.destination import StowDestination
from consumers.stow.scu import StorageScu
from consumers.stow.transport import Transport
from consumers.stow.web import DicomWeb
from producers.dimse.peers import Peer
from producers.dimse.requestor import Timeouts
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import Artifact, DeliveryStatus, ObjectOutcome
from schemas.terminology import Language
from tests.consumers.generated import Case, generated
from tests.consumers.stow.objects import ALL, CaseSource, data_set, of, renamed
from tests.orthanc import OrthancServer, orthanc_server

pytestmark = [pytest.mark.integration, pytest.mark.orthanc]

NAME = "Ґалаґан^Євгенія^Їжаківна"
#: Masks, probabilities, heatmaps and findings of all kinds; and a run that found nothing.
FULL, EMPTY = 0, 4
FEW = plan_of("seg,gsps,sr,kos", Language.UKRAINIAN)
KINDS = {
    f"1.2.840.10008.5.1.4.1.1.{kind}"
    for kind in ("66.4", "88.34", "88.33", "88.59", "11.1", "7", "30")  # SEG, two SRs, KOS, GSPS, SC, PM
}


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    with orthanc_server(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(params=["stow", "c-store"])
def transport(orthanc: OrthancServer, request: pytest.FixtureRequest) -> Iterator[Transport]:
    with ExitStack() as stack:
        if request.param == "stow":
            web = DicomWeb(orthanc.dicom_web, None, timeout_s=60.0)
            stack.callback(web.close)
            yield StowClient(web, batch_bytes=150_000)
        else:
            peer = Peer(ae_title=orthanc.ae_title, host="127.0.0.1", port=orthanc.dicom_port)
            yield StorageScu(peer, "SCANSTREAM", Timeouts())


@pytest.fixture
def case(transport: Transport) -> Case:
    """A case in a study of its own for each way in."""
    return renamed(generated(FULL), NAME, study=f"2.25.{7 if isinstance(transport, StowClient) else 8}")


def delivered(transport: Transport, case: Case, plan: Plan = ALL) -> tuple[ObjectOutcome, ...]:
    return StowDestination(transport, CaseSource(case), plan).deliver(case.result)


def listed(server: OrthancServer, case: Case) -> dict[str, dict[str, dict[str, list[object]]]]:
    """SOP Instance UID → what QIDO-RS says of the instance."""
    answer = httpx.get(
        f"{server.dicom_web}/studies/{case.result.study_instance_uid}/instances",
        params={"includefield": "PatientName"},
        headers={"Accept": "application/dicom+json"},
    )
    assert answer.status_code == 200
    return {str(one["00080018"]["Value"][0]): one for one in json.loads(answer.content)}


def given(server: OrthancServer, uid: str) -> Dataset:
    """An instance as Orthanc gives it back."""
    (path,) = httpx.post(f"{server.http}/tools/lookup", content=uid).json()
    return pydicom.dcmread(io.BytesIO(httpx.get(f"{server.http}{path['Path']}/file").content))


def test_every_kind_of_object_is_stored_indexed_and_given_back_unchanged(
    orthanc: OrthancServer, transport: Transport, case: Case
) -> None:
    transport.probe()
    outcomes = delivered(transport, case)
    assert {one.status for one in outcomes} == {DeliveryStatus.STORED}, outcomes
    found, made = listed(orthanc, case), of(case)
    assert {item.sop_class_uid for item in made} == KINDS
    assert set(found) == {item.sop_instance_uid for item in made} == {one.identifier for one in outcomes}
    for item in made:
        back, sent = given(orthanc, item.sop_instance_uid), data_set(item)
        assert back == sent, f"{item.sop_class_uid} is another one now"
        assert back.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert str(back.PatientName) == NAME
        if "NumberOfFrames" in sent and "PixelData" in sent:
            assert np.array_equal(back.pixel_array, sent.pixel_array)
    assert [one["00100010"]["Value"][0] for one in found.values()] == [{"Alphabetic": NAME}] * len(made)


def test_a_second_delivery_stores_nothing_new(orthanc: OrthancServer, transport: Transport, case: Case) -> None:
    first = delivered(transport, case, FEW)
    before = listed(orthanc, case)
    again = delivered(transport, case, FEW)
    assert [replace(one, status_code=0) for one in again] == [replace(one, status_code=0) for one in first]
    assert listed(orthanc, case) == before


def test_nothing_found_is_reported(orthanc: OrthancServer, transport: Transport) -> None:
    case = generated(EMPTY)
    outcomes = delivered(transport, case, Plan())
    assert [one.status for one in outcomes] == [DeliveryStatus.STORED]
    assert given(orthanc, outcomes[0].identifier).Modality == "SR"


def test_a_mask_of_another_release_is_refused_with_a_remedy(transport: Transport, case: Case) -> None:
    def other(artifact: Artifact) -> Artifact:
        return replace(artifact, media_type="application/x-other")

    result = replace(case.result, artifacts=tuple(map(other, case.result.artifacts)))
    with pytest.raises(InvalidMessage, match="update this writer"):
        delivered(transport, replace(case, result=result))


def test_a_result_whose_images_are_gone_is_refused_and_names_one(transport: Transport, case: Case) -> None:
    gone = case.result.sop_instance_uids[3]
    destination = StowDestination(transport, CaseSource(case, [gone]), ALL)
    with pytest.raises(InvalidMessage, match=gone):
        destination.deliver(case.result)


def test_orthanc_with_a_password_asks_for_the_settings(tmp_path: Path) -> None:
    options = {"AuthenticationEnabled": True, "RegisteredUsers": {"writer": "secret"}}
    with orthanc_server(tmp_path, options=options) as server:
        refused = DicomWeb(server.dicom_web, ("writer", "wrong"), timeout_s=60.0)
        with pytest.raises(DestinationUnavailable, match="SCANSTREAM_STOW_PASSWORD"):
            refused.probe()
        refused.close()
        accepted = DicomWeb(server.dicom_web, ("writer", "secret"), timeout_s=60.0)
        outcomes = delivered(StowClient(accepted, 1 << 30), generated(EMPTY), Plan())
        assert [one.status for one in outcomes] == [DeliveryStatus.STORED]
        accepted.close()
