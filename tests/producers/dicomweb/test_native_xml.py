"""Metadata as Native DICOM Model (PS3.19 A.1), held against what DCMTK writes of the same file."""

from __future__ import annotations

import email
import email.policy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from pydicom.dataset import Dataset

from producers.dicomweb.native_xml import NAMESPACE, to_xml
from tests.producers.dicomweb.objects import DEMONSTRATION, STOW_TYPE, mr_image, part10, stow_body
from tests.tools import need

ACCEPT = {"Accept": 'multipart/related; type="application/dicom+xml"'}
_N = f"{{{NAMESPACE}}}"


def documents(response: httpx.Response) -> list[ElementTree.Element]:
    assert response.status_code == 200, response.text
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    message: Any = email.message_from_bytes(head + response.content, policy=email.policy.HTTP)
    parts = list(message.iter_parts())
    assert {part.get_content_type() for part in parts} == {"application/dicom+xml"}
    return [ElementTree.fromstring(part.get_payload(decode=True)) for part in parts]


def values(root: ElementTree.Element, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of every value; numbers in one form."""
    for attribute in root.iter() if not path else root:
        if attribute.tag.rpartition("}")[2] != "DicomAttribute" or (not path and attribute not in list(root)):
            continue
        here = f"{path}/{attribute.get('tag')} {attribute.get('vr')} {attribute.get('keyword')}"
        for child in attribute:
            kind, number = child.tag.rpartition("}")[2], child.get("number")
            if kind == "Item":
                yield from values(child, f"{here}/{number}")
            elif kind == "PersonName":
                text = "=".join("^".join(part.text or "" for part in group) for group in child)
                yield f"{here} {number}", text
            elif kind == "Value":
                yield f"{here} {number}", _number(child.text or "")


def _number(text: str) -> str:
    try:
        return repr(float(text))
    except ValueError:
        return text.strip()


def store(http: httpx.Client, *files: bytes) -> None:
    response = http.post("/studies", content=stow_body(files), headers={"Content-Type": STOW_TYPE})
    assert response.status_code == 200


def test_names_sequences_private_and_bulk_data(http: httpx.Client) -> None:
    image = mr_image(name="Шевченко^Тарас^Григорович=漢字")
    inner = Dataset()
    inner.CodeValue = "<&>"
    image.ProcedureCodeSequence = [inner]
    image.add_new(0x00091001, "LO", "private")
    image.add_new(0x00090010, "LO", "VENDOR")
    image.StudyDescription = "bell\x07 here"
    store(http, part10(image))
    (root,) = documents(http.get(f"/studies/{image.StudyInstanceUID}/metadata", headers=ACCEPT))
    found = {attribute.get("keyword") or attribute.get("tag"): attribute for attribute in root}
    family = found["PatientName"].findall(f"{_N}PersonName/{_N}Alphabetic/{_N}FamilyName")
    assert [element.text for element in family] == ["Шевченко"]
    ideographic = found["PatientName"].find(f"{_N}PersonName/{_N}Ideographic/{_N}FamilyName")
    assert ideographic is not None
    assert ideographic.text == "漢字"
    code = found["ProcedureCodeSequence"].find(f"{_N}Item/{_N}DicomAttribute/{_N}Value")
    assert code is not None
    assert code.text == "<&>"
    assert found["00091001"].get("privateCreator") == "VENDOR"
    assert found["StudyDescription"][0].text == "bell here"
    (bulk,) = found["PixelData"]
    assert bulk.tag == f"{_N}BulkData"
    assert http.get(str(bulk.get("uri"))).status_code == 200


def test_empty_values_and_binary() -> None:
    root = ElementTree.fromstring(
        to_xml({"00100030": {"vr": "DA"}, "00420011": {"vr": "OB", "InlineBinary": "AAE="}})
    )
    assert [len(attribute) for attribute in root] == [0, 1]
    assert root[1][0].text == "AAE="


def test_search_results(http: httpx.Client) -> None:
    store(http, part10(mr_image()), part10(mr_image()))
    found = documents(http.get("/studies", headers=ACCEPT))
    assert len(found) == 2
    assert all(root.find(f"{_N}DicomAttribute[@keyword='RetrieveURL']") is not None for root in found)


@pytest.mark.integration
@pytest.mark.dcmtk
def test_same_values_as_dcmtk_writes(http: httpx.Client, tmp_path: Path) -> None:
    program = need("dcm2xml")
    file = DEMONSTRATION[0]
    store(http, file.read_bytes())
    study = http.get("/studies").json()[0]["0020000D"]["Value"][0]
    (ours,) = documents(http.get(f"/studies/{study}/metadata", headers=ACCEPT))
    output = tmp_path / "dcmtk.xml"
    subprocess.run([program, "--native-format", "--use-xml-namespace", str(file), str(output)], check=True)
    theirs = dict(values(ElementTree.parse(output).getroot()))
    mine = dict(values(ours))
    ignored = "00080005"  # ours is always Unicode
    assert {key: value for key, value in theirs.items() if ignored not in key and not key.startswith("/0002")} == {
        key: value for key, value in mine.items() if ignored not in key
    }
