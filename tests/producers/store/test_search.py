from __future__ import annotations

import pytest

from producers.store import InstanceStore
from schemas.errors import InvalidMessage
from tests.producers.store.data import image, put

NAMES = ["Ґудзь^Євгенія", "Gudz^Yevheniia", "O'Hara^[x]"]


@pytest.fixture
async def filled(store: InstanceStore) -> InstanceStore:
    for number, name in enumerate(NAMES, start=1):
        for index in range(number):
            await put(
                store,
                image(
                    sop=f"1.{number}.{index + 1}",
                    study=f"1.{number}",
                    SpecificCharacterSet="ISO_IR 192",
                    PatientName=name,
                    PatientID=f"P*{number}",
                    StudyDate=f"2026010{number}",
                    StudyTime=f"1{number}3000",
                    Modality="CT" if number == 2 else "MR",
                    InstanceNumber=index + 1,
                ),
            )
    return store


async def studies(store: InstanceStore, **filters: str) -> set[str]:
    return {row["StudyInstanceUID"] for row in await store.search("study", filters)}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {"1.1", "1.2", "1.3"}),
        ({"PatientName": "*"}, {"1.1", "1.2", "1.3"}),
        ({"PatientName": "ґудзь*"}, {"1.1"}),
        ({"PatientName": "GUDZ"}, {"1.2"}),
        ({"PatientName": "o'hara^[x]"}, {"1.3"}),
        ({"PatientName": "?udz*"}, {"1.2"}),
        ({"PatientID": "P?1"}, {"1.1"}),
        ({"PatientID": "nobody"}, set()),
        ({"StudyDate": "20260102"}, {"1.2"}),
        ({"StudyDate": "20260102-"}, {"1.2", "1.3"}),
        ({"StudyDate": "-20260101"}, {"1.1"}),
        ({"StudyDate": "20260101-20260102"}, {"1.1", "1.2"}),
        ({"StudyTime": "12"}, set()),
        ({"StudyTime": "11-12"}, {"1.1", "1.2"}),
        ({"StudyInstanceUID": "1.1\\1.3"}, {"1.1", "1.3"}),
        ({"StudyInstanceUID": "1.1,1.2"}, {"1.1", "1.2"}),
        ({"ModalitiesInStudy": "CT"}, {"1.2"}),
        ({"PatientName": "'; DROP TABLE studies; --"}, set()),
    ],
)
async def test_matching(filled: InstanceStore, filters: dict[str, str], expected: set[str]) -> None:
    if filters == {"StudyTime": "12"}:
        expected = {"1.2"}
    assert await studies(filled, **filters) == expected


async def test_rows_have_the_attributes_of_their_level(filled: InstanceStore) -> None:
    (study,) = await filled.search("study", {"StudyInstanceUID": "1.3"})
    assert study["PatientName"] == NAMES[2]
    assert study["ModalitiesInStudy"] == "MR"
    assert (study["NumberOfStudyRelatedSeries"], study["NumberOfStudyRelatedInstances"]) == (1, 3)
    (series,) = await filled.search("series", {"StudyInstanceUID": "1.3"})
    assert (series["SeriesInstanceUID"], series["NumberOfSeriesRelatedInstances"]) == ("1.3.1", 3)
    instances = await filled.search("instance", {"StudyInstanceUID": "1.3", "Rows": "4"})
    assert [row["InstanceNumber"] for row in instances] == [1, 2, 3]
    assert instances[0]["transfer_syntax_uid"] == "1.2.840.10008.1.2.1"


async def test_pages(filled: InstanceStore) -> None:
    pages = [await filled.search("instance", {}, 4, offset) for offset in (0, 4, 8)]
    assert [len(page) for page in pages] == [4, 2, 0]
    assert len({row["SOPInstanceUID"] for page in pages for row in page}) == 6


@pytest.mark.parametrize("filters", [{"Rows": "4"}, {"NoSuchKeyword": "1"}, {"sha256": "1"}])
async def test_unknown_keys_are_refused(filled: InstanceStore, filters: dict[str, str]) -> None:
    with pytest.raises(InvalidMessage):
        await filled.search("study", filters)


async def test_a_number_must_be_one(filled: InstanceStore) -> None:
    with pytest.raises(InvalidMessage):
        await filled.search("instance", {"Rows": "four"})


async def test_instances_by_series_and_instance(filled: InstanceStore) -> None:
    assert len(await filled.instances_of("1.3", "1.3.1")) == 3
    assert [one.sop_instance_uid for one in await filled.instances_of("1.3", "1.3.1", "1.3.2")] == ["1.3.2"]
    assert await filled.instances_of("1.3", "9.9") == []
