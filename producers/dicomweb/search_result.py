"""Rows of the index → results of a search in DICOM JSON (PS3.18 tables 10.6.3-3 to 10.6.3-5). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from pydicom.datadict import dictionary_VR

from producers.dicomweb.dicom_json import Json, key, person_name, value
from producers.store.attributes import LEVELS, REQUEST_ATTRIBUTES_SEQUENCE, Attribute, Level

PARENTS: Final[dict[Level, tuple[Level, ...]]] = {
    "study": ("study",),
    "series": ("study", "series"),
    "instance": ("study", "series", "instance"),
}
COUNTS: Final = (
    ("NumberOfStudyRelatedSeries", 0x00201206),
    ("NumberOfStudyRelatedInstances", 0x00201208),
    ("NumberOfSeriesRelatedInstances", 0x00201209),
)
#: Type 2 of PS3.18 table 10.6.3-3: present also when empty.
_ALWAYS: Final = frozenset(
    (
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
    )
)
_IN_REQUEST: Final = frozenset({"ScheduledProcedureStepID", "RequestedProcedureID"})


def result(level: Level, row: Mapping[str, Any], shown: Collection[Level], base_url: str) -> Json:
    """One result.

    Parameters
    ----------
    level
        What the row is.
    row
        Columns of the index.
    shown
        Levels whose attributes the result carries.
    base_url
        Root of the DICOMweb service, for RetrieveURL.
    """
    found: Json = {
        "00080005": value("CS", "ISO_IR 192"),
        "00080056": value("CS", "ONLINE"),
        "00081190": value("UR", retrieve_url(level, row, base_url)),
    }
    request: Json = {}
    for parent in PARENTS[level]:
        for attribute in LEVELS[parent]:
            if parent in shown or attribute.vr == "UI":
                target = request if attribute.keyword in _IN_REQUEST else found
                _add(target, attribute, row.get(attribute.keyword))
    if request:
        found[key(REQUEST_ATTRIBUTES_SEQUENCE)] = value("SQ", request)
    if row.get("ModalitiesInStudy"):
        found["00080061"] = value("CS", *sorted(str(row["ModalitiesInStudy"]).split(",")))
    for keyword, tag in COUNTS:
        if row.get(keyword) is not None:
            found[key(tag)] = value("IS", int(row[keyword]))
    if row.get("transfer_syntax_uid"):
        found["00083002"] = value("UI", str(row["transfer_syntax_uid"]))
    return dict(sorted(found.items()))


def retrieve_url(level: Level, row: Mapping[str, Any], base_url: str) -> str:
    """WADO-RS URL of what a row is."""
    url = f"{base_url}/studies/{row['StudyInstanceUID']}"
    if level != "study":
        url += f"/series/{row['SeriesInstanceUID']}"
    if level == "instance":
        url += f"/instances/{row['SOPInstanceUID']}"
    return url


def _add(target: Json, attribute: Attribute, stored: str | int | None) -> None:
    if stored is None or stored == "":
        if attribute.keyword in _ALWAYS:
            target[key(attribute.tag)] = value(attribute.vr)
        return
    if attribute.vr == "PN":
        target[key(attribute.tag)] = value("PN", *(person_name(name) for name in str(stored).split("\\")))
        return
    values = str(stored).split("\\") if isinstance(stored, str) else [stored]
    target[key(attribute.tag)] = value(dictionary_VR(attribute.tag), *values)
