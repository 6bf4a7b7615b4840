"""QIDO-RS against the real index: keys, wildcards, ranges, pages, Cyrillic."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from producers.dicomweb.query import keyword_of, parse_query
from schemas.errors import InvalidMessage
from tests.producers.dicomweb.conftest import Gateway, running_gateway
from tests.producers.dicomweb.objects import STOW_TYPE, mr_image, part10, stow_body


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests of this file."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def http(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.dicom_web, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def archive(http: httpx.Client) -> httpx.Client:
    """Two studies: 1.2.1 of Шевченко (two series, three images; ISO_IR 192), 1.2.2 of Леся (one; ISO_IR 144)."""
    images = [
        mr_image("1.2.1", "1.2.1.1", name="Шевченко^Тарас"),
        mr_image("1.2.1", "1.2.1.1", name="Шевченко^Тарас"),
        mr_image("1.2.1", "1.2.1.2", name="Шевченко^Тарас"),
        mr_image("1.2.2", "1.2.2.1", name="Українка^Леся", charset="ISO_IR 144"),
    ]
    images[1].InstanceNumber = 2
    images[2].Modality = "SR"
    images[3].PatientID = "P-2"
    images[3].StudyDate = "20240215"
    images[3].AccessionNumber = "B-18"
    body = stow_body([part10(image) for image in images])
    assert http.post("/studies", content=body, headers={"Content-Type": STOW_TYPE}).status_code == 200
    return http


def studies(http: httpx.Client, **parameters: str) -> set[str]:
    response = http.get("/studies", params=parameters)
    assert response.status_code in (200, 204), response.text
    found = response.json() if response.content else []
    return {item["0020000D"]["Value"][0] for item in found}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {"1.2.1", "1.2.2"}),
        ({"PatientID": "P-1"}, {"1.2.1"}),
        ({"00100020": "P-2"}, {"1.2.2"}),
        ({"PatientID": "P-*"}, {"1.2.1", "1.2.2"}),
        ({"PatientID": "P-?"}, {"1.2.1", "1.2.2"}),
        ({"PatientID": "nobody"}, set()),
        ({"PatientName": "Шевченко*"}, {"1.2.1"}),
        ({"PatientName": "шевченко^тарас"}, {"1.2.1"}),
        ({"PatientName": "*Леся"}, {"1.2.2"}),
        ({"StudyDate": "20240131"}, {"1.2.1"}),
        ({"StudyDate": "20240201-"}, {"1.2.2"}),
        ({"StudyDate": "-20240201"}, {"1.2.1"}),
        ({"StudyDate": "20240101-20241231"}, {"1.2.1", "1.2.2"}),
        ({"StudyInstanceUID": "1.2.1,1.2.2"}, {"1.2.1", "1.2.2"}),
        ({"StudyInstanceUID": "1.2.1\\1.2.9"}, {"1.2.1"}),
        ({"ModalitiesInStudy": "SR"}, {"1.2.1"}),
        ({"AccessionNumber": "B-18", "PatientSex": "F"}, {"1.2.2"}),
        ({"AccessionNumber": "B-18", "PatientSex": "M"}, set()),
        ({"AccessionNumber": ""}, {"1.2.1", "1.2.2"}),
    ],
)
def test_matching(archive: httpx.Client, parameters: dict[str, str], expected: set[str]) -> None:
    assert studies(archive, **parameters) == expected


def test_study_has_the_required_attributes(gateway: Gateway, archive: httpx.Client) -> None:
    (study,) = DICOMwebClient(gateway.dicom_web).search_for_studies(search_filters={"PatientID": "P-1"})
    assert study["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Шевченко^Тарас"}]}
    assert study["00080061"] == {"vr": "CS", "Value": ["MR", "SR"]}
    assert study["00201206"] == {"vr": "IS", "Value": [2]}
    assert study["00201208"] == {"vr": "IS", "Value": [3]}
    assert study["00080056"] == {"vr": "CS", "Value": ["ONLINE"]}
    assert study["00081190"] == {"vr": "UR", "Value": [f"{gateway.dicom_web}/studies/1.2.1"]}
    assert study["00080090"] == {"vr": "PN"}
    assert study["00100030"] == {"vr": "DA"}
    required = {"00080020", "00080030", "00080050", "00100020", "00100040", "0020000D", "00200010"}
    assert required <= study.keys()
    assert "0020000E" not in study


def test_cyrillic_of_both_character_sets_is_unicode(archive: httpx.Client) -> None:
    found = archive.get("/studies", params={"AccessionNumber": "B-18"})
    assert "Українка^Леся" in found.content.decode("utf-8")
    assert found.json()[0]["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}


def test_series_of_a_study_and_of_all(gateway: Gateway, archive: httpx.Client) -> None:
    client = DICOMwebClient(gateway.dicom_web)
    of_study = client.search_for_series("1.2.1")
    assert {item["0020000E"]["Value"][0] for item in of_study} == {"1.2.1.1", "1.2.1.2"}
    assert of_study[0]["00201209"] == {"vr": "IS", "Value": [2]}
    assert of_study[0]["00080060"] == {"vr": "CS", "Value": ["MR"]}
    assert of_study[0]["00200011"] == {"vr": "IS", "Value": [3]}
    assert of_study[0]["00081190"]["Value"] == [f"{gateway.dicom_web}/studies/1.2.1/series/1.2.1.1"]
    assert "00100010" not in of_study[0]
    everywhere = client.search_for_series(search_filters={"Modality": "MR"})
    assert {item["0020000E"]["Value"][0] for item in everywhere} == {"1.2.1.1", "1.2.2.1"}
    assert "00100010" in everywhere[0]


def test_instances_of_a_series_a_study_and_all(gateway: Gateway, archive: httpx.Client) -> None:
    client = DICOMwebClient(gateway.dicom_web)
    of_series = client.search_for_instances("1.2.1", "1.2.1.1")
    assert [item["00200013"]["Value"] for item in of_series] == [[1], [2]]
    assert of_series[0]["00280010"] == {"vr": "US", "Value": [8]}
    assert of_series[0]["00083002"] == {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}
    assert len(client.search_for_instances("1.2.1")) == 3
    assert len(client.search_for_instances(search_filters={"InstanceNumber": "1"})) == 3


@pytest.mark.parametrize("fields", [["PatientName"], ["00100010"], ["all"], ["SeriesInstanceUID,PatientName"]])
def test_includefield_of_a_level_above(archive: httpx.Client, fields: list[str]) -> None:
    found = archive.get("/studies/1.2.1/series", params={"includefield": fields}).json()
    assert all("00100010" in item for item in found)


def test_pages_and_the_word_that_there_are_more(archive: httpx.Client) -> None:
    first = archive.get("/instances", params={"limit": "3"})
    assert len(first.json()) == 3
    assert "There are 1 additional results" in first.headers["warning"]
    rest = archive.get("/instances", params={"limit": "3", "offset": "3"})
    assert len(rest.json()) == 1
    assert "warning" not in rest.headers
    assert archive.get("/instances", params={"offset": "4"}).status_code == 204


@pytest.mark.parametrize("name", ["шевч", "тарас шевченко", "Шевченко^Тарас", "шевч*"])
def test_fuzzy_matching_of_names(archive: httpx.Client, name: str) -> None:
    assert studies(archive, PatientName=name, fuzzymatching="true") == {"1.2.1"}


def test_without_fuzzy_matching_a_name_is_literal(archive: httpx.Client) -> None:
    for name, expected in (("шевч", set()), ("тарас шевченко", set()), ("Шевченко", {"1.2.1"})):
        assert studies(archive, PatientName=name) == expected


def test_dates_and_times_are_one_range_of_moments(archive: httpx.Client) -> None:
    both = {"StudyDate": "20240131-20240215", "StudyTime": "130000-120000"}
    assert studies(archive, **both) == set()
    both = {"StudyDate": "20240131-20240215", "StudyTime": "120000-110000"}
    assert studies(archive, **both) == {"1.2.1"}
    assert studies(archive, StudyDate="20240201-", StudyTime="110000-") == {"1.2.2"}
    # Ranges of different forms match each by itself.
    assert studies(archive, StudyDate="20240131-20240215", StudyTime="130000-") == set()
    assert studies(archive, StudyDate="20240101-20240131", StudyTime="12") == {"1.2.1"}


def test_empty_values_match_when_asked_for(archive: httpx.Client) -> None:
    assert studies(archive, StudyID='""') == set()
    assert studies(archive, StudyID='""', emptyvaluematching="true") == {"1.2.1", "1.2.2"}
    assert studies(archive, AccessionNumber='""', emptyvaluematching="true") == set()


def test_all_of_several_modalities_when_asked_for(archive: httpx.Client) -> None:
    for wanted, expected in (("MR,SR", {"1.2.1"}), ("MR\\CT", set()), ("MR", {"1.2.1", "1.2.2"})):
        assert studies(archive, ModalitiesInStudy=wanted, multiplevaluematching="true") == expected
    assert studies(archive, ModalitiesInStudy="SR,CT") == {"1.2.1"}


def test_attributes_outside_the_index_come_from_the_files(archive: httpx.Client) -> None:
    fields = ["ImagePositionPatient", "00280103", "PixelData"]
    found = archive.get("/studies/1.2.1/instances", params={"includefield": fields})
    assert "warning" not in found.headers
    for item in found.json():
        assert item["00200032"] == {"vr": "DS", "Value": [-110.5, 0.1, 12.0]}
        assert item["00280103"] == {"vr": "US", "Value": [0]}
        assert archive.get(item["7FE00010"]["BulkDataURI"]).status_code == 200
        assert "00100010" not in item


def test_a_study_gives_the_attributes_of_one_instance_and_says_so(archive: httpx.Client) -> None:
    found = archive.get("/studies", params={"includefield": "BitsStored,00091001"})
    assert all(item["00280101"]["Value"] == [16] for item in found.json())
    assert "one instance of each study: BitsStored, 00091001" in found.headers["warning"]


def test_all_attributes_of_an_instance(archive: httpx.Client) -> None:
    found = archive.get("/instances", params={"includefield": "all", "PatientID": "P-2"}).json()
    whole = archive.get("/studies/1.2.2/metadata").json()
    assert whole[0].items() <= found[0].items()
    assert found[0]["00081190"]["Value"] == [
        item["00081190"]["Value"][0] for item in archive.get("/studies/1.2.2/instances").json()
    ]


def test_files_are_read_for_a_bounded_number_of_results(
    archive: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.dicomweb.included.MAX_FILES", 1)
    found = archive.get("/studies/1.2.1/instances", params={"includefield": "BitsStored"})
    assert ["00280101" in item for item in found.json()] == [True, False, False]
    assert "first 1 results only" in found.headers["warning"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/studies?Nonsense=1", "Nonsense is not in the DICOM dictionary"),
        ("/studies?99999999=1", "99999999 is not in the DICOM dictionary"),
        ("/studies?SOPInstanceUID=1.2", "SOPInstanceUID cannot be matched at study level"),
        ("/studies?PatientAge=030Y", "PatientAge cannot be matched"),
        ("/studies?limit=-1", "limit must be a whole number"),
        ("/studies?offset=x", "offset must be a whole number"),
        ("/studies?PatientID=a&PatientID=b", "PatientID is given twice"),
        ("/studies/1.2.1/series?StudyInstanceUID=1.2.2", "StudyInstanceUID is given twice"),
        ("/studies?includefield=Nonsense", "Nonsense is not in the DICOM dictionary"),
        ("/instances?InstanceNumber=one", "InstanceNumber must be a whole number"),
        ("/studies/nonsense/series", "not a UID"),
        ("/instances?InstanceNumber=99999999999999999999", "InstanceNumber must be a whole number"),
        ("/studies?StudyDate=2024", "StudyDate must be a date"),
        ("/studies?StudyDate=-", "StudyDate must be a date"),
        ("/studies?StudyDate=20240101-tomorrow", "StudyDate must be a date"),
        ("/studies?StudyTime=9", "StudyTime must be a time"),
        ("/studies?StudyDate=20240101-20240102&StudyTime=x-y", "StudyTime must be a time"),
        ("/studies?PatientID=a%00b", "PatientID has a NUL character"),
        ("/studies?PatientID=" + "x" * 2000, "PatientID is longer than 1024"),
        ("/studies?" + "x" * 2000 + "=1", "is not in the DICOM dictionary"),
        ("/studies?fuzzymatching=perhaps", "fuzzymatching must be true or false"),
        ("/studies?includefield=00020010", "includefield 00020010"),
        ("/studies/1%00/series", "not a UID"),
        ("/studies/..%2f..%2fetc%2fpasswd/series", "no resource"),
    ],
)
def test_wrong_queries_are_400_with_a_sentence(archive: httpx.Client, path: str, sentence: str) -> None:
    response = archive.get(path)
    assert response.status_code == (404 if sentence == "no resource" else 400)
    assert response.headers["content-type"] == "application/problem+json"
    assert sentence in response.json()["detail"]


def test_xml_is_406(archive: httpx.Client) -> None:
    assert archive.get("/studies", headers={"Accept": "application/dicom+xml"}).status_code == 406


@pytest.mark.parametrize(
    "name",
    ["RequestedProcedureID", "00401001", "RequestAttributesSequence.RequestedProcedureID", "00400275.00401001"],
)
def test_request_attributes_have_many_names(name: str) -> None:
    assert keyword_of(name) == "RequestedProcedureID"


def test_other_sequences_cannot_be_matched() -> None:
    with pytest.raises(InvalidMessage, match="only RequestAttributesSequence"):
        parse_query("study", [("ReferencedStudySequence.StudyInstanceUID", "1")], {})


def test_requested_procedure_is_answered_in_its_sequence(http: httpx.Client) -> None:
    image = mr_image("1.2.1")
    image.RequestedProcedureID = "RP-7"
    http.post("/studies", content=stow_body([part10(image)]), headers={"Content-Type": STOW_TYPE})
    (series,) = http.get("/series", params={"RequestAttributesSequence.RequestedProcedureID": "RP-7"}).json()
    assert series["00400275"]["Value"] == [{"00401001": {"vr": "SH", "Value": ["RP-7"]}}]
