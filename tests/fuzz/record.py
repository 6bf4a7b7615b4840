"""``python -m tests.fuzz.record``: what real senders say to the gateway → seeds in ``corpus/``.

DCMTK, pynetdicom and Orthanc send a small image through a proxy that keeps their bytes; the other seeds are cut
out of these, or are data sets that pydicom carries for its own tests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from pydicom.dataset import Dataset
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    ImplementationVersionNameNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

from producers.dimse.identifier import TRANSFER_SYNTAXES as SERVICE_SYNTAXES
from producers.dimse.message import encode_command
from producers.dimse.pdu import PduStream, PduType
from producers.dimse.silence import silence
from producers.hl7.mllp import frame
from producers.store.outcome import Refused
from producers.store.part10 import FileMeta, encode_header, split
from tests.fuzz.data_sets import SYNTAXES
from tests.fuzz.proxy import Recorder
from tests.fuzz.targets import CORPUS
from tests.fuzz.web import BOUNDARY
from tests.orthanc import orthanc_server
from tests.producers.dimse.peer import ECHO, MR, RELEASE_RQ, request, store_request
from tests.producers.listener import listener
from tests.producers.store.data import EXPLICIT, PYDICOM, encoded, image
from tests.tools import need

_WHOLE = b"\0"
_MAX_SEED = 6000
_SEARCHES = (
    "PatientName=ІВАН*&limit=10&offset=2",
    "00100020=1%5C2&includefield=all&fuzzymatching=true",
    "StudyDate=20200101-20201231&StudyTime=-1200&ModalitiesInStudy=CT%5CMR",
    "StudyInstanceUID=1.2,1.3&includefield=00081030,SeriesDescription",
    "RequestAttributesSequence.ScheduledProcedureStepID=A&NumberOfFrames=3",
    "PatientBirthDate=19700101&PatientID=A?B*",
)
_ACCEPTS = (
    'multipart/related; type="application/dicom"; transfer-syntax=*, */*;q=0.1',
    "application/dicom+json, application/json;q=0.9",
    'multipart/related;type="image/jpeg";boundary="a b\\"c"',
    "image/png, image/jpeg;q=0.8, */*;q=x",
)

_MSH = "MSH|^~\\&|RIS|Лікарня|SCANSTREAM||20260301123015.250+0200||"
_MESSAGES = (
    f"{_MSH}ACK^R01^ACK|1|P|2.5.1||||||UNICODE UTF-8\rMSA|AA|PGF45VF5CJLGFKKJL7YA\r".encode(),
    f"{_MSH}ACK|2|P|2.5.1||||||UNICODE UTF-8\rMSA|AE|1|no\rERR||PID^1^3|204^x^HL70357|E||||Шевченко\r".encode(),
    b"MSH|^~\\&|||||||ACK|3|P|2.3\rMSA|AR|7|busy|||207^x\rERR|PID^1^5^101&x\r",
    f"{_MSH}ORU^R01|4|P|2.5.1||||||WINDOWS-1251\rPID|1||Ґ\\S\\7^^^A&1.2&ISO~2\r\nOBX|1|FT|||a\\.br\\b\\X0D\\".encode(
        "cp1251"
    ),
    "MSH#@!%*#A##########8859/5\rZZZ#a@b*c!d#%F%%T%%X41%".encode("iso8859-5"),
)


def main() -> None:
    """Write all seeds anew; what the fuzzer found stays."""
    silence()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        path = root / "image.dcm"
        _write(path)
        streams = {
            who: _recorded(root / who, path, send)
            for who, send in {"dcmtk": _dcmtk, "pynetdicom": _pynetdicom, "orthanc": _orthanc}.items()
        }
    streams["every-item"] = _every_item()
    for who, stream in streams.items():
        _seed("association", who, _WHOLE + stream)
        _from_association(who, stream)
    _from_files()
    _from_requests()
    for number, text in enumerate(_SEARCHES):
        _seed("search", f"seed-{number}", bytes([number % 3]) + text.encode())
    for number, text in enumerate(_ACCEPTS):
        _seed("media-types", f"seed-{number}", text.encode())
    for number, payload in enumerate(_MESSAGES):
        _seed("hl7-message", f"seed-{number}", _WHOLE + frame(payload) + b"\r\nx" + frame(payload))
        _seed("acknowledgement", f"seed-{number}", payload)


def _write(path: Path) -> None:
    sop = "1.2.826.0.1.3680043.8.498.1"
    ds = image(sop, PatientName="ІВАНЕНКО^ІВАН", SpecificCharacterSet="ISO_IR 192")
    path.write_bytes(encode_header(FileMeta(EXPLICIT, ds.SOPClassUID, sop)) + encoded(ds))


def _recorded(directory: Path, path: Path, send: Callable[[Path, Path, int], None]) -> bytes:
    """Bytes that a sender sends while it delivers one file."""
    directory.mkdir()
    with listener(directory) as running, Recorder(running.port) as recorder:
        send(directory, path, recorder.port)
        return recorder.longest()


def _dcmtk(_: Path, path: Path, port: int) -> None:
    subprocess.run([need("storescu"), "127.0.0.1", str(port), str(path)], check=True, timeout=60)


def _pynetdicom(_: Path, path: Path, port: int) -> None:
    command = [sys.executable, "-m", "pynetdicom", "storescu", "127.0.0.1", str(port), str(path)]
    subprocess.run(command, check=True, timeout=60)


def _orthanc(directory: Path, path: Path, port: int) -> None:
    modalities: Mapping[str, Any] = {"DicomModalities": {"gateway": ["SCANSTREAM", "127.0.0.1", port]}}
    with orthanc_server(directory, options=modalities) as server:
        instance = httpx.post(f"{server.http}/instances", content=path.read_bytes()).json()["ID"]
        httpx.post(f"{server.http}/modalities/gateway/store", content=instance, timeout=60).raise_for_status()


def _every_item() -> bytes:
    """A small association with all user information that there is: C-ECHO, C-STORE, release."""
    role, window = SCP_SCU_RoleSelectionNegotiation(), AsynchronousOperationsWindowNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = MR, True, True
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 4
    extended, common = SOPClassExtendedNegotiation(), SOPClassCommonExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = MR, b"\2\0\0\0\1\0"
    common.sop_class_uid, common.service_class_uid = MR, "1.2.840.10008.4.2"
    common.related_general_sop_class_identification = ["1.2.840.10008.5.1.4.1.1.2"]
    identity, name = UserIdentityNegotiation(), ImplementationVersionNameNotification()
    identity.user_identity_type, identity.primary_field, identity.secondary_field = 2, b"user", b"password"
    name.implementation_version_name = "EVERY_ITEM"
    user = (role, window, extended, common, identity, name)
    store = store_request("1.2.3.4", encoded(image()), fragment=60)
    return b"".join((request(user=user), encode_command(1, ECHO, 0), store, RELEASE_RQ))


def _from_association(who: str, stream: bytes) -> None:
    """Seeds of the readers below the association: the first request, P-DATA-TF bodies, command sets."""
    bodies: dict[PduType, list[bytes]] = {}
    for pdu_type, body in PduStream(1 << 20).feed(stream):
        bodies.setdefault(pdu_type, []).append(body)
    _seed("associate-request", who, bodies[PduType.ASSOCIATE_RQ][0])
    _seed("pdus", who, _WHOLE + stream)
    data = bodies[PduType.P_DATA_TF]
    # One context is as good as another, but the target knows only two.
    _seed("messages", who, _WHOLE + b"".join(body[:4] + b"\1" + body[5:] for body in data))
    _seed("command-set", who, data[0][6 : 4 + int.from_bytes(data[0][:4], "big")])


def _from_files() -> None:
    """Data sets of real devices, cut behind what a reader looks at."""
    for path in sorted(PYDICOM.glob("*.dcm")):
        data = path.read_bytes()
        if len(data) > 400_000 or data[128:132] != b"DICM":
            continue
        try:
            meta, start = split(data)
        except Refused:
            continue
        if meta.transfer_syntax_uid in SYNTAXES and path.stem.lower().startswith(_CHOSEN):
            kind = bytes([SYNTAXES.index(meta.transfer_syntax_uid)])
            _seed("headers", path.stem, kind + data[start : start + _MAX_SEED])
            _seed("part10", path.stem, data[: start + 40])
    for number, syntax in enumerate(SYNTAXES[:3]):
        _seed("headers", f"image-{number}", bytes([number]) + encoded(image(), syntax))
    part = f"\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    file = bytes(128) + (PYDICOM / "MR_small.dcm").read_bytes()[128:900]
    _seed("multipart", "two-parts", _WHOLE + part[2:] + file + part + file + f"\r\n--{BOUNDARY}--\r\n".encode())
    _seed("multipart", "cut-off", _WHOLE + b"preamble" + part + b"x" * 40)


_CHOSEN = (
    "ct_small",
    "mr_small",
    "image_dfl",
    "jpeg2000",
    "sc_rgb_small_odd",
    "nested_priv",
    "un_sequence",
    "rtplan",
)


def _from_requests() -> None:
    """Data sets of queries, and of the N-services."""
    for number, keywords in enumerate(_KEYS):
        query = Dataset()
        query.SpecificCharacterSet = "ISO_IR 192"
        for keyword, value in keywords.items():
            setattr(query, keyword, value)
        for syntax in range(3):
            data = encoded(query, SERVICE_SYNTAXES[syntax])
            _seed("identifier", f"query-{number}-{syntax}", bytes([syntax | number << 2]) + data)
    for number, keywords in enumerate(_NOTIFICATIONS):
        attributes = Dataset()
        for keyword, value in keywords.items():
            setattr(attributes, keyword, value)
        _seed("notification", f"service-{number}", bytes([number << 2]) + encoded(attributes, SERVICE_SYNTAXES[0]))


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


_REFERENCE = {"ReferencedSOPClassUID": MR, "ReferencedSOPInstanceUID": "1.2.3.4"}
_KEYS: tuple[dict[str, Any], ...] = (
    {"QueryRetrieveLevel": "STUDY", "PatientName": "Шев*", "StudyDate": "20260101-", "ModalitiesInStudy": "CT"},
    {
        "QueryRetrieveLevel": "SERIES",
        "StudyInstanceUID": "1.2",
        "RequestAttributesSequence": [_item(RequestedProcedureID="R?")],
        "NumberOfSeriesRelatedInstances": None,
    },
    {"QueryRetrieveLevel": "PATIENT", "PatientID": "1", "NumberOfPatientRelatedStudies": None, "StudyTime": "-12"},
    {
        "PatientName": "*^Окс*",
        "ScheduledProcedureStepSequence": [
            _item(Modality="MR", ScheduledProcedureStepStartDate="20260101-20260102", ScheduledStationAETitle="M*")
        ],
    },
)
_STARTED: dict[str, Any] = {
    "ScheduledStepAttributesSequence": [_item(StudyInstanceUID="1.2.3")],
    "PerformedProcedureStepID": "P",
    "PerformedStationAETitle": "MR1",
    "PerformedProcedureStepStartDate": "20260101",
    "PerformedProcedureStepStartTime": "0945",
    "PerformedProcedureStepStatus": "IN PROGRESS",
    "Modality": "MR",
}
_NOTIFICATIONS: tuple[dict[str, Any], ...] = (
    {"TransactionUID": "1.2.3", "ReferencedSOPSequence": [_item(**_REFERENCE)]},
    {
        "StudyInstanceUID": "1.2.3",
        "ReferencedSeriesSequence": [
            _item(ReferencedSOPSequence=[_item(**_REFERENCE, InstanceAvailability="ONLINE")])
        ],
    },
    _STARTED,
    _STARTED | {"PerformedSeriesSequence": [_item(ReferencedImageSequence=[_item(**_REFERENCE)])]},
)


def _seed(target: str, name: str, data: bytes) -> None:
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(data)
    print(f"{target}/{name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
