"""Every function of dicomweb-client that has something to do with what the gateway serves, with Cyrillic names."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.dataset import Dataset

from tests.producers.dicomweb.conftest import Gateway
from tests.producers.dicomweb.objects import mr_image

NAME = "Ґудзь^Євгенія^Їжаківна"
STUDY, SERIES = "1.2.3", "1.2.3.4"


@pytest.fixture
def images() -> list[Dataset]:
    """A series of two images and one of a multi-frame image."""
    found = [mr_image(STUDY, SERIES, name=NAME), mr_image(STUDY, SERIES, name=NAME)]
    found.append(mr_image(STUDY, "1.2.3.5", name=NAME))
    found[1].InstanceNumber = 2
    found[2].NumberOfFrames = 3
    found[2].PixelData = np.arange(3 * 48, dtype="<u2").tobytes()
    return found


@pytest.fixture
def client(gateway: Gateway, images: list[Dataset]) -> DICOMwebClient:
    """Client of a gateway that holds the images."""
    client = DICOMwebClient(gateway.dicom_web)
    answer = client.store_instances(images, STUDY)
    assert len(answer.ReferencedSOPSequence) == 3
    return client


def uids_of(image: Dataset) -> tuple[str, str, str]:
    return image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID


def test_search(client: DICOMwebClient) -> None:
    (study,) = client.search_for_studies(
        fuzzymatching=True, search_filters={"PatientName": "гудзь євг"}, fields=["PatientAge", "StudyDescription"]
    )
    assert study["00100010"]["Value"] == [{"Alphabetic": NAME}]
    assert study["00081030"]["Value"] == ["Brain"]
    assert len(client.search_for_series(STUDY, search_filters={"Modality": "MR"})) == 2
    assert len(client.search_for_instances(STUDY, SERIES, limit=1, offset=1)) == 1
    assert len(client.search_for_instances(limit=1, get_remaining=True)) == 3
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_retrieve_and_iterate(client: DICOMwebClient, images: list[Dataset]) -> None:
    sent = {image.SOPInstanceUID: image for image in images}
    for found in (client.retrieve_study(STUDY), list(client.iter_study(STUDY))):
        assert {image.SOPInstanceUID for image in found} == sent.keys()
        assert all(image == sent[image.SOPInstanceUID] for image in found)
    assert len(client.retrieve_series(STUDY, SERIES)) == len(list(client.iter_series(STUDY, SERIES))) == 2
    assert client.retrieve_instance(*uids_of(images[2])).PatientName == NAME


def test_metadata(client: DICOMwebClient, images: list[Dataset]) -> None:
    assert len(client.retrieve_study_metadata(STUDY)) == 3
    assert len(client.retrieve_series_metadata(STUDY, SERIES)) == 2
    metadata = client.retrieve_instance_metadata(*uids_of(images[0]))
    assert Dataset.from_json(metadata, lambda *_: b"").PatientName == NAME


def test_frames_and_bulk_data(client: DICOMwebClient, images: list[Dataset]) -> None:
    uids, pixels = uids_of(images[2]), images[2].PixelData
    expected = [pixels[96 * number : 96 * number + 96] for number in range(3)]
    assert client.retrieve_instance_frames(*uids, frame_numbers=[1, 2, 3]) == expected
    octets = ("application/octet-stream",)
    assert list(client.iter_instance_frames(*uids, frame_numbers=[3, 1], media_types=octets)) == [
        expected[2],
        expected[0],
    ]
    url = client.retrieve_instance_metadata(*uids)["7FE00010"]["BulkDataURI"]
    assert client.retrieve_bulkdata(url) == list(client.iter_bulkdata(url)) == [pixels]
    assert client.retrieve_bulkdata(url, media_types=octets) == [pixels]
    assert b"".join(client.retrieve_bulkdata(url, byte_range=(10, 19))) in (pixels, pixels[10:20])


def test_rendered(client: DICOMwebClient, images: list[Dataset]) -> None:
    uids = uids_of(images[2])
    parameters = {"viewport": "60,60", "window": "70,150,linear", "quality": 80}
    jpeg = client.retrieve_instance_rendered(*uids, media_types=("image/jpeg",), params=parameters)
    assert Image.open(BytesIO(jpeg)).size == (45, 60)
    for media_type in ("image/png", "image/gif"):
        data = client.retrieve_instance_frames_rendered(*uids, frame_numbers=[2], media_types=(media_type,))
        assert Image.open(BytesIO(data)).get_format_mimetype() == media_type
    assert client.retrieve_series_rendered(STUDY, SERIES).count(b"Content-Type: image/jpeg") == 2
