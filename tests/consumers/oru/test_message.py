from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom import Dataset

from consumers.oru.message import oru
from producers.hl7.read import Message
from schemas.errors import InvalidMessage
from schemas.events import Category, Code, InferenceResult, Laterality, Measurement
from schemas.ids import task_id
from schemas.terminology import Language
from tests.consumers.generated import big_case, could_not_run, generated, nasty_case, nasty_texts
from tests.consumers.oru.cases import SETTINGS, header, obr_of, obx, told
from tests.consumers.results import result_with_findings, result_without_findings


def with_finding(**changes: object) -> InferenceResult:
    result = result_with_findings()
    return replace(result, findings=(replace(result.findings[0], **changes),))  # type: ignore[arg-type] # test data


def test_the_header_names_type_version_character_set_and_both_sides() -> None:
    msh = told(result_with_findings()).header
    assert msh.text.startswith(
        "MSH|^~\\&|SCANSTREAM|Лікарня^1.2.3^ISO|RIS||20260301123015.250+0000||ORU^R01^ORU_R01|"
    )
    assert [msh.value(number) for number in (11, 12, 15, 16, 18)] == ["P", "2.5.1", "", "", "UNICODE UTF-8"]
    assert len(msh.value(10)) == 20


def test_the_patient_is_who_the_images_say() -> None:
    about = header(
        PatientID="Ґ-7^|&",
        PatientName="Шевченко^Тарас^Григорович^проф.^мол.=山田^太郎=やまだ^たろう",
        PatientSex="O",
        IssuerOfPatientID="ПОЛІКЛІНІКА",
        ReferringPhysicianName="Лікар^Олена^^д-р",
        AdmissionID="V-1",
    )
    message = told(result_with_findings(), about=about)
    pid, pv1 = message.first("PID"), message.first("PV1")
    assert pid is not None
    assert pv1 is not None
    assert [pid.value(3, number) for number in (1, 4, 5)] == ["Ґ-7^|&", "ПОЛІКЛІНІКА", "MR"]
    assert pid.raw(5) == ("Шевченко^Тарас^Григорович^мол.^проф.^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P")
    assert (pid.value(7), pid.value(8)) == ("19730101", "O")
    assert (pv1.value(2), pv1.raw(8), pv1.value(19)) == ("U", "^Лікар^Олена^^^д-р", "V-1")


def test_what_the_images_do_not_say_is_not_made_up() -> None:
    about = header(PatientName="", PatientBirthDate="12.03.1973", PatientSex="", StudyDate="", StudyTime="x")
    message = told(result_with_findings(), about=about)
    pid = message.first("PID")
    assert pid is not None
    assert (pid.raw(5), pid.raw(7), pid.raw(8)) == ("^^^^^^U", "", "")
    assert message.first("PV1") is None
    assert obr_of(message).raw(7) == ""
    assert pid.value(3, 4) == "ЛІКАРНЯ"


@pytest.mark.parametrize("date", ["00000000", "20010230", "20011301", "19000101-19001231", "2001", "٢٠٠١٠٣١٦"])
def test_what_is_no_day_of_the_calendar_is_not_told(date: str) -> None:
    message = told(result_with_findings(), about=header(PatientBirthDate=date, StudyDate=date))
    pid = message.first("PID")
    assert pid is not None
    assert (pid.raw(7), obr_of(message).raw(7)) == ("", "")


@pytest.mark.parametrize(
    ("clock", "zone", "told_as"),
    [
        ("1430", "", "200103161430"),
        ("14", "+0200", "200103161400+0200"),
        ("14:30:08", "", "20010316143008"),
        ("993008", "+0200", "20010316"),
        ("146008", "", "20010316"),
        ("143008", "+9999", "20010316143008"),
        ("١٤٣٠٠٨", "", "20010316"),
    ],
)
def test_a_time_that_is_none_is_not_told(clock: str, zone: str, told_as: str) -> None:
    about = header(StudyDate="20010316", StudyTime=clock, TimezoneOffsetFromUTC=zone)
    assert obr_of(told(result_with_findings(), about=about)).raw(7) == told_as


def test_a_doctor_whose_name_is_in_ideographs_only_is_told() -> None:
    visit = told(result_with_findings(), about=header(ReferringPhysicianName="=山田^太郎=やまだ^たろう")).first(
        "PV1"
    )
    assert visit is not None
    assert visit.raw(8) == "^山田^太郎"


def test_images_without_a_patient_id_cannot_be_reported() -> None:
    with pytest.raises(InvalidMessage, match="PID-3"):
        told(result_with_findings(), about=header(PatientID=" "))


def test_a_universal_issuer_is_told_as_such() -> None:
    issuer = Dataset()
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = "1.2.840.1", "ISO"
    about = header(IssuerOfPatientID="HOSP", IssuerOfPatientIDQualifiersSequence=[issuer])
    pid = told(result_with_findings(), about=about).first("PID")
    assert pid is not None
    assert pid.raw(3).split("^")[3] == "HOSP&1.2.840.1&ISO"


def test_the_order_is_that_of_the_study() -> None:
    procedure, request = Dataset(), Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "RPID22", "RADLEX", "MR Brain"
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP-1", "SPS-1"
    request.PlacerOrderNumberImagingServiceRequest = "PLACER-1"
    about = header(
        ProcedureCodeSequence=[procedure],
        RequestAttributesSequence=[request],
        AccessionNumber="A|1",
        StudyTime="143008.123456",
        TimezoneOffsetFromUTC="+0200",
    )
    obr = obr_of(told(result_with_findings(), about=about))
    assert [obr.value(number) for number in (2, 18, 19, 20, 24, 25)] == [
        "PLACER-1", "A|1", "RP-1", "SPS-1", "RAD", "P",
    ]  # fmt: skip
    assert obr.raw(4) == "RPID22^MR Brain^RADLEX"
    assert (obr.raw(7), obr.raw(22)) == ("20010316143008.1234+0200", "20260301123015.250+0000")
    assert len(obr.value(3)) == 20


def test_without_a_procedure_code_it_is_any_imaging_study() -> None:
    assert obr_of(told(result_with_findings())).value(4) == "18748-4"


def test_each_value_of_a_finding_has_its_own_observation() -> None:
    result = with_finding(
        category=Category.CRITICAL,
        laterality=Laterality.LEFT,
        probability=0.29,
        measurements=(
            Measurement(Code("118565006", "SCT", "Volume"), 0.1 + 0.2, Code("mL", "UCUM", "mL")),
            Measurement(
                Code("118565006", "SCT", "Volume"),
                12.0,
                Code("mL", "UCUM", "mL"),
                Code("126030", "DCM", "Sum of segmented voxel volumes"),
            ),
        ),
    )
    message = told(result)
    finding = obx(message, "121071")
    assert (finding.value(4), finding.value(5), finding.value(5, 3), finding.value(8)) == (
        "1", "12738006", "SCT", "AA",
    )  # fmt: skip
    assert obx(message, "111012").value(5) == "29"
    assert obx(message, "272741003").raw(5) == "7771000^Left^SCT"
    assert obx(message, "category").value(5) == "critical"
    assert obx(message, "112040").value(5) == result.findings[0].tracking_uid
    volumes = [item for item in message.all("OBX") if item.value(3) == "118565006"]
    assert [item.value(5) for item in volumes] == ["0.3", "12"]
    assert [item.raw(6).split("^")[0] + item.value(6, 3) for item in volumes] == ["mLUCUM"] * 2
    assert volumes[1].value(17) == "126030"
    assert {item.value(11) for item in message.all("OBX")[1:]} == {"P"}
    assert {item.value(18) for item in message.all("OBX")[1:]} == {result.model.device_uid}
    assert message.all("OBX")[0].text == f"OBX|1|ST|113014^DICOM Study^DCM||{result.study_instance_uid}||||||O"


@pytest.mark.parametrize("seed", range(50))
def test_code_and_sub_id_name_a_value_once(seed: int) -> None:
    names = [(item.value(3), item.value(4)) for item in told(generated(seed).result).all("OBX")]
    assert len(set(names)) == len(names)
    assert [item.value(1) for item in told(generated(seed).result).all("OBX")] == [
        str(number) for number in range(1, len(names) + 1)
    ]


@pytest.mark.parametrize(
    ("category", "flag"),
    [(Category.CRITICAL, "AA"), (Category.URGENT, "A"), (Category.ROUTINE, ""), (Category.INCIDENTAL, "")],
)
def test_urgency_is_a_flag_of_the_finding(category: Category, flag: str) -> None:
    assert obx(told(with_finding(category=category)), "121071").value(8) == flag


@pytest.mark.parametrize(
    ("value", "kind", "written", "status"),
    [
        (1e300, "ST", "1e+300", "P"),
        (float("nan"), "NM", "", "X"),
        (float("inf"), "NM", "", "X"),
        (-0.5, "NM", "-0.5", "P"),
    ],
)
def test_a_number_that_hl7_cannot_write_is_a_text_or_missing(
    value: float, kind: str, written: str, status: str
) -> None:
    measurement = Measurement(Code("118565006", "SCT", "Volume"), value, Code("mL", "UCUM", "mL"))
    said = obx(told(with_finding(measurements=(measurement,))), "118565006")
    assert (said.value(2), said.value(5), said.value(11)) == (kind, written, status)


def test_nothing_found_is_a_finding_of_its_own() -> None:
    message = told(result_without_findings(), language=Language.UKRAINIAN)
    assert obx(message, "121071").raw(5) == "260385009^негативний результат^SCT"
    assert "не виключає захворювання" in obx(message, "59776-5").value(5)


def test_a_run_that_failed_is_told_with_its_reason_and_without_findings() -> None:
    case = could_not_run(1)
    message = told(case.result)
    assert obr_of(message).value(25) == "X"
    assert {item.value(11) for item in message.all("OBX")} == {"O", "X"}
    assert case.result.reason is not None
    assert case.result.reason.replace("\r\n", "\n").replace("\r", "\n") in obx(message, "59776-5").value(5)
    assert not [item for item in message.all("OBX") if item.value(3) == "121071"]


def test_texts_are_in_the_language_of_the_destination_and_codes_in_none() -> None:
    english, ukrainian = (told(generated(3).result, language=language) for language in Language)
    assert [item.value(3) for item in english.all("OBX")] == [item.value(3) for item in ukrainian.all("OBX")]
    assert "not confirmed" in obx(english, "59776-5").value(5)
    assert "не підтверджений" in obx(ukrainian, "59776-5").value(5)
    assert ukrainian.header.raw(19) == "uk^^ISO639"


@pytest.mark.parametrize("text", nasty_texts())
def test_any_text_arrives_and_breaks_no_segment(text: str) -> None:
    case = nasty_case(text)
    about = header(PatientID=f"id{text}", PatientName=f"Ґалаґан{text}", AccessionNumber=f"acc{text}")
    message = told(case.result, language=Language.UKRAINIAN, about=about)
    kinds = {"MSH", "PID", "OBR", "NTE", "OBX"}
    assert {item.name for item in message.segments} == kinds
    pid, obr = message.first("PID"), obr_of(message)
    assert pid is not None
    assert pid.value(3) == f"id{text}".strip(" \0")
    assert obr.value(18) == (case.result.accession_number or f"acc{text}".strip(" \0"))
    assert obx(message, "111001").value(5) == text
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    notes = [item.value(3) for item in message.all("NTE")]
    assert sum(lines in note for note in notes) == 4 + len(case.result.findings)


def test_five_hundred_findings_fit_into_one_message() -> None:
    message = told(big_case().result, language=Language.UKRAINIAN)
    found = [item for item in message.all("OBX") if item.value(3) == "121071"]
    texts = [item for item in message.all("OBX") if item.value(3) == "59776-5"]
    assert len(found) == 500
    assert len(texts) > 1
    assert all(len(item.raw(5)) <= 65536 for item in texts)
    assert {item.value(4) for item in texts} == {f"T{number}" for number in range(1, len(texts) + 1)}


def test_the_same_result_is_the_same_message() -> None:
    first, second = (oru(generated(3).result, header(), SETTINGS, Language.UKRAINIAN) for _ in range(2))
    assert first.payload == second.payload
    assert first.control_id == Message.of(first.payload).header.value(10)
    assert repr(first).startswith("<")


def test_a_later_revision_has_its_own_order_number_and_names_the_earlier_one() -> None:
    result = result_with_findings()
    study, model = result.study_instance_uid, result.model.name
    first = replace(result, task_id=task_id(study, 1, model))
    second = replace(first, revision=2, task_id=task_id(study, 2, model))
    numbers = [obr_of(told(item)).value(3) for item in (first, second)]
    assert numbers[0] != numbers[1]
    assert f"revision 1. OBR-3 {numbers[0]}" in told(second).all("NTE")[0].value(3)
    asked_for = replace(second, task_id=task_id(study, 2, model, "somebody"))
    assert told(asked_for).all("NTE")[0].value(3).endswith("revision 1.")
    assert obr_of(told(asked_for)).value(3) not in numbers
