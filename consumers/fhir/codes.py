"""DICOM codes and fixed FHIR codes → FHIR ``Coding`` and ``CodeableConcept``.

A coding scheme without a registered system keeps its code and its meaning but gets no ``system``: nothing is
invented.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.events import Category, Code, Laterality
from schemas.terminology import Language, display

Json = dict[str, Any]

#: Coding scheme designator (PS3.16 table 8-1) → FHIR code system URI.
SYSTEMS: Final[dict[str, str]] = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    "RADLEX": "http://radlex.org",
    "RADELEMENT": "http://radelement.org",
    "FMA": "http://purl.org/sig/ont/fma",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "UMLS": "http://www.nlm.nih.gov/research/umls",
}

_OBSERVATION_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_INTERPRETATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_DIAGNOSTIC_SERVICE: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
_IDENTIFIER_TYPE: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"

IMAGING: Final[Json] = {
    "coding": [{"system": _OBSERVATION_CATEGORY, "code": "imaging", "display": "Imaging"}],
}
RADIOLOGY: Final[Json] = {
    "coding": [{"system": _DIAGNOSTIC_SERVICE, "code": "RAD", "display": "Radiology"}],
}
DIAGNOSTIC_IMAGING_STUDY: Final[Json] = {
    "coding": [{"system": SYSTEMS["LN"], "code": "18748-4", "display": "Diagnostic imaging study"}],
}
PRESENT: Final = Code("52101004", "SCT", "Present")
NEGATIVE: Final = Code("260385009", "SCT", "Negative")
CERTAINTY: Final = Code("111012", "DCM", "Certainty of Finding")
PERCENT: Final = Code("%", "UCUM", "%")
STUDY_OBSERVATION: Final = Code("18782-3", "LN", "Radiology Study observation (narrative)")
QUALITY: Final = Code("111050", "DCM", "Quality Assessment")
IMAGE_REGION: Final = Code("111030", "DCM", "Image Region")
SOURCE_IMAGE: Final = Code("121324", "DCM", "Source image")
LATERALITY: Final = Code("272741003", "SCT", "Laterality")
SIDES: Final[dict[Laterality, Code]] = {
    Laterality.LEFT: Code("7771000", "SCT", "Left"),
    Laterality.RIGHT: Code("24028007", "SCT", "Right"),
    Laterality.BILATERAL: Code("51440002", "SCT", "Bilateral"),
}

#: Asserted by an artificial intelligence (HL7 v3 ObservationValue): on everything that a model said.
AI_ASSERTED: Final[Json] = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}


def coding(code: Code) -> Json:
    """FHIR ``Coding`` of a DICOM code in the standard's own words; ``system`` only where one is registered."""
    system = SYSTEMS.get(code.scheme.upper())
    value: Json = {"system": system} if system else {}
    # a FHIR code has no blanks at its ends and single ones inside
    return {**value, "code": " ".join(code.value.split()), "display": code.meaning}


def concept(code: Code, language: Language) -> Json:
    """FHIR ``CodeableConcept`` of a DICOM code; only its text is in the language of the reader."""
    return {"coding": [coding(code)], "text": display(code, language)}


def quantity(value: float, unit: Code, language: Language) -> Json:
    """FHIR ``Quantity``; the unit is coded in UCUM when the measurement is."""
    text = display(unit, language)
    if unit.scheme.upper() != "UCUM":
        return {"value": value, "unit": text}
    return {"value": value, "unit": text, "system": SYSTEMS["UCUM"], "code": unit.value}


def identifier_type(code: str, display: str) -> Json:
    """Kind of an identifier (HL7 v2 table 0203), such as ``ACSN``."""
    return {"coding": [{"system": _IDENTIFIER_TYPE, "code": code, "display": display}]}


def interpretation(category: Category, text: str) -> Json:
    """How soon a person must look, as ``Observation.interpretation``; only ``critical`` has an HL7 code."""
    if category is Category.CRITICAL:
        return {
            "coding": [{"system": _INTERPRETATION, "code": "AA", "display": "Critical abnormal"}],
            "text": text,
        }
    return {"text": text}
