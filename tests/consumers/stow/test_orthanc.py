"""Results in a real Orthanc: what we store there comes back as it was."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from consumers.stow.client import StowClient
from consumers.stow.destination import StowDestination
from producers.artifacts import MASK_MEDIA_TYPE, pack_mask
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import Artifact, DeliveryStatus, InferenceResult
from tests.consumers.results import headers, mask, result_with_findings, result_without_findings
from tests.orthanc import OrthancServer, orthanc_server

pytestmark = [pytest.mark.integration, pytest.mark.orthanc]

NAME = "Ґалаґан^Євгенія^Їжаківна"


class StoredSeries:
    """The demonstration series under another patient's name, and its mask."""

    def __init__(self, character_set: str, name: str) -> None:
        self._headers = []
        for original in headers():
            header = copy.deepcopy(original)
            header.SpecificCharacterSet = character_set
            header.PatientName = name
            self._headers.append(header)

    def fetch_headers(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        return [header for header in self._headers if str(header.SOPInstanceUID) in sop_instance_uids]

    def get_artifact(self, artifact: Artifact) -> bytes:
        return pack_mask(mask())


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    with orthanc_server(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def client(orthanc: OrthancServer) -> Iterator[StowClient]:
    made = StowClient(orthanc.dicom_web, None, timeout_s=60.0)
    yield made
    made.close()


def with_mask(result: InferenceResult) -> InferenceResult:
    artifact = Artifact("mask", MASK_MEDIA_TYPE, "http://127.0.0.1:9/artifacts/x", "ab" * 32, 1, mask().shape)
    return replace(result, artifacts=(artifact,))


def instances(server: OrthancServer) -> list[dict[str, dict[str, list[object]]]]:
    study = str(headers()[0].StudyInstanceUID)
    answer = httpx.get(
        f"{server.dicom_web}/studies/{study}/instances",
        params={"includefield": "PatientName"},
        headers={"Accept": "application/dicom+json"},
    )
    return list(json.loads(answer.content)) if answer.status_code == 200 else []


def test_segmentation_and_report_come_back_as_they_were(orthanc: OrthancServer, client: StowClient) -> None:
    destination = StowDestination(client, StoredSeries("ISO_IR 192", NAME))
    destination.probe()
    outcomes = destination.deliver(with_mask(result_with_findings()))
    assert [outcome.status for outcome in outcomes] == [DeliveryStatus.STORED] * 2

    seg, sr = (
        pydicom.dcmread(io.BytesIO(_part(httpx.get(str(one.url), headers={"Accept": _MULTIPART}))))
        for one in outcomes
    )
    assert str(seg.PatientName) == str(sr.PatientName) == NAME
    back = np.zeros(mask().shape, dtype=bool)
    place = {str(header.SOPInstanceUID): number for number, header in enumerate(headers())}
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        back[place[source.ReferencedSOPInstanceUID]] = frame
    assert np.array_equal(back, mask())

    listed = {str(one["00080018"]["Value"][0]): one for one in instances(orthanc)}
    assert set(listed) == {outcome.identifier for outcome in outcomes}
    names = [one["00100010"]["Value"][0] for one in listed.values()]
    assert names == [{"Alphabetic": NAME}] * 2, "QIDO-RS shows the name too"

    again = destination.deliver(with_mask(result_with_findings()))
    assert [replace(one, status_code=200) for one in again] == [replace(one, status_code=200) for one in outcomes]
    assert len(instances(orthanc)) == 2, "a second delivery stores nothing new"


def test_nothing_found_is_one_report(orthanc: OrthancServer, client: StowClient) -> None:
    destination = StowDestination(client, StoredSeries("ISO_IR 144", "Шевченко^Тарас"))
    (outcome,) = destination.deliver(result_without_findings())
    assert outcome.status is DeliveryStatus.STORED
    sr = pydicom.dcmread(io.BytesIO(_part(httpx.get(str(outcome.url), headers={"Accept": _MULTIPART}))))
    assert (sr.SpecificCharacterSet, str(sr.PatientName)) == ("ISO_IR 192", "Шевченко^Тарас")


def test_a_mask_of_another_release_is_refused_with_a_remedy(client: StowClient) -> None:
    result = with_mask(result_with_findings())
    other = replace(result.artifacts[0], media_type="application/x-other")
    with pytest.raises(InvalidMessage, match="update this writer"):
        StowDestination(client, StoredSeries("ISO_IR 192", NAME)).deliver(replace(result, artifacts=(other,)))


def test_orthanc_with_a_password_asks_for_the_settings(tmp_path: Path) -> None:
    options = {"AuthenticationEnabled": True, "RegisteredUsers": {"writer": "secret"}}
    with orthanc_server(tmp_path, options=options) as server:
        refused = StowClient(server.dicom_web, ("writer", "wrong"), timeout_s=60.0)
        with pytest.raises(DestinationUnavailable, match="SCANSTREAM_STOW_PASSWORD"):
            refused.probe()
        refused.close()
        accepted = StowClient(server.dicom_web, ("writer", "secret"), timeout_s=60.0)
        destination = StowDestination(accepted, StoredSeries("ISO_IR 192", NAME))
        assert destination.deliver(result_without_findings())[0].status is DeliveryStatus.STORED
        accepted.close()


_MULTIPART = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def _part(response: httpx.Response) -> bytes:
    """First part of a WADO-RS answer."""
    assert response.status_code == 200, response.text
    boundary = response.headers["Content-Type"].partition("boundary=")[2].partition(";")[0].strip('"')
    part = response.content.split(f"--{boundary}".encode())[1]
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
