"""WADO-RS: what was stored comes back, byte for byte, in the form that was asked for."""

from __future__ import annotations

from io import BytesIO

import httpx
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from tests.producers.dicomweb.conftest import Gateway
from tests.producers.dicomweb.objects import (
    DEMONSTRATION,
    MALFORMED,
    STOW_TYPE,
    data_set_bytes,
    mr_image,
    part10,
    stow_body,
)

AS_STORED = (("application/dicom", "*"),)


def store(http: httpx.Client, *files: bytes) -> None:
    response = http.post("/studies", content=stow_body(files), headers={"Content-Type": STOW_TYPE})
    assert response.status_code == 200, response.text


def url_of(image: Dataset) -> str:
    return f"/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}/instances/{image.SOPInstanceUID}"


def single(http: httpx.Client, image: Dataset, transfer_syntax: str = "*") -> httpx.Response:
    return http.get(url_of(image), headers={"Accept": f"application/dicom; transfer-syntax={transfer_syntax}"})


def compressed(transfer_syntax: str) -> Dataset:
    image = mr_image()
    image.compress(transfer_syntax, generate_instance_uid=False)
    return image


def undecodable() -> Dataset:
    """Lossless JPEG, for which no decoder is installed."""
    image = mr_image()
    image.PixelData = encapsulate([b"frame-one!", b"frame-two!"])
    image.NumberOfFrames = 2
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    return image


def test_demonstration_series_round_trip_with_dicomweb_client(gateway: Gateway, http: httpx.Client) -> None:
    files = {dcmread(path, stop_before_pixels=True).SOPInstanceUID: path.read_bytes() for path in DEMONSTRATION}
    store(http, *files.values())
    first = dcmread(DEMONSTRATION[0])
    client = DICOMwebClient(gateway.dicom_web)
    series = client.retrieve_series(first.StudyInstanceUID, first.SeriesInstanceUID, media_types=AS_STORED)
    assert len(series) == len(files) == 20
    for image in series:
        back = single(http, image).content
        assert data_set_bytes(back) == data_set_bytes(files[image.SOPInstanceUID])
    assert len(client.retrieve_study(first.StudyInstanceUID)) == 20


@pytest.mark.parametrize("path", ["/studies/1.2.3", "/studies/1.2.3/metadata", "/studies/1.2.3/series/1"])
def test_unknown_is_404_with_a_sentence(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert "does not hold" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/nothing", "/studies/1.2.3/nothing"])
def test_no_such_resource(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")


def test_method_not_allowed(http: httpx.Client) -> None:
    response = http.put("/studies/1.2.3")
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "POST", "DELETE"}
    assert (response.status_code, response.headers["content-type"]) == (405, "application/problem+json")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_come_back_as_stored_or_explicit(http: httpx.Client, syntax: str) -> None:
    image = mr_image()
    image.file_meta.TransferSyntaxUID = syntax
    file = part10(image)
    store(http, file)
    assert data_set_bytes(single(http, image).content) == data_set_bytes(file)
    explicit = single(http, image, ExplicitVRLittleEndian)
    assert explicit.status_code == 200
    back = dcmread(BytesIO(explicit.content))
    assert back.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert back.PixelData == image.PixelData


def test_compressed_is_decoded_for_the_default_and_kept_for_any(gateway: Gateway, http: httpx.Client) -> None:
    image = compressed(RLELossless)
    expected = mr_image().PixelData
    store(http, part10(image))
    client = DICOMwebClient(gateway.dicom_web)
    uids = (image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID)
    default = client.retrieve_instance(*uids, media_types=("application/dicom",))
    assert default.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert default.SOPInstanceUID == image.SOPInstanceUID
    assert default.PixelData == expected
    kept = client.retrieve_instance(*uids, media_types=AS_STORED)
    assert kept.file_meta.TransferSyntaxUID == RLELossless
    assert kept.PixelData == image.PixelData


def test_what_cannot_be_decoded_is_406_unless_taken_as_stored(http: httpx.Client) -> None:
    image = undecodable()
    store(http, part10(image))
    for accept in ('multipart/related; type="application/dicom"', "application/dicom+xml", "image/png"):
        response = http.get(url_of(image), headers={"Accept": accept})
        assert response.status_code == 406
        assert "transfer-syntax=*" in response.json()["detail"]
    assert single(http, image, JPEG2000Lossless).status_code == 406
    assert single(http, image, JPEGLosslessSV1).status_code == 200


def test_accept_query_parameter_goes_before_the_header(http: httpx.Client) -> None:
    image = mr_image()
    store(http, part10(image))
    response = http.get(url_of(image), params={"accept": "application/dicom"}, headers={"Accept": "image/png"})
    assert response.headers["content-type"] == "application/dicom"


def test_single_instance_has_an_etag(http: httpx.Client) -> None:
    image = mr_image()
    store(http, part10(image))
    etag = single(http, image).headers["etag"]
    assert len(etag) == 66
    whole = {"Accept": "application/dicom", "If-None-Match": etag}
    response = http.get(url_of(image), headers=whole)
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
    parts = http.get(url_of(image), headers={"If-None-Match": etag})
    assert parts.status_code == 200
    assert parts.headers["etag"].startswith("W/")
    assert http.get(url_of(image), headers={"If-None-Match": parts.headers["etag"]}).status_code == 304


def test_metadata_has_an_etag_that_changes_with_the_study(http: httpx.Client) -> None:
    image = mr_image()
    store(http, part10(image))
    url = f"/studies/{image.StudyInstanceUID}/metadata"
    etag = http.get(url).headers["etag"]
    assert http.get(url, headers={"If-None-Match": f'"other", {etag}'}).status_code == 304
    store(http, part10(mr_image(image.StudyInstanceUID)))
    assert http.get(url, headers={"If-None-Match": etag}).status_code == 200


def test_ranges_of_an_instance(http: httpx.Client) -> None:
    image = mr_image()
    store(http, part10(image))
    whole = single(http, image)
    file, etag = whole.content, whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"

    def get(field: str, **more: str) -> httpx.Response:
        headers = {"Accept": "application/dicom", "Range": field} | more
        return http.get(url_of(image), headers=headers)

    for field, expected in (
        ("bytes=0-131", file[:132]),
        ("bytes=132-", file[132:]),
        ("bytes=-10", file[-10:]),
        ("bytes=5-999999999", file[5:]),
        ("bytes=-999999999", file),
    ):
        part = get(field)
        assert (part.status_code, part.content) == (206, expected)
        assert part.headers["content-range"].endswith(f"/{len(file)}")
    assert get("bytes=0-131").headers["content-range"] == f"bytes 0-131/{len(file)}"
    assert get("bytes=0-9", **{"If-Range": etag}).status_code == 206
    assert get("bytes=0-9", **{"If-Range": '"other"'}).content == file
    for outside in (f"bytes={len(file)}-", "bytes=-0"):
        refused = get(outside)
        assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{len(file)}")
        assert refused.headers["content-type"] == "application/problem+json"
    for ignored in ("bytes=9-1", "bytes=-", "lines=1-2", "bytes=0-1,5-6", "bytes=" + "9" * 40 + "-"):
        response = get(ignored)
        assert (response.status_code, response.content) == (200, file)


def test_ranges_of_bulk_data(http: httpx.Client) -> None:
    image = mr_image()
    store(http, part10(image))
    url = f"{url_of(image)}/bulkdata/7fe00010"
    headers = {"Accept": "application/octet-stream"}
    whole = http.get(url, headers=headers)
    assert whole.content == image.PixelData
    part = http.get(url, headers=headers | {"Range": "bytes=10-19", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, image.PixelData[10:20])
    assert http.get(url, headers=headers | {"Range": "bytes=96-"}).status_code == 416
    assert http.get(url, headers=headers | {"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert http.get(url, headers={"Accept": "text/plain"}).status_code == 406


def test_head_of_every_resource_has_no_body(http: httpx.Client) -> None:
    image = mr_image()
    store(http, part10(image))
    instance = url_of(image)
    study = f"/studies/{image.StudyInstanceUID}"
    for path in (
        study,
        f"{study}/metadata",
        f"{study}/series",
        f"{study}/rendered",
        f"{study}/thumbnail",
        f"{instance}/frames/1",
        f"{instance}/frames/1/rendered",
        f"{instance}/bulkdata/7FE00010",
        "/studies",
    ):
        response = http.head(path)
        assert (response.status_code, response.content) == (200, b""), path
        assert (
            response.headers["content-type"].split(";")[0]
            == (http.get(path).headers["content-type"].split(";")[0])
        )


@pytest.mark.parametrize(
    "accept", ["/" * 5000, ";" * 5000, ",".join(["a/b"] * 3000), 'multipart/related; type="', "*/*;q=x", "\x01"]
)
def test_absurd_accept_is_answered(http: httpx.Client, accept: str) -> None:
    image = mr_image()
    store(http, part10(image))
    for path in (url_of(image), f"{url_of(image)}/metadata", f"{url_of(image)}/rendered", "/studies"):
        assert http.get(path, params={"accept": accept}).status_code in (200, 406)


def test_head_has_the_length_and_no_body(http: httpx.Client) -> None:
    image = mr_image()
    store(http, part10(image))
    response = http.head(url_of(image))
    assert response.content == b""
    assert int(response.headers["content-length"]) == len(http.get(url_of(image)).content)


def test_metadata_has_no_bulk_data_and_its_uris_work(gateway: Gateway, http: httpx.Client) -> None:
    image = mr_image(name="Шевченко^Тарас=漢字")
    inner = Dataset()
    inner.EncapsulatedDocument = bytes(range(256)) * 8
    image.ReferencedImageSequence = [Dataset(), inner]
    image.add_new(0x00420011, "OB", b"small!")
    store(http, part10(image))
    client = DICOMwebClient(gateway.dicom_web)
    (document,) = client.retrieve_study_metadata(image.StudyInstanceUID)
    assert document["00100010"]["Value"] == [{"Alphabetic": "Шевченко^Тарас", "Ideographic": "漢字"}]
    assert document["00080005"]["Value"] == ["ISO_IR 192"]
    assert document["00200032"] == {"vr": "DS", "Value": [-110.5, 0.1, 12.0]}
    assert document["00280010"] == {"vr": "US", "Value": [8]}
    assert document["00080090"] == {"vr": "PN"}
    assert document["00420011"] == {"vr": "OB", "InlineBinary": "c21hbGwh"}
    assert client.retrieve_bulkdata(document["7FE00010"]["BulkDataURI"]) == [image.PixelData]
    nested = document["00081140"]["Value"][1]["00420011"]["BulkDataURI"]
    assert client.retrieve_bulkdata(nested) == [inner.EncapsulatedDocument]


def test_cyrillic_in_iso_8859_5_is_unicode_in_json_and_unchanged_in_the_file(http: httpx.Client) -> None:
    image = mr_image(name="Шевченко^Тарас", charset="ISO_IR 144")
    file = part10(image)
    assert "Шевченко".encode("iso8859-5") in file
    store(http, file)
    (document,) = http.get(f"{url_of(image)}/metadata").json()
    assert document["00100010"]["Value"] == [{"Alphabetic": "Шевченко^Тарас"}]
    assert document["00080005"]["Value"] == ["ISO_IR 192"]
    assert data_set_bytes(single(http, image).content) == data_set_bytes(file)


def test_metadata_of_the_malformed_file(http: httpx.Client) -> None:
    store(http, MALFORMED.read_bytes())
    original = dcmread(MALFORMED, stop_before_pixels=True)
    (document,) = http.get(f"/studies/{original.StudyInstanceUID}/metadata").json()
    assert document["00100020"]["Value"] == [original.PatientID]
    assert document["7FE00010"]["BulkDataURI"].endswith("/bulkdata/7FE00010")
    assert not any(tag.startswith("0000") for tag in document)


def test_values_invalid_for_their_vr_are_sent_as_text(http: httpx.Client) -> None:
    image = mr_image()
    file = part10(image).replace(b"-110.5\\0.1\\12", b"abcdef\\0.1\\12")
    assert file != part10(image)
    store(http, file)
    (document,) = http.get(f"{url_of(image)}/metadata").json()
    assert document["00200032"] == {"vr": "DS", "Value": ["abcdef", "0.1", "12.0"]}


def test_metadata_in_a_form_that_does_not_exist_is_406(http: httpx.Client) -> None:
    for accept in ("text/html", "application/dicom+xml", 'multipart/related; type="application/dicom"'):
        response = http.get("/studies/1.2.3/metadata", headers={"Accept": accept})
        assert response.status_code == 406
        assert "application/dicom+json" in response.json()["detail"]


def test_frames_of_a_native_multi_frame_image(gateway: Gateway, http: httpx.Client) -> None:
    image = mr_image()
    image.NumberOfFrames = 3
    image.PixelData = np.arange(3 * 48, dtype="<u2").tobytes()
    store(http, part10(image))
    client = DICOMwebClient(gateway.dicom_web)
    uids = (image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID)
    frames = client.retrieve_instance_frames(*uids, frame_numbers=[3, 1])
    assert frames == [image.PixelData[192:], image.PixelData[:96]]
    missing = http.get(f"{url_of(image)}/frames/4")
    assert missing.status_code == 404
    assert "frames 1 to 3" in missing.json()["detail"]
    for wrong in ("0", "x", "1,,2", "1,-2"):
        assert http.get(f"{url_of(image)}/frames/{wrong}").status_code == 400


def test_one_bit_frames_that_do_not_end_on_a_byte(gateway: Gateway, http: httpx.Client) -> None:
    image = mr_image()
    image.Rows, image.Columns, image.NumberOfFrames = 3, 5, 4
    image.BitsAllocated = image.BitsStored = 1
    image.HighBit = 0
    bits = np.random.default_rng(1).integers(0, 2, (4, 15), dtype=np.uint8)
    image.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes()
    store(http, part10(image))
    uids = (image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID)
    frames = DICOMwebClient(gateway.dicom_web).retrieve_instance_frames(*uids, frame_numbers=[1, 2, 3, 4])
    unpacked = [np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")[:15] for frame in frames]
    assert np.array_equal(unpacked, bits)


def test_frames_of_an_encapsulated_image(gateway: Gateway, http: httpx.Client) -> None:
    image = undecodable()
    store(http, part10(image))
    client = DICOMwebClient(gateway.dicom_web)
    uids = (image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID)
    assert client.retrieve_instance_frames(*uids, frame_numbers=[2, 1]) == [b"frame-two!", b"frame-one!"]
    document = client.retrieve_instance_metadata(*uids)
    assert client.retrieve_bulkdata(document["7FE00010"]["BulkDataURI"]) == [b"frame-one!", b"frame-two!"]
    octets = {"Accept": 'multipart/related; type="application/octet-stream"'}
    assert http.get(f"{url_of(image)}/frames/1", headers=octets).status_code == 406


def test_compressed_frames_are_decoded_for_octet_stream(http: httpx.Client) -> None:
    image = compressed(RLELossless)
    store(http, part10(image))
    octets = {"Accept": 'multipart/related; type="application/octet-stream"'}
    response = http.get(f"{url_of(image)}/frames/1", headers=octets)
    assert response.status_code == 200
    assert b"transfer-syntax=1.2.840.10008.1.2.1\r\n" in response.content
    assert mr_image().PixelData in response.content


def test_one_frame_may_stand_alone(http: httpx.Client) -> None:
    image = compressed(RLELossless)
    store(http, part10(image))
    url = f"{url_of(image)}/frames/1"
    octets = {"Accept": "application/octet-stream"}
    whole = http.get(url, headers=octets)
    assert whole.headers["content-type"] == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert whole.content == mr_image().PixelData
    part = http.get(url, headers=octets | {"Range": "bytes=4-7", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, mr_image().PixelData[4:8])
    rle = http.get(url, headers={"Accept": "image/dicom-rle"})
    assert rle.headers["content-type"] == "image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5"
    assert http.get(f"{url},1", headers=octets).status_code == 406
    assert http.get(url).headers["content-type"].startswith("multipart/related")


def test_object_without_pixels_has_no_frames(http: httpx.Client) -> None:
    image = mr_image()
    del image.PixelData
    store(http, part10(image))
    assert "no pixel data" in http.get(f"{url_of(image)}/frames/1").json()["detail"]
    assert http.get(f"{url_of(image)}/bulkdata/7FE00010").status_code == 404


def test_broken_pixel_data_is_406_when_it_must_be_decoded(http: httpx.Client) -> None:
    image = undecodable()
    image.file_meta.TransferSyntaxUID = JPEGLSLossless
    store(http, part10(image))
    for url, inner in ((url_of(image), "dicom"), (f"{url_of(image)}/frames/1", "octet-stream")):
        response = http.get(url, headers={"Accept": f'multipart/related; type="application/{inner}"'})
        assert response.status_code == 406
        assert "cannot be decoded" in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("00420011", 404), ("00100020", 404), ("00081140/9/00420011", 404), ("nonsense", 400), ("00081140/1", 400)],
)
def test_bulk_data_that_is_not_there(http: httpx.Client, path: str, status: int) -> None:
    image = mr_image()
    store(http, part10(image))
    assert http.get(f"{url_of(image)}/bulkdata/{path}").status_code == status


def test_bulk_data_of_an_item(http: httpx.Client) -> None:
    image = mr_image()
    item = Dataset()
    item.EncapsulatedDocument = bytes(2000)
    image.IconImageSequence = [item]
    store(http, part10(image))
    url = f"{url_of(image)}/bulkdata/00880200"
    alone = {"Accept": "application/octet-stream"}
    found = http.get(f"{url}/1/00420011", headers=alone)
    assert found.content == bytes(2000)
    assert http.get(f"{url}/%201/00420011", headers=alone).headers["etag"] == found.headers["etag"]
    for item_number in ("0", "-1", "2"):
        assert http.get(f"{url}/{item_number}/00420011").status_code == 404
    # a path is never part of a header field as it was sent
    assert http.get(f"{url}/1%0D%0AInjected:%201/00420011").status_code in (400, 404)


def test_frames_that_are_not_there_are_no_success(http: httpx.Client) -> None:
    native = mr_image()
    native.NumberOfFrames = 1000
    store(http, part10(native))
    frames = f"{url_of(native)}/frames"
    assert http.get(f"{frames}/1").status_code == 200
    for numbers in ("2", "1000", "1,2"):
        response = http.get(f"{frames}/{numbers}")
        assert response.status_code == 406
        assert "cannot be decoded" in response.json()["detail"]
    encapsulated = undecodable()
    encapsulated.NumberOfFrames = 1000
    store(http, part10(encapsulated))
    assert http.get(f"{url_of(encapsulated)}/frames/999").status_code == 406


def test_numbers_that_no_json_can_hold_do_not_stop_the_metadata(http: httpx.Client) -> None:
    image = mr_image()
    for position, text in enumerate((b"99999999999999999999", b"1e30", b"1.5"), start=1):
        tag = Tag(0x0008, 0x2120 + 2 * position)
        image[tag] = RawDataElement(tag, "IS", len(text), text, 0, False, True)
    store(http, part10(image))
    (document,) = http.get(f"{url_of(image)}/metadata").json()
    values = [document[tag]["Value"][0] for tag in ("00082122", "00082124", "00082126")]
    assert [float(found) for found in values] == [99999999999999999999.0, 1e30, 1.5]
    assert document["00100020"]["Value"] == ["P-1"]


def test_a_deflated_bomb_is_inflated_up_to_a_limit_only(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.store.transcode.MAX_CONVERTED_BYTES", 5_000_000)
    image = mr_image()
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.EncapsulatedDocument = bytes(30_000_000)
    file = part10(image)
    assert len(file) < 100_000
    store(http, file)
    explicit = single(http, image, ExplicitVRLittleEndian)
    assert explicit.status_code == 406
    assert data_set_bytes(single(http, image).content) == data_set_bytes(file)


def test_what_is_too_large_uncompressed_is_sent_as_it_is_stored_only(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.store.transcode.MAX_CONVERTED_BYTES", 1_000_000)
    image = mr_image()
    image.Rows = image.Columns = 1000
    image.PixelData = bytes(2_000_000)
    image.compress(RLELossless, generate_instance_uid=False)
    store(http, part10(image))
    assert single(http, image, ExplicitVRLittleEndian).status_code == 406
    assert single(http, image).status_code == 200


def test_missing_file_is_said(gateway: Gateway, http: httpx.Client) -> None:
    image = mr_image()
    store(http, part10(image))
    for file in (gateway.store.root / "instances").rglob("*.dcm"):
        file.unlink()
    response = http.get(url_of(image))
    assert response.status_code == 500
    assert "missing from the gateway's disk" in response.json()["detail"]


def test_requests_are_measured_under_route_templates(gateway: Gateway, http: httpx.Client) -> None:
    uid = generate_uid()
    http.get(f"/studies/{uid}")
    text = gateway.telemetry.exposition().decode()
    assert 'route="/dicom-web/studies/{study}",status="404"' in text
    assert uid not in text
