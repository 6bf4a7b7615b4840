"""WADO-RS and QIDO-RS of the gateway beside Orthanc's, in one run, over the loopback interface.

The gateway is the real process; its store is filled through the store itself, so index and files are real. Orthanc
gets the same studies to retrieve, and for searches fewer instances, because filling it takes far longer: its times
are those of the smaller index. One client reads and throws away, without decoding.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import psutil
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from benchmarks.report import Row, arguments, percentile, publish
from producers.store import FileMeta, InstanceStore, Received, Spool, encode_header
from producers.telemetry import Telemetry
from schemas.events import Origin
from tests.orthanc import orthanc_server
from tests.services import module, wait_for
from tests.tools import free_port

ORTHANC: Final = "Orthanc 1.10.1"
AS_STORED: Final = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
JSON: Final = {"Accept": "application/dicom+json"}
_ROOT: Final = "1.2.826.0.1.3680043.8.498.77"
_FAMILY: Final = ("Шевченко", "Ґудзь", "Українка", "Smith", "Müller", "Kowalski", "Їжакевич", "Novak")
_GIVEN: Final = ("Тарас", "Євгенія", "Леся", "John", "Anna", "Jan", "Іван", "Eva")
_BUFFER_BYTES: Final = 1 << 20


def data_set(study: int, number: int, pixels: bytes, side: int, series_size: int) -> bytes:
    """Encoded CT slice of one of many studies."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{_ROOT}.3.{study}.{number + 1}"
    ds.StudyInstanceUID = f"{_ROOT}.1.{study}"
    ds.SeriesInstanceUID = f"{_ROOT}.2.{study}.{number // series_size + 1}"
    ds.StudyDate, ds.StudyTime = f"2026{study % 12 + 1:02}{study % 28 + 1:02}", f"{study % 24:02}3000"
    ds.AccessionNumber, ds.Modality = f"A{study:06}", ("CT", "MR", "DX", "US")[study % 4]
    ds.PatientName = f"{_FAMILY[study % 8]}^{_GIVEN[study // 8 % 8]}"
    ds.PatientID, ds.PatientBirthDate, ds.PatientSex = f"P{study:06}", "19700101", "O"
    ds.ReferringPhysicianName, ds.StudyID, ds.StudyDescription = "", str(study), "CT of a phantom"
    ds.SeriesNumber, ds.InstanceNumber = number // series_size + 1, number % series_size + 1
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels
    ds["PixelData"].VR = "OW"
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return bytes(buffer.getvalue())


def study_of(study: int, instances: int, side: int) -> Iterator[bytes]:
    """Encoded slices of one study in series of 50."""
    pixels = random.Random(study).randbytes(side * side * 2)
    return (data_set(study, number, pixels, side, 50) for number in range(instances))


async def fill(root: Path, studies: Sequence[tuple[int, int, int]]) -> None:
    """Store studies (number, instances, side) through the store, without events."""
    store = InstanceStore.open(root, lambda *_: (), Telemetry(), refuse_fraction=1.0, warn_fraction=1.0)
    try:
        for study, instances, side in studies:
            waiting = [
                store.put(Received(Spool.of(data), ExplicitVRLittleEndian, Origin.STOW_RS))
                for data in study_of(study, instances, side)
            ]
            for outcome in await asyncio.gather(*waiting):
                if not outcome.ok:
                    raise RuntimeError(outcome.sentence)
    finally:
        store.close()


class Client:
    """One connection that reads answers and throws them away."""

    def __init__(self, root: str) -> None:
        address = urlsplit(root)
        self._path = address.path
        self._connection = http.client.HTTPConnection(str(address.hostname), int(address.port or 80), timeout=120)
        self._buffer = bytearray(_BUFFER_BYTES)

    def get(self, path: str, headers: Mapping[str, str]) -> int:
        """Bytes of an answer."""
        self._connection.request("GET", self._path + path, headers=dict(headers))
        response = self._connection.getresponse()
        if response.status not in (200, 204):
            raise RuntimeError(f"{path}: {response.status} {response.read(500)!r}")
        total = 0
        while count := response.readinto(self._buffer):
            total += count
        return total

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a body, on a connection of its own: a server may have closed one that was idle."""
        self._connection.close()
        self._connection.request("POST", self._path + path, body, dict(headers))
        response = self._connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status}")


def retrieval_mb_per_s(root: str, study: int, seconds: float) -> float:
    """Megabytes per second of whole retrievals of one study, by one client, for about so long."""
    client = Client(root)
    path = f"/studies/{_ROOT}.1.{study}"
    client.get(path, AS_STORED)
    started, total = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        total += client.get(path, AS_STORED)
    return total / (time.perf_counter() - started) / 1e6


def queries(studies: int) -> Iterator[tuple[str, str]]:
    """Searches as worklists and viewers make them: name and path."""
    chosen = random.Random(4)
    while True:
        study = chosen.randrange(studies)
        day = f"2026{study % 12 + 1:02}{study % 28 + 1:02}"
        parameters: dict[str, dict[str, str]] = {
            "patient": {"PatientID": f"P{study:06}"},
            "accession": {"AccessionNumber": f"A{study:06}"},
            "name": {"PatientName": f"{_FAMILY[study % 8]}*", "limit": "25"},
            "dates": {"StudyDate": f"{day}-{day[:6]}31", "ModalitiesInStudy": "CT", "limit": "25"},
            "newest": {"limit": "25"},
        }
        for name, values in parameters.items():
            yield name, f"/studies?{urlencode(values, quote_via=quote)}"
        uid = f"{_ROOT}.1.{study}"
        yield "series", f"/studies/{uid}/series"
        yield "instances", f"/studies/{uid}/series/{_ROOT}.2.{study}.1/instances"
        yield "all instances", f"/instances?{urlencode({'Modality': 'MR', 'limit': '25'})}"


def search_ms(root: str, studies: int, count: int) -> dict[str, list[float]]:
    """Milliseconds of each search, by its name."""
    client = Client(root)
    times: dict[str, list[float]] = {}
    for _, (name, path) in zip(range(count), queries(studies), strict=False):
        started = time.perf_counter()
        client.get(path, JSON)
        times.setdefault(name, []).append((time.perf_counter() - started) * 1000)
    return times


@contextmanager
def gateway(data_dir: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The gateway process on a store that is there; no Kafka is needed for what is measured."""
    port = free_port()
    environment = {
        "SCANSTREAM_DATA_DIR": str(data_dir),
        "SCANSTREAM_GATEWAY_HTTP_PORT": str(port),
        "SCANSTREAM_GATEWAY_DIMSE_PORT": "0",
        "SCANSTREAM_GATEWAY_DISK_REFUSE_FRACTION": "1",
    }
    root = f"http://127.0.0.1:{port}/dicom-web"
    with module("producers.gateway", environment=environment, log=data_dir / "gateway.log") as child:

        def up() -> bool:
            if child.poll() is not None:
                raise RuntimeError((data_dir / "gateway.log").read_text(encoding="utf-8"))
            try:
                return Client(root).get("/studies?limit=1", JSON) > 0
            except OSError:
                return False

        wait_for(up, "the gateway", 300)
        yield root, psutil.Process(child.pid)


def fill_orthanc(root: str, studies: Sequence[tuple[int, int, int]]) -> None:
    """Send studies to Orthanc by STOW-RS, 20 instances in each request."""
    client = Client(root)
    content_type = 'multipart/related; type="application/dicom"; boundary=b0undary'
    for study, instances, side in studies:
        slices = list(study_of(study, instances, side))
        for first in range(0, len(slices), 20):
            body = b"".join(
                b"--b0undary\r\nContent-Type: application/dicom\r\n\r\n"
                + part10(study, first + offset, data)
                + b"\r\n"
                for offset, data in enumerate(slices[first : first + 20])
            )
            client.post("/studies", body + b"--b0undary--", {"Content-Type": content_type})


def part10(study: int, number: int, data: bytes) -> bytes:
    """File of a data set."""
    meta = FileMeta(ExplicitVRLittleEndian, CTImageStorage, f"{_ROOT}.3.{study}.{number + 1}")
    return encode_header(meta) + data


def main() -> int:
    """Command line."""
    parser = arguments("DICOMweb beside Orthanc")
    parser.add_argument("--directory", type=Path, help="where the stores go; default: the temporary directory")
    options = parser.parse_args()
    instances, searches, seconds = (10_000, 400, 3.0) if options.quick else (100_000, 4_000, 10.0)
    per_study = 250
    large, small = (1_000_001, 100 if options.quick else 400, 512), (1_000_002, 1_000, 70)
    indexed = [(number, per_study, 2) for number in range(instances // per_study)]
    fewer = indexed[: 4 if options.quick else 12]
    with tempfile.TemporaryDirectory(prefix="scanstream-", dir=options.directory) as folder:
        data_dir = Path(folder)
        started = time.perf_counter()
        asyncio.run(fill(data_dir / "gateway", [*indexed, large, small]))
        filled = time.perf_counter() - started
        with gateway(data_dir) as (root, process):
            own_large = retrieval_mb_per_s(root, large[0], seconds)
            own_small = retrieval_mb_per_s(root, small[0], seconds)
            memory = process.memory_info().rss / 1e6
            own = search_ms(root, len(indexed), searches)
        peer_folder = data_dir / "orthanc"
        peer_folder.mkdir()
        with orthanc_server(peer_folder, options={"StorageCompression": False}) as peer:
            fill_orthanc(peer.dicom_web, [*fewer, large, small])
            peer_large = retrieval_mb_per_s(peer.dicom_web, large[0], seconds)
            peer_small = retrieval_mb_per_s(peer.dicom_web, small[0], seconds)
            theirs = search_ms(peer.dicom_web, len(fewer), searches // 4)
    ours, others = (list(chain.from_iterable(times.values())) for times in (own, theirs))
    count = sum(size for _, size, _ in fewer)
    rows = [
        Row(f"WADO-RS, study of {large[1]} slices of 525 kB", own_large, "MB/s", ORTHANC, peer_large),
        Row(f"WADO-RS, study of {small[1]} slices of 10 kB", own_small, "MB/s", ORTHANC, peer_small),
        Row(
            f"QIDO-RS p50, {instances} instances",
            percentile(ours, 0.5),
            "ms",
            f"{ORTHANC}, {count} instances",
            percentile(others, 0.5),
        ),
        Row(
            f"QIDO-RS p99, {instances} instances",
            percentile(ours, 0.99),
            "ms",
            f"{ORTHANC}, {count} instances",
            percentile(others, 0.99),
        ),
        *(
            Row(
                f"QIDO-RS p99, {name}",
                percentile(times, 0.99),
                "ms",
                f"{ORTHANC}, {count} instances",
                percentile(theirs[name], 0.99),
            )
            for name, times in own.items()
        ),
        Row("gateway: resident memory after the retrievals", memory, "MB"),
        Row("filling the store through its own interface", instances / filled, "instances/s"),
    ]
    publish("DICOMweb over the loopback interface, one client", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
