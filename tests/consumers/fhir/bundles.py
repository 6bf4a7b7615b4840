"""Bundles of results and verdicts without a server, and what a server has after it took them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydicom import Dataset

from consumers.fhir import bundle, links, study
from consumers.fhir.known import NOTHING, Kept, Known
from consumers.fhir.links import Systems
from schemas.events import Adjudication, Decision, InferenceResult
from schemas.ids import event_id
from schemas.terminology import Language
from tests.consumers import results

Json = dict[str, Any]

SYSTEMS = Systems("urn:example:mrn", "urn:example:accession")
BASE = "http://fhir.test/fhir"


def delivered(
    result: InferenceResult,
    header: Dataset | None = None,
    language: Language = Language.ENGLISH,
    known: Known = NOTHING,
) -> Json:
    """Transaction of a result that is about this header."""
    header = header or results.headers()[0]
    found = links.from_header(result, header, SYSTEMS)
    made = study.imaging_study(result, header, found, SYSTEMS.accession)
    return bundle.delivery(result, found, known, language, BASE, imaging_study=made)


def reviewed(given: Adjudication, known: Known, language: Language = Language.ENGLISH) -> Json:
    """Transaction of a verdict on a report that the server has."""
    assert known.report is not None
    assert given.result is not None
    found = links.from_report(known.report.resource)
    return bundle.delivery(given.result, found, known, language, BASE, verdict=given)


def judged(
    result: InferenceResult, decision: Decision, number: int = 0, at: datetime | None = None, **amended: Any
) -> Adjudication:
    """Verdict on one finding, or on a result without findings, and the result as it stands after it."""
    if result.findings:
        finding = replace(result.findings[number], decision=decision, **amended)
        found = (*result.findings[:number], finding, *result.findings[number + 1 :])
        after, name = replace(result, findings=found), finding.finding_id
    else:
        after, name = replace(result, decision=decision), result.event_id
    moment = at or result.occurred_at + timedelta(hours=number + 1)
    return Adjudication(
        event_id=event_id("adjudication", result.task_id, name, decision.value, moment.isoformat()),
        occurred_at=moment,
        finding_id=name,
        task_id=result.task_id,
        study_instance_uid=result.study_instance_uid,
        decision=decision,
        reviewer="o.shevchenko",
        comment="Ґ: \"так\" & 'ні' <b>",
        result=after,
    )


def of_type(transaction: Json, kind: str) -> list[Json]:
    """Resources of one type."""
    return [entry["resource"] for entry in transaction["entry"] if entry["resource"]["resourceType"] == kind]


def taken(transaction: Json, version: int = 1) -> Known:
    """What a server has after it took a transaction of a result that it did not know."""
    names = {
        entry["fullUrl"]: f"{entry['resource']['resourceType']}/{number}"
        for number, entry in enumerate(transaction["entry"])
    }
    text = json.dumps(transaction)
    for name, reference in names.items():
        text = text.replace(f'"reference": "{name}"', f'"reference": "{reference}"')
    kept = []
    for number, entry in enumerate(json.loads(text)["entry"]):
        resource = {**entry["resource"], "id": str(number)}
        resource["meta"] = {**resource.get("meta", {}), "versionId": str(version)}
        kept.append(Kept(resource))
    by_type = {kind: [one for one in kept if one.resource["resourceType"] == kind] for kind in KINDS}
    return Known(
        report=by_type["DiagnosticReport"][0],
        observations={one.resource["identifier"][0]["value"]: one for one in by_type["Observation"]},
        task=next(iter(by_type["Task"]), None),
    )


KINDS = ("DiagnosticReport", "Observation", "Task")
