"""C-FIND on the gateway's own store, asked by pynetdicom over a real association."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from pydicom.dataset import Dataset

from producers.dimse import find as find_module
from producers.dimse.extended import FIND_CLASSES, PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from producers.dimse.find import Find
from producers.dimse.identifier import Element, decode, encode
from producers.store import store as store_module
from producers.store.database import Readers
from tests.producers.dimse.archive import fill, keys, scu
from tests.producers.listener import Listener
from tests.producers.store.data import EXPLICIT, IMPLICIT, image, put
from tests.studies import small_study

GUDZ = "Ґудзь^Євгенія"


@pytest.fixture
def archive(listener: Listener) -> Listener:
    """Three patients, one of them with two studies."""
    fill(listener, small_study(1, slices=2, size=4, patient_name=GUDZ))
    fill(listener, small_study(2, slices=3, size=4, patient_name="Шевченко^Тарас"))
    fill(listener, small_study(3, slices=1, size=4, patient_name="Smith^John", modality="CT"))
    second = small_study(4, slices=1, size=4, patient_name=GUDZ)
    for item in second:
        item.PatientID, item.StudyDate = "P-1", "20250101"
        request = Dataset()
        request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP-4", "SPS-4"
        item.RequestAttributesSequence = [request]
    fill(listener, second)
    return listener


def ask(listener: Listener, identifier: Dataset, model: str = STUDY_ROOT_FIND, **options: Any) -> Any:
    """Final status, and matches with their statuses."""
    with scu(listener.port, **options) as association:
        *pending, (final, _) = association.send_c_find(identifier, model)
    return final, [match for _, match in pending], {status.Status for status, _ in pending}


def studies(matches: list[Dataset]) -> set[str]:
    """Last component of the study UIDs."""
    return {str(match.StudyInstanceUID).rpartition(".")[2] for match in matches}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"1", "2", "3", "4"}),
        ({"PatientName": GUDZ}, {"1", "4"}),
        ({"PatientName": "ґудзь*"}, {"1", "4"}),
        ({"PatientName": "*Тарас"}, {"2"}),
        ({"PatientName": "SMITH"}, {"3"}),
        ({"PatientName": "Sm?th^J*"}, {"3"}),
        ({"PatientID": "P-1"}, {"1", "4"}),
        ({"StudyDate": "20250101-20251231"}, {"4"}),
        ({"StudyDate": "20260101-"}, {"1", "2", "3"}),
        ({"StudyTime": "0900-1000"}, {"1", "2", "3", "4"}),
        ({"ModalitiesInStudy": "CT"}, {"3"}),
        ({"AccessionNumber": "A?"}, {"1", "2", "3", "4"}),
        ({"AccessionNumber": "A2"}, {"2"}),
        ({"PatientID": "' OR 1=1 --"}, set()),
    ],
)
def test_keys_match_by_the_rules_of_the_standard(
    archive: Listener, values: dict[str, str], expected: set[str]
) -> None:
    final, matches, statuses = ask(archive, keys("STUDY", StudyInstanceUID="", **values))
    assert final.Status == 0x0000
    assert studies(matches) == expected
    assert statuses <= {0xFF00}


def test_a_list_of_uids_matches_each_of_them(archive: Listener) -> None:
    _, matches, _ = ask(archive, keys("STUDY", StudyInstanceUID=""))
    wanted = [match.StudyInstanceUID for match in matches][:2]
    _, found, _ = ask(archive, keys("STUDY", StudyInstanceUID=wanted))
    assert {match.StudyInstanceUID for match in found} == set(wanted)


def test_a_match_carries_what_was_asked_for_in_unicode_and_where_it_is(archive: Listener) -> None:
    query = keys(
        "STUDY",
        PatientName=GUDZ,
        StudyDate="20260101-",
        StudyInstanceUID="",
        StudyDescription="",
        ModalitiesInStudy="",
        NumberOfStudyRelatedSeries="",
        NumberOfStudyRelatedInstances="",
    )
    _, (match,), statuses = ask(archive, query)
    assert match.SpecificCharacterSet == "ISO_IR 192"
    assert match.PatientName == GUDZ
    assert match.StudyDescription == "МРТ головного мозку"
    assert match.ModalitiesInStudy == "MR"
    assert (match.NumberOfStudyRelatedSeries, match.NumberOfStudyRelatedInstances) == (1, 2)
    assert (match.QueryRetrieveLevel, match.RetrieveAETitle, match.InstanceAvailability) == (
        "STUDY",
        "SCANSTREAM",
        "ONLINE",
    )
    assert "PatientBirthDate" not in match
    assert statuses == {0xFF00}


def test_keys_that_the_index_does_not_hold_come_back_empty_with_a_warning(archive: Listener) -> None:
    query = keys("STUDY", StudyInstanceUID="", PatientName="Smith*", PatientWeight="80", ProcedureCodeSequence=[])
    _, (match,), statuses = ask(archive, query)
    assert statuses == {0xFF01}
    assert match.PatientWeight is None
    assert len(match.ProcedureCodeSequence) == 0


def test_series_and_images_are_found_below_their_parents(archive: Listener) -> None:
    study = small_study(2, slices=1, size=4)[0].StudyInstanceUID
    query = keys("SERIES", StudyInstanceUID=study, SeriesInstanceUID="", NumberOfSeriesRelatedInstances="")
    _, (series,), _ = ask(archive, query)
    assert series.NumberOfSeriesRelatedInstances == 3
    below = keys(
        "IMAGE",
        StudyInstanceUID=study,
        SeriesInstanceUID=series.SeriesInstanceUID,
        SOPInstanceUID="",
        InstanceNumber="",
        Rows="",
        AvailableTransferSyntaxUID="",
    )
    _, images, statuses = ask(archive, below)
    assert [found.InstanceNumber for found in images] == [1, 2, 3]
    assert {(found.Rows, found.AvailableTransferSyntaxUID) for found in images} == {(4, EXPLICIT)}
    assert statuses == {0xFF00}


def test_patients_are_found_once_with_the_number_of_their_studies(archive: Listener) -> None:
    query = keys("PATIENT", PatientID="", PatientName="*", NumberOfPatientRelatedStudies="")
    query.NumberOfPatientRelatedInstances = ""
    final, matches, statuses = ask(archive, query, PATIENT_ROOT_FIND)
    assert final.Status == 0x0000
    assert {
        (match.PatientID, match.NumberOfPatientRelatedStudies, match.NumberOfPatientRelatedInstances)
        for match in matches
    } == {("P-1", 2, 3), ("P-2", 1, 3), ("P-3", 1, 1)}
    assert statuses == {0xFF00}


def test_studies_without_a_patient_id_are_not_put_together_under_one_name(listener: Listener) -> None:
    for number, name in enumerate(("A^B", "C^D", "A^B")):
        fill(listener, [image(f"1.2.{number}.1", f"1.2.{number}", PatientID="", PatientName=name)])
    query = keys("PATIENT", PatientID="", PatientName="", NumberOfPatientRelatedStudies="")
    _, matches, _ = ask(listener, query, PATIENT_ROOT_FIND)
    assert {(str(match.PatientName), match.NumberOfPatientRelatedStudies) for match in matches} == {
        ("A^B", 2),
        ("C^D", 1),
    }


def test_a_request_is_matched_inside_its_sequence(archive: Listener) -> None:
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "RP-4", ""
    study = small_study(4, slices=1, size=4)[0].StudyInstanceUID
    query = keys("SERIES", StudyInstanceUID=study, SeriesInstanceUID="", RequestAttributesSequence=[item])
    _, (match,), statuses = ask(archive, query)
    assert match.RequestAttributesSequence[0].ScheduledProcedureStepID == "SPS-4"
    assert statuses == {0xFF00}
    item.RequestedProcedureID = "RP-5"
    assert ask(archive, query)[1] == []


@pytest.mark.parametrize(
    ("identifier", "model", "comment"),
    [
        (keys("SERIES", SeriesInstanceUID=""), STUDY_ROOT_FIND, "StudyInstanceUID must be one value"),
        (keys("IMAGE", StudyInstanceUID="1.2"), STUDY_ROOT_FIND, "SeriesInstanceUID must be one value"),
        (keys("STUDY", StudyInstanceUID=""), PATIENT_ROOT_FIND, "PatientID must be one value"),
        (keys("PATIENT", PatientID=""), STUDY_ROOT_FIND, "QueryRetrieveLevel must be one of"),
        (keys("EVERYTHING"), PATIENT_ROOT_FIND, "QueryRetrieveLevel must be one of"),
        (keys("STUDY", StudyInstanceUID="", StudyDate="yesterday"), STUDY_ROOT_FIND, "StudyDate must be"),
    ],
)
def test_a_wrong_identifier_is_refused_with_a_comment(
    archive: Listener, identifier: Dataset, model: str, comment: str
) -> None:
    final, matches, _ = ask(archive, identifier, model)
    assert (final.Status, matches) == (0xA900, [])
    assert comment in final.ErrorComment


def test_relational_queries_need_no_upper_keys_once_they_are_negotiated(archive: Listener) -> None:
    information = {STUDY_ROOT_FIND: b"\x01\x00\x00"}
    query = keys("SERIES", SeriesInstanceUID="", Modality="CT")
    final, matches, _ = ask(archive, query, extended=information)
    assert final.Status == 0x0000
    assert [match.Modality for match in matches] == ["CT"]


def test_names_match_nearly_when_that_is_negotiated(archive: Listener) -> None:
    query = keys("STUDY", StudyInstanceUID="", PatientName="тарас шевч")
    assert ask(archive, query)[1] == []
    assert studies(ask(archive, query, extended={STUDY_ROOT_FIND: b"\x00\x00\x01"})[1]) == {"2"}


@pytest.mark.parametrize(
    ("charset", "codec"),
    [("ISO_IR 144", "iso8859-5"), ("ISO_IR 192", "utf-8"), (None, "cp1251"), (None, "utf-8")],
)
def test_a_cyrillic_key_is_understood_however_it_is_written(
    archive: Listener, charset: str | None, codec: str
) -> None:
    query = Dataset()
    if charset is not None:
        query.SpecificCharacterSet = charset
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", ""
    query.add_new(0x00100010, "OB", "Шевченко*".encode(codec))
    final, matches, _ = ask(archive, query)
    assert final.Status == 0x0000
    assert studies(matches) == {"2"}


def test_a_name_of_a_console_without_a_character_set_is_found_by_such_a_console(listener: Listener) -> None:
    fill(listener, [image("1.2.9.1", "1.2.9", PatientName=b"\xcf\xe5\xf2\xf0\xee")])
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", ""
    query.add_new(0x00100010, "OB", b"\xcf\xe5\xf2\xf0\xee ")
    assert studies(ask(listener, query)[1]) == {"9"}


def test_a_search_can_be_cancelled_in_the_middle(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(listener, (image(f"1.2.{number}.1", f"1.2.{number}") for number in range(100)))
    page_of = Find._page

    async def slowly(self: Find, query: Any, offset: int) -> Any:
        await asyncio.sleep(0.5 if offset else 0)
        return await page_of(self, query, offset)

    monkeypatch.setattr(find_module, "_PAGE", 5)
    monkeypatch.setattr(Find, "_page", slowly)
    with scu(listener.port) as association:
        found, last = 0, 0
        for status, _ in association.send_c_find(keys("STUDY", StudyInstanceUID=""), STUDY_ROOT_FIND, msg_id=7):
            found += status.Status == 0xFF00
            last = status.Status
            if found == 3:
                association.send_c_cancel(7, query_model=STUDY_ROOT_FIND)
        assert last == 0xFE00
        assert found < 100
        final, _ = list(association.send_c_find(keys("STUDY", StudyInstanceUID="1.2.5"), STUDY_ROOT_FIND))[-1]
        assert final.Status == 0x0000


def test_a_long_answer_comes_whole_and_without_doubles_although_studies_arrive_meanwhile(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_module, "_PAGE", 10)
    fill(listener, (image(f"1.2.{number}.1", f"1.2.{number}") for number in range(200)))
    page_of = Find._page
    arrived: list[int] = []

    async def while_studies_arrive(self: Find, query: Any, offset: int) -> Any:
        if offset:
            number = len(arrived)
            arrived.append(number)
            assert (await put(listener.store, image(f"1.3.{number}.1", f"1.3.{number}"))).ok
        return await page_of(self, query, offset)

    monkeypatch.setattr(Find, "_page", while_studies_arrive)
    _, matches, _ = ask(listener, keys("STUDY", StudyInstanceUID=""))
    old = [match.StudyInstanceUID for match in matches if match.StudyInstanceUID.startswith("1.2.")]
    assert len(arrived) >= 20
    assert len(old) == len(set(old)) == 200


def test_an_index_that_cannot_be_read_is_a_status_and_not_an_abort(
    archive: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(readers: Readers) -> Any:
        raise store_module.sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(Readers, "connection", broken)
    final, matches, _ = ask(archive, keys("STUDY", StudyInstanceUID=""))
    assert (final.Status, matches) == (0xC001, [])


def test_no_identity_reaches_the_log(archive: Listener, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask(archive, keys("STUDY", StudyInstanceUID="", PatientName="Шевченко*", PatientID="P-2"))
    ask(archive, keys("STUDY", StudyInstanceUID="", PatientBirthDate="not-a-date-19700101"))
    text = "".join(f"{record.getMessage()} {record.__dict__.get('fields')}" for record in caplog.records)
    assert "query answered" in text
    assert not [word for word in ("Шевченко", "P-2", "19700101") if word in text]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2"])
def test_an_identifier_is_the_same_in_every_transfer_syntax(syntax: str) -> None:
    inner = [Element(0x00400009, "SH", "SPS-1")]
    elements = [
        Element(0x00100010, "PN", GUDZ),
        Element(0x00280010, "US", 512),
        Element(0x00080005, "CS", "ISO_IR 192"),
        Element(0x0020000D, "UI", "1.2.3"),
        Element(0x00400275, "SQ", [inner]),
        Element(0x00201208, "IS", 12),
        Element(0x00080020, "DA", None),
    ]
    found = decode(encode(elements, syntax), syntax)
    assert found.text(0x00100010) == GUDZ
    assert found.text(0x00280010) == "512"
    assert found.text(0x0020000D) == "1.2.3"
    assert found.text(0x00201208) == "12"
    assert found.text(0x00080020) == ""
    assert found.items[0x00400275].text(0x00400009) == "SPS-1"


def test_both_information_models_are_offered(listener: Listener) -> None:
    with scu(listener.port) as association:
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
    assert accepted >= set(FIND_CLASSES)
