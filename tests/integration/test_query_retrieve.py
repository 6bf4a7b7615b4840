"""Query and retrieval of the gateway's store by DCMTK, pynetdicom's programs and Orthanc, unchanged."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from producers.store import split
from tests.orthanc import orthanc_server
from tests.producers.certificates import authority, signed
from tests.producers.dimse.archive import fill, fill_file
from tests.producers.dimse.around import everyone
from tests.producers.listener import Listener, data_set_of
from tests.producers.listener import listener as running
from tests.producers.store.data import PYDICOM, image
from tests.services import program, stop, wait_for
from tests.studies import small_study
from tests.tools import free_port, need

pytestmark = pytest.mark.integration

GUDZ = "Ґудзь^Євгенія"
SHEVCHENKO = "Шевченко^Тарас"


@contextmanager
def gateway(
    directory: Path, settings: Mapping[str, Any] | None = None, *, tls: bool = False, **destinations: int
) -> Iterator[Listener]:
    """Listener with two studies, and with destinations by AE title and port."""
    directory.mkdir(exist_ok=True)
    peers = directory / "peers.yaml"
    entries = [
        {"ae_title": title, "host": "127.0.0.1", "port": port, "tls": tls} for title, port in destinations.items()
    ]
    peers.write_text(everyone(*entries), encoding="utf-8")
    with running(directory / "node", peers_file=peers, **(settings or {})) as listener:
        fill(listener, small_study(1, slices=5, patient_name=GUDZ))
        fill(listener, small_study(2, slices=3, patient_name=SHEVCHENKO))
        yield listener


def uid(number: int) -> str:
    """Study Instance UID."""
    return str(small_study(number, slices=1, size=4)[0].StudyInstanceUID)


def run(name: str, *arguments: object, expect: int | None = 0, directory: Path | None = None) -> str:
    """Run a program of DCMTK, or ``pynetdicom:NAME``, to its end; what it said."""
    app = name.removeprefix("pynetdicom:")
    command = [need(name)] if app == name else [sys.executable, "-m", "pynetdicom", app]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, timeout=120, cwd=directory)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert expect is None or done.returncode == expect, said
    return said


def of(keys: dict[str, str]) -> list[str]:
    """Arguments for keys."""
    return [argument for name, value in keys.items() for argument in ("-k", f"{name}={value}")]


def found_in(directory: Path) -> list[Dataset]:
    """Responses that a program wrote."""
    return [dcmread(path, force=True) for path in sorted(directory.glob("rsp*.dcm"))]


def received(directory: Path) -> set[bytes]:
    """Data sets of the files that a program wrote."""
    files = [path.read_bytes() for path in directory.iterdir()]
    return {data[split(data)[1] :] for data in files}


def stored(listener: Listener, *studies: str) -> set[bytes]:
    """Data sets of the store."""
    return {data_set_of(item) for study in studies for item in listener.stored(study)}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Directory for what programs write."""
    directory = tmp_path / "output"
    directory.mkdir()
    return directory


@pytest.mark.dcmtk
def test_findscu_finds_studies_series_and_images_of_a_cyrillic_name(tmp_path: Path, output: Path) -> None:
    with gateway(tmp_path) as listener:

        def find(level: str, **keys: str) -> list[Dataset]:
            for path in output.glob("rsp*.dcm"):
                path.unlink()
            keys = {"SpecificCharacterSet": "ISO_IR 192", "QueryRetrieveLevel": level} | keys
            run("findscu", "-S", "-X", "-od", output, "127.0.0.1", listener.port, *of(keys))
            return found_in(output)

        (study,) = find("STUDY", PatientName="ґудзь*", StudyInstanceUID="", NumberOfStudyRelatedInstances="")
        assert (study.PatientName, study.NumberOfStudyRelatedInstances) == (GUDZ, 5)
        (series,) = find("SERIES", StudyInstanceUID=study.StudyInstanceUID, SeriesInstanceUID="", Modality="")
        assert series.Modality == "MR"
        images = find(
            "IMAGE",
            StudyInstanceUID=study.StudyInstanceUID,
            SeriesInstanceUID=series.SeriesInstanceUID,
            SOPInstanceUID="",
            InstanceNumber="",
        )
        assert [item.InstanceNumber for item in images] == [1, 2, 3, 4, 5]


@pytest.mark.dcmtk
@pytest.mark.parametrize("syntax", ["-xe", "-xi", "-xb"])
def test_findscu_is_answered_in_each_transfer_syntax(tmp_path: Path, output: Path, syntax: str) -> None:
    with gateway(tmp_path) as listener:
        keys = of({"QueryRetrieveLevel": "PATIENT", "PatientID": "P-2", "PatientName": ""})
        run("findscu", "-P", syntax, "-X", "-od", output, "127.0.0.1", listener.port, *keys)
        (patient,) = found_in(output)
        assert patient.PatientName == SHEVCHENKO


@pytest.mark.dcmtk
def test_findscu_takes_a_thousand_results_and_can_cancel(tmp_path: Path) -> None:
    with running(tmp_path) as listener:
        fill(listener, (image(f"1.2.{number}.1", f"1.2.{number}") for number in range(1000)))
        arguments = ["127.0.0.1", listener.port, *of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""})]
        assert run("findscu", "-v", "-S", *arguments).count("(Pending)") == 1000
        said = run("findscu", "-v", "-S", "--cancel", 3, *arguments)
        assert "Sending Cancel Request" in said
        assert said.count("(Pending)") >= 3


@pytest.mark.dcmtk
def test_getscu_gets_a_study_byte_for_byte(tmp_path: Path, output: Path) -> None:
    with gateway(tmp_path) as listener:
        keys = of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": uid(1)})
        run("getscu", "-S", "+B", "-od", output, "127.0.0.1", listener.port, *keys)
        assert received(output) == stored(listener, uid(1))


@pytest.mark.dcmtk
def test_getscu_gets_a_compressed_image_as_it_is_and_decoded(tmp_path: Path, output: Path) -> None:
    path = PYDICOM / "MR_small_RLE.dcm"
    original = dcmread(path)
    with running(tmp_path / "node") as listener:
        data = fill_file(listener, path)
        keys = of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": original.StudyInstanceUID})
        run("getscu", "-S", "+B", "+xr", "-od", output, "127.0.0.1", listener.port, *keys)
        assert received(output) == {data}
        plain = output / "plain"
        plain.mkdir()
        run("getscu", "-S", "+xi", "-od", plain, "127.0.0.1", listener.port, *keys)
        (decoded,) = plain.iterdir()
        assert (dcmread(decoded).pixel_array == original.pixel_array).all()


@pytest.mark.dcmtk
def test_movescu_receives_what_it_moves_byte_for_byte(tmp_path: Path, output: Path) -> None:
    port = free_port()
    with gateway(tmp_path, MOVESCU=port) as listener:
        keys = of({"QueryRetrieveLevel": "PATIENT", "PatientID": "P-1"})
        # With +B it writes into the current directory, whatever -od says.
        arguments = ["-P", "+B", "-aem", "MOVESCU", "+P", port]
        run("movescu", *arguments, "127.0.0.1", listener.port, *keys, directory=output)
        assert received(output) == stored(listener, uid(1))


@pytest.mark.dcmtk
def test_movescu_to_a_storescp_that_dies_in_the_middle_hears_what_failed(tmp_path: Path, output: Path) -> None:
    port = free_port()
    scp = [need("storescp"), "+B", "+xa", "--sleep-after", "1", "-od", str(output), "-aet", "STORESCP", str(port)]
    with (
        gateway(tmp_path, STORESCP=port) as listener,
        program(scp, environment={}, log=tmp_path / "storescp.log") as child,
    ):
        wait_for(lambda: _answers(port), "storescp")
        keys = of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": uid(1)})
        command = [need("movescu"), "-v", "-S", "-aem", "STORESCP", "127.0.0.1", str(listener.port), *keys]
        with program(command, environment={}, log=tmp_path / "movescu.log") as mover:
            wait_for(lambda: len(list(output.iterdir())) >= 2, "the second image")
            stop(child)
            mover.wait(120)
        said = (tmp_path / "movescu.log").read_text(errors="replace")
        assert "0xb000" in said.lower() or "SubOperationsComplete" in said
        assert received(output) < stored(listener, uid(1))


@pytest.mark.dcmtk
def test_movescu_to_nobody_is_refused(tmp_path: Path) -> None:
    with gateway(tmp_path) as listener:
        keys = of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": uid(1)})
        said = run("movescu", "-v", "-S", "-aem", "NOBODY", "127.0.0.1", listener.port, *keys, expect=None)
        assert "a801" in said.lower() or "MoveDestinationUnknown" in said


@pytest.mark.dcmtk
def test_a_move_over_tls_arrives_and_a_stranger_gets_nothing(tmp_path: Path, output: Path) -> None:
    ca = authority(tmp_path)
    ours, theirs = signed(tmp_path, "gateway", ca), signed(tmp_path, "receiver", ca)
    stranger = signed(tmp_path, "stranger", authority(tmp_path, "other"))
    settings = {
        "dimse_tls_certificate": ours.certificate,
        "dimse_tls_key": ours.key,
        "dimse_tls_ca": ca.certificate,
    }
    for shown, expected in ((theirs, 5), (stranger, 0)):
        port, written = free_port(), output / shown.certificate.stem
        written.mkdir()
        scp = ["+tls", shown.key, shown.certificate, "+cf", ca.certificate, "+B", "-od", written, port]
        command = [need("storescp"), *map(str, scp)]
        with (
            program(command, environment={}, log=tmp_path / "storescp.log"),
            gateway(tmp_path / shown.certificate.stem, settings, tls=True, STORESCP=port) as listener,
        ):
            wait_for(lambda at=port: _is_open(at), "storescp")
            keys = of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": uid(1)})
            said = run("movescu", "-v", "-S", "-aem", "STORESCP", "127.0.0.1", listener.port, *keys, expect=None)
            assert len(received(written)) == expected, said
            assert received(written) <= stored(listener, uid(1))


def test_pynetdicoms_findscu_getscu_and_movescu(tmp_path: Path, output: Path) -> None:
    port = free_port()
    keys = of({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": uid(2)})
    with gateway(tmp_path, STORESCP=port) as listener:
        peer = ("127.0.0.1", listener.port)
        said = run("pynetdicom:findscu", *peer, "-S", "-v", *keys, "-k", "PatientName=")
        assert said.count("(Pending)") == 1
        run("pynetdicom:getscu", *peer, "-S", "-od", output / "got", *keys)
        assert len(received(output / "got")) == 3
        moved = output / "moved"
        arguments = ["--store", "--store-port", port, "-aem", "STORESCP", "-od", moved]
        run("pynetdicom:movescu", *peer, "-S", *arguments, *keys)
        assert len(received(moved)) == 3


@pytest.mark.orthanc
def test_orthanc_finds_and_retrieves_a_cyrillic_study_on_all_levels(tmp_path: Path) -> None:
    directory = tmp_path / "orthanc"
    directory.mkdir()
    with orthanc_server(directory) as orthanc, gateway(tmp_path, ORTHANC=orthanc.dicom_port) as listener:
        web = httpx.Client(base_url=orthanc.http, timeout=120)

        def post(path: str, body: Any) -> Any:
            answer = web.post(path, json=body) if isinstance(body, dict) else web.post(path, content=body)
            assert answer.is_success, answer.text
            return answer.json()

        def query(level: str, **keys: str) -> tuple[str, list[dict[str, Any]]]:
            path = post("/modalities/gateway/query", {"Level": level, "Query": keys})["Path"]
            answers = web.get(f"{path}/answers", params={"expand": "", "simplify": ""}).json()
            return path, answers

        web.put(
            "/modalities/gateway", json={"AET": "SCANSTREAM", "Host": "127.0.0.1", "Port": listener.port}
        ).raise_for_status()
        path, (study,) = query("Study", PatientName="Ґудзь*", StudyInstanceUID="", StudyDescription="")
        assert study["PatientName"] == GUDZ
        assert study["StudyDescription"] == "МРТ головного мозку"
        _, series = query("Series", StudyInstanceUID=uid(1), SeriesInstanceUID="")
        assert len(series) == 1
        _, images = query(
            "Instance",
            StudyInstanceUID=uid(1),
            SeriesInstanceUID=series[0]["SeriesInstanceUID"],
            SOPInstanceUID="",
        )
        assert len(images) == 5
        post(f"{path}/answers/0/retrieve", orthanc.ae_title)
        instances = web.get("/instances").json()
        files = [web.get(f"/instances/{name}/file").content for name in instances]
        assert {data[split(data)[1] :] for data in files} == stored(listener, uid(1))
        _, patients = query("Patient", PatientID="", PatientName="Шевченко*")
        assert [patient["PatientID"] for patient in patients] == ["P-2"]
        web.close()


def _answers(port: int) -> bool:
    """Whether a listener answers C-ECHO; a bare connection could keep DCMTK's from taking the next one."""
    echo = [need("echoscu"), "-to", "5", "-ta", "5", "-td", "5", "127.0.0.1", str(port)]
    return subprocess.run(echo, capture_output=True, timeout=60).returncode == 0


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
