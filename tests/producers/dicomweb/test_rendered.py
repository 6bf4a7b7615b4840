"""Rendered images and thumbnails over HTTP: the right pixels, in the form that was asked for."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import compress
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.producers.dicomweb.conftest import Gateway, running_gateway
from tests.producers.dicomweb.objects import DEMONSTRATION, STOW_TYPE, mr_image, part10, stow_body

PNG = {"Accept": "image/png"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests of this file."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def http(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.dicom_web, timeout=30) as client:
        yield client


def store(http: httpx.Client, *images: Dataset) -> None:
    body = stow_body([part10(image) for image in images])
    response = http.post("/studies", content=body, headers={"Content-Type": STOW_TYPE})
    assert response.status_code == 200, response.text


def url_of(image: Dataset) -> str:
    return f"/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}/instances/{image.SOPInstanceUID}"


def pixels_of(response: httpx.Response) -> np.ndarray[Any, np.dtype[np.uint8]]:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(BytesIO(response.content)))


def parts_of(response: httpx.Response) -> list[email.message.EmailMessage]:
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + response.content, policy=email.policy.HTTP)
    return list(message.iter_parts())  # type: ignore[attr-defined]  # the HTTP policy makes EmailMessage


def gradient(**attributes: Any) -> Dataset:
    image = mr_image()
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


EXPECTED = np.rint(np.arange(48).reshape(8, 6) / 47 * 255)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_png_has_the_exact_values(http: httpx.Client, syntax: str) -> None:
    image = gradient()
    image.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        image.PixelData = np.arange(48, dtype=">u2").tobytes()
    store(http, image)
    assert np.array_equal(pixels_of(http.get(f"{url_of(image)}/rendered", headers=PNG)), EXPECTED)


def test_jpeg_2000(http: httpx.Client) -> None:
    image = gradient(BitsAllocated=8, BitsStored=8, HighBit=7)
    buffer = BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(8, 6)).save(buffer, "JPEG2000", no_jp2=True)
    image.PixelData = encapsulate([buffer.getvalue()])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = JPEG2000Lossless
    store(http, image)
    assert np.array_equal(pixels_of(http.get(f"{url_of(image)}/rendered", headers=PNG)), EXPECTED)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_images_are_decoded(http: httpx.Client, syntax: str) -> None:
    image = gradient()
    compress(image, syntax, generate_instance_uid=False)
    store(http, image)
    assert np.array_equal(pixels_of(http.get(f"{url_of(image)}/rendered", headers=PNG)), EXPECTED)


def test_signed_monochrome_1_with_rescale_and_a_window(http: httpx.Client) -> None:
    image = gradient(PhotometricInterpretation="MONOCHROME1", PixelRepresentation=1)
    image.PixelData = np.arange(-24, 24, dtype="<i2").tobytes()
    image.RescaleSlope, image.RescaleIntercept = 2, 0
    store(http, image)
    window = {"window": "0,48,linear-exact"}
    found = pixels_of(http.get(f"{url_of(image)}/rendered", params=window, headers=PNG))
    expected = 255 - np.clip((np.arange(-24, 24) * 2 / 48 + 0.5), 0, 1) * 255
    assert np.abs(found.ravel() - expected).max() <= 0.5


def colour(interpretation: str, planar: int = 0) -> tuple[Dataset, np.ndarray[Any, np.dtype[np.uint8]]]:
    rgb = np.random.default_rng(7).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    image = gradient(PhotometricInterpretation=interpretation, SamplesPerPixel=3, PlanarConfiguration=planar)
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    data = rgb if planar == 0 else rgb.transpose(2, 0, 1)
    image.PixelData = data.tobytes()
    image["PixelData"].VR = "OB"
    return image, rgb


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb(http: httpx.Client, planar: int) -> None:
    image, rgb = colour("RGB", planar)
    store(http, image)
    assert np.array_equal(pixels_of(http.get(f"{url_of(image)}/rendered", headers=PNG)), rgb)


def test_ybr_becomes_rgb(http: httpx.Client) -> None:
    image, _ = colour("YBR_FULL")
    image.PixelData = np.tile(np.array([76, 85, 255], np.uint8), 48).tobytes()
    store(http, image)
    found = pixels_of(http.get(f"{url_of(image)}/rendered", headers=PNG))
    assert np.abs(found.astype(int) - [254, 0, 0]).max() <= 2


def test_jpeg_baseline_of_ybr_422(http: httpx.Client) -> None:
    image, _ = colour("YBR_FULL_422")
    image.Rows = image.Columns = 16
    buffer = BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 60)).save(buffer, "JPEG", quality=95, subsampling="4:2:2")
    image.PixelData = encapsulate([buffer.getvalue()])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    store(http, image)
    found = pixels_of(http.get(f"{url_of(image)}/rendered", headers=PNG))
    assert np.abs(found.astype(int) - [200, 30, 60]).max() <= 4


def test_palette_colour_of_16_bits(http: httpx.Client) -> None:
    image = gradient(PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, BitsStored=8, HighBit=7)
    image.PixelData = bytes(range(48))
    image["PixelData"].VR = "OB"
    for number, name in enumerate(("Red", "Green", "Blue")):
        setattr(image, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = (np.arange(256, dtype="<u2") * (number + 1)) % 256 << 8
        setattr(image, f"{name}PaletteColorLookupTableData", table.tobytes())
    store(http, image)
    found = pixels_of(http.get(f"{url_of(image)}/rendered", headers=PNG)).reshape(48, 3)
    assert found[5].tolist() == [5, 10, 15]


def multi_frame() -> Dataset:
    image = gradient(NumberOfFrames=3)
    image.PixelData = b"".join(np.full(48, 1000 * frame, "<u2").tobytes() for frame in (1, 2, 3))
    image.WindowCenter, image.WindowWidth, image.VOILUTFunction = 2000, 4000, "LINEAR_EXACT"
    return image


def test_frames_alone_and_together(http: httpx.Client) -> None:
    image = multi_frame()
    store(http, image)
    third = http.get(f"{url_of(image)}/frames/3/rendered", headers=PNG)
    assert np.unique(pixels_of(third)).tolist() == [191]
    middle = http.get(f"{url_of(image)}/rendered", headers=PNG)
    assert np.unique(pixels_of(middle)).tolist() == [128]
    parts = parts_of(
        http.get(f"{url_of(image)}/frames/3,1/rendered", headers={"Accept": 'multipart/related; type="image/png"'})
    )
    values = [np.asarray(Image.open(BytesIO(part.get_content()))).ravel()[0] for part in parts]
    assert [int(value) for value in values] == [191, 64]
    assert parts[0]["Content-Location"].endswith(f"{url_of(image)}/frames/3/rendered")
    assert http.get(f"{url_of(image)}/frames/1,2/rendered", headers=PNG).status_code == 406
    assert http.get(f"{url_of(image)}/frames/4/rendered", headers=PNG).status_code == 404
    assert http.get(f"{url_of(image)}/frames/x/rendered", headers=PNG).status_code == 400


def test_gif_of_a_multi_frame_image_moves(http: httpx.Client) -> None:
    image = multi_frame()
    image.RecommendedDisplayFrameRate = 20
    store(http, image)
    response = http.get(f"{url_of(image)}/rendered", headers={"Accept": "image/gif"})
    gif = Image.open(BytesIO(response.content))
    assert (getattr(gif, "n_frames", 1), gif.info["duration"]) == (3, 50)


def test_study_and_series_are_parts_in_order(gateway: Gateway, http: httpx.Client) -> None:
    images = [mr_image("1.2.3", "1.2.3.4") for _ in range(3)]
    for number, image in enumerate(images, start=1):
        image.InstanceNumber = number
    report = mr_image("1.2.3", "1.2.3.4")
    del report.PixelData
    store(http, *images, report)
    for path in ("/studies/1.2.3/rendered", "/studies/1.2.3/series/1.2.3.4/rendered"):
        parts = parts_of(http.get(path))
        assert [part.get_content_type() for part in parts] == ["image/jpeg"] * 3
        assert [part["Content-Location"].split("/")[-4] for part in parts] == [
            image.SOPInstanceUID for image in images
        ]
        assert http.get(path, headers=PNG).status_code == 406
    rendered = DICOMwebClient(gateway.dicom_web).retrieve_series_rendered("1.2.3", "1.2.3.4")
    assert rendered.count(b"image/jpeg") == 3


def test_dicomweb_client_renders_instances_and_frames(gateway: Gateway, http: httpx.Client) -> None:
    image = multi_frame()
    store(http, image)
    client = DICOMwebClient(gateway.dicom_web)
    uids = (image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID)
    jpeg = client.retrieve_instance_rendered(*uids, media_types=("image/jpeg",), params={"quality": 40})
    assert Image.open(BytesIO(jpeg)).format == "JPEG"
    png = client.retrieve_instance_frames_rendered(*uids, frame_numbers=[2], media_types=("image/png",))
    assert Image.open(BytesIO(png)).size == (6, 8)


@pytest.mark.parametrize(
    ("viewport", "size", "corner"),
    [
        ("60,60", (45, 60), None),
        ("12,100", (12, 16), None),
        ("3,4,0,0,3,4", (3, 4), 0),
        ("3,4,3,4,3,4", (3, 4), 27),
        ("3,4,,,3,4", (3, 4), 0),
        ("3,4,0,0,-3,4", (3, 4), 2),
        ("3,4,0,0,3,-4", (3, 4), 18),
    ],
)
def test_viewport(http: httpx.Client, viewport: str, size: tuple[int, int], corner: int | None) -> None:
    image = gradient(WindowCenter=128, WindowWidth=256, VOILUTFunction="LINEAR_EXACT")
    image.PixelData = (np.arange(48, dtype="<u2")).tobytes()
    store(http, image)
    found = pixels_of(http.get(f"{url_of(image)}/rendered", params={"viewport": viewport}, headers=PNG))
    assert found.shape == (size[1], size[0])
    if corner is not None:
        assert abs(int(found[0, 0]) - corner) <= 1


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"viewport": "1"}, "viewport must be width,height"),
        ({"viewport": "0,10"}, "from 1 to 8192"),
        ({"viewport": "99999999,99999999"}, "from 1 to 8192"),
        ({"viewport": "10,10,5,5,100,100"}, "not inside of the image"),
        ({"viewport": "10,10,-1,0,5,5"}, "must begin inside"),
        ({"viewport": "a,b"}, "decimal numbers"),
        ({"viewport": "1e400,nan"}, "decimal numbers"),
        ({"window": "40"}, "window must be center,width,function"),
        ({"window": "40,400,cubic"}, "window must be center,width,function"),
        ({"window": "40,0,linear"}, "the width of window"),
        ({"window": "inf,1,linear"}, "decimal numbers"),
        ({"quality": "0"}, "quality must be"),
        ({"quality": "9999999999999999999"}, "quality must be"),
    ],
)
def test_wrong_parameters_are_400_and_named(http: httpx.Client, parameters: dict[str, str], sentence: str) -> None:
    image = gradient()
    store(http, image)
    response = http.get(f"{url_of(image)}/rendered", params=parameters)
    assert response.status_code == 400
    assert sentence in response.json()["detail"]


def test_nothing_is_burned_in_and_that_is_said(http: httpx.Client) -> None:
    image = gradient()
    store(http, image)
    plain = http.get(f"{url_of(image)}/rendered")
    asked = http.get(f"{url_of(image)}/rendered", params={"annotation": "patient,technique", "iccprofile": "srgb"})
    assert asked.content == plain.content
    assert "annotation values are not supported: patient, technique" in asked.headers["warning"]
    assert "iccprofile" in asked.headers["warning"]


def test_rendered_images_have_an_etag_of_their_bytes(http: httpx.Client) -> None:
    image = gradient()
    store(http, image)
    jpeg, png = http.get(f"{url_of(image)}/rendered"), http.get(f"{url_of(image)}/rendered", headers=PNG)
    assert jpeg.headers["content-type"] == "image/jpeg"
    assert jpeg.headers["etag"] != png.headers["etag"]
    again = http.get(f"{url_of(image)}/rendered", headers={"If-None-Match": jpeg.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_thumbnails_of_every_resource(http: httpx.Client) -> None:
    image = gradient(Rows=400, Columns=200)
    image.PixelData = np.zeros((400, 200), "<u2").tobytes()
    report = mr_image(image.StudyInstanceUID, image.SeriesInstanceUID)
    del report.PixelData
    store(http, image, report)
    study = f"/studies/{image.StudyInstanceUID}"
    for path in (study, f"{study}/series/{image.SeriesInstanceUID}", url_of(image), f"{url_of(image)}/frames/1"):
        response = http.get(f"{path}/thumbnail")
        assert response.headers["content-type"] == "image/jpeg"
        assert Image.open(BytesIO(response.content)).size == (64, 128)
    small = http.get(f"{study}/thumbnail", params={"viewport": "32,32"}, headers=PNG)
    assert pixels_of(small).shape == (32, 16)
    assert http.get(f"{study}/thumbnail", params={"viewport": "1,2,3"}).status_code == 400
    assert http.get(f"{url_of(report)}/thumbnail").status_code == 406


def test_moving_images_are_bounded_in_memory(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    image = gradient(NumberOfFrames=3)
    image.PixelData = np.arange(3 * 48, dtype="<u2").tobytes()
    image.FrameTime = "1e400"
    store(http, image)

    def frames_of_gif() -> int:
        response = http.get(f"{url_of(image)}/rendered?window=72,145,linear", headers={"Accept": "image/gif"})
        assert response.status_code == 200
        return int(getattr(Image.open(BytesIO(response.content)), "n_frames", 1))

    assert frames_of_gif() == 3
    monkeypatch.setattr("producers.dicomweb.display.MAX_PIXELS", 100)
    assert frames_of_gif() == 1


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [((0x0028, 0x0008), "IS", b"many"), ((0x0028, 0x0010), "US", b""), ((0x0028, 0x0100), "US", b"\0\0")],
)
def test_a_description_that_is_none_is_an_object_without_an_image(
    http: httpx.Client, tag: tuple[int, int], vr: str, value: bytes
) -> None:
    image = gradient()
    image[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    store(http, image)
    assert http.get(f"{url_of(image)}/rendered").status_code == 406
    assert http.get(f"{url_of(image)}/frames/1").status_code == 404


def test_an_image_that_fails_in_the_middle_breaks_the_answer_off_with_one_line(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    good, broken = gradient(), gradient()
    broken.StudyInstanceUID, broken.SeriesInstanceUID = good.StudyInstanceUID, good.SeriesInstanceUID
    broken.InstanceNumber = 2
    broken.PixelData = bytes(10)
    store(http, good, broken)
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(f"/studies/{good.StudyInstanceUID}/rendered")
    (said,) = [record for record in caplog.records if record.message == "response broken off"]
    assert not said.exc_info
    assert not [record for record in caplog.records if "Exception in ASGI" in record.message]


def test_what_cannot_be_shown_is_406_with_the_reason(http: httpx.Client) -> None:
    lossless = gradient()
    lossless.PixelData = encapsulate([b"frame"])
    lossless["PixelData"].is_undefined_length = True
    lossless.file_meta.TransferSyntaxUID = HTJ2KLossless
    broken = gradient()
    broken.PixelData = encapsulate([b"no JPEG-LS"])
    broken["PixelData"].is_undefined_length = True
    broken.file_meta.TransferSyntaxUID = JPEGLSLossless
    short = gradient()
    short.PixelData = bytes(10)
    report = gradient()
    del report.PixelData
    store(http, lossless, broken, short, report)
    for image, sentence in (
        (lossless, "1.2.840.10008.1.2.4.201 cannot be decoded here"),
        (broken, "cannot be decoded"),
        (short, "cannot be decoded"),
        (report, "no image"),
    ):
        response = http.get(f"{url_of(image)}/rendered")
        assert response.status_code == 406, image
        assert sentence in response.json()["detail"]
    assert http.get(f"{url_of(report)}/rendered", headers={"Accept": "video/mp4"}).status_code == 406


def test_demonstration_series_is_rendered(http: httpx.Client) -> None:
    body = stow_body([path.read_bytes() for path in DEMONSTRATION])
    stored = http.post("/studies", content=body, headers={"Content-Type": STOW_TYPE}).json()
    study = stored["00081190"]["Value"][0]
    assert pixels_of(http.get(f"{study}/thumbnail", headers=PNG)).max() > 100
    assert len(parts_of(http.get(f"{study}/rendered", params={"viewport": "64,64"}))) == len(DEMONSTRATION)
