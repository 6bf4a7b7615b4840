"""What must be there exactly once after any failure, counted at the far ends: log, PACS, FHIR, audit store."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import clickhouse_connect
import httpx

from consumers.audit.writer import AUDITED
from schemas import events
from tests.integration.log_dump import Logged, dump
from tests.integration.stack import LiveStack

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SR = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34")


@dataclass
class Census:
    """Counts and what is wrong with them; ``problems`` is empty when everything is there exactly once."""

    studies: int
    results: int = 0
    reports: int = 0
    objects: int = 0
    audit_rows: int = 0
    audited_messages: int = 0
    problems: list[str] = field(default_factory=list)


def delivered(log: list[Logged]) -> dict[str, set[str]]:
    """Destinations that confirmed, by study."""
    found: dict[str, set[str]] = {}
    for entry in log:
        if isinstance(entry.event, events.DeliveryOutcome) and entry.event.status is events.DeliveryStatus.STORED:
            found.setdefault(entry.event.study_instance_uid, set()).add(entry.event.destination)
    return found


def take(stack: LiveStack, studies: dict[str, set[str]]) -> Census:
    """Count everything.

    Parameters
    ----------
    stack
        Running and at rest.
    studies
        SOP Instance UIDs that were acknowledged, by Study Instance UID.
    """
    log = dump(stack.endpoint("kafka"))
    census = Census(len(studies))
    _instances(log, studies, census)
    _results(log, studies, census)
    _pacs(stack, studies, census)
    _fhir(stack, studies, census)
    _audit(stack, log, census)
    return census


def _instances(log: list[Logged], studies: dict[str, set[str]], census: Census) -> None:
    stored = Counter(
        entry.event.sop_instance_uid
        for entry in log
        if isinstance(entry.event, events.InstanceStored) and not entry.event.is_own_result
    )
    sent = {uid for uids in studies.values() for uid in uids}
    census.problems += [f"instance {uid} published {stored[uid]} times" for uid in sent if stored[uid] != 1]


def _results(log: list[Logged], studies: dict[str, set[str]], census: Census) -> None:
    ready: Counter[str] = Counter()
    results: Counter[str] = Counter()
    outcomes: Counter[tuple[str, str]] = Counter()
    for entry in log:
        match entry.event:
            case events.StudyReady() as study:
                ready[study.study_instance_uid] += 1
                contents = {uid for series in study.series for uid in series.sop_instance_uids}
                if contents != studies.get(study.study_instance_uid):
                    census.problems.append(f"{study.study_instance_uid} revision {study.revision} is incomplete")
            case events.InferenceResult() as result:
                results[result.study_instance_uid] += 1
            case events.DeliveryOutcome() as outcome:
                outcomes[outcome.study_instance_uid, outcome.destination] += 1
                if outcome.status is not events.DeliveryStatus.STORED:
                    census.problems.append(f"{outcome.destination}: {outcome.status} {outcome.reason}")
    census.results = sum(results.values())
    for uid in studies:
        counts = (ready[uid], results[uid], outcomes[uid, "stow"], outcomes[uid, "fhir"])
        if counts != (1, 1, 1, 1):
            census.problems.append(f"{uid}: ready, results, stow, fhir = {counts}, not all 1")


def _pacs(stack: LiveStack, studies: dict[str, set[str]], census: Census) -> None:
    base = f"{stack.endpoint('gateway_http')}/dicom-web"
    with httpx.Client(timeout=30) as client:
        for uid in studies:
            answer = client.get(f"{base}/studies/{uid}/instances", params={"limit": 1000})
            classes = Counter(item["00080016"]["Value"][0] for item in answer.json()) if answer.text else Counter()
            segs, reports = classes[SEG], sum(classes[sop_class] for sop_class in SR)
            census.objects += segs + reports
            if (segs, reports) != (1, 1):
                census.problems.append(f"{uid}: {segs} SEG and {reports} SR in the PACS, not one each")


def _fhir(stack: LiveStack, studies: dict[str, set[str]], census: Census) -> None:
    base = f"{stack.endpoint('api')}/fhir"
    with httpx.Client(timeout=30) as client:
        for resource, expected in (("DiagnosticReport", 1), ("Observation", 1), ("ImagingStudy", 1)):
            bundle = client.get(f"{base}/{resource}", params={"_count": 0, "_summary": "count"}).json()
            census.reports += bundle["total"] if resource == "DiagnosticReport" else 0
            if bundle["total"] != expected * len(studies):
                census.problems.append(f"{bundle['total']} {resource} for {len(studies)} studies")


def _audit(stack: LiveStack, log: list[Logged], census: Census) -> None:
    http = httpx.URL(stack.endpoint("clickhouse"))
    client = clickhouse_connect.get_client(host=http.host, port=http.port or 8123)
    rows = client.query("SELECT topic, partition, offset FROM events").result_rows
    logged = {(entry.topic, entry.partition, entry.offset) for entry in log if entry.topic in AUDITED}
    census.audit_rows, census.audited_messages = len(rows), len(logged)
    doubled = len(rows) - len(set(rows))
    missing = logged - set(rows)
    if doubled or missing:
        census.problems.append(f"audit: {doubled} rows doubled, {len(missing)} missing")
