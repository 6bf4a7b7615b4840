"""Verdicts, replays, revisions and racing writers on two servers: one of each, and nothing is set back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from consumers.fhir.destination import FhirDestination
from schemas.events import Decision, DeliveryStatus, InferenceResult
from schemas.ids import dicom_uid, event_id
from tests.consumers import results
from tests.consumers.fhir.bundles import judged
from tests.consumers.fhir.conftest import NewDestination, all_of, totals

CONFIRMED, AMENDED, REJECTED = Decision.CONFIRMED, Decision.AMENDED, Decision.REJECTED


def with_findings(count: int) -> InferenceResult:
    base = results.result_with_findings()
    found = tuple(
        replace(
            base.findings[0], finding_id=event_id("finding", number), tracking_uid=dicom_uid("tracking", number)
        )
        for number in range(count)
    )
    return replace(base, findings=found)


def statuses(base: str, kind: str) -> list[str]:
    return sorted(one["status"] for one in all_of(base, kind))


def test_verdicts_one_after_the_other(base: str, destination: FhirDestination) -> None:
    result = with_findings(3)
    destination.deliver(result)
    seen = []
    given = None
    for number, decision in enumerate((CONFIRMED, REJECTED, AMENDED)):
        given = judged(result if given is None else given.result or result, decision, number)
        for _ in range(2):
            assert {one.status for one in destination.review(given)} == {DeliveryStatus.STORED}
        seen.append((statuses(base, "DiagnosticReport"), statuses(base, "Observation")))
    assert seen == [
        (["preliminary"], ["final", "preliminary", "preliminary"]),
        (["preliminary"], ["entered-in-error", "final", "preliminary"]),
        (["final"], ["entered-in-error", "final", "final"]),
    ]
    assert totals(base)["Provenance"] == 4
    assert given is not None
    changed = judged(given.result or result, AMENDED, 0, at=given.occurred_at + timedelta(days=1))
    destination.review(changed)
    assert statuses(base, "DiagnosticReport") == ["amended"]
    assert statuses(base, "Observation") == ["amended", "entered-in-error", "final"]


def test_a_late_replay_sets_nothing_back(base: str, destination: FhirDestination) -> None:
    result = with_findings(2)
    destination.deliver(result)
    first = judged(result, CONFIRMED, 0)
    second = judged(first.result or result, CONFIRMED, 1)
    destination.review(first)
    destination.review(second)
    before = all_of(base, "DiagnosticReport") + all_of(base, "Observation")
    (again,) = destination.deliver(result)
    assert (again.status, again.reason) == (DeliveryStatus.SKIPPED, "a radiologist has judged it")
    assert str(again.url).startswith(base)
    assert [one.status for one in destination.review(first)] == [DeliveryStatus.STORED]
    late = judged(result, REJECTED, 1, at=first.occurred_at)
    assert [one.status for one in destination.review(late)] == [DeliveryStatus.SKIPPED]
    assert all_of(base, "DiagnosticReport") + all_of(base, "Observation") == before


def test_a_verdict_may_come_before_its_result(base: str, destination: FhirDestination) -> None:
    result = with_findings(2)
    given = judged(result, CONFIRMED, 0)
    assert {one.status for one in destination.review(given)} == {DeliveryStatus.STORED}
    (late,) = destination.deliver(result)
    assert late.status is DeliveryStatus.SKIPPED
    assert statuses(base, "Observation") == ["final", "preliminary"]
    assert totals(base)["Provenance"] == 2


def test_a_revision_replaces_the_preliminary_report_before_it(base: str, destination: FhirDestination) -> None:
    first = results.result_with_findings()
    second = replace(first, revision=2, task_id="second", event_id=event_id("result", "second"))
    destination.deliver(first)
    for _ in range(2):
        destination.deliver(second)
        assert statuses(base, "DiagnosticReport") == ["cancelled", "preliminary"]
        assert statuses(base, "Observation") == ["cancelled", "preliminary"]
        reports = {one["status"]: one for one in all_of(base, "DiagnosticReport")}
        (extension,) = reports["preliminary"]["extension"]
        assert extension["valueReference"]["reference"] == f"DiagnosticReport/{reports['cancelled']['id']}"
        assert "replaces revision 1" in reports["preliminary"]["conclusion"]
    assert [one.status for one in destination.deliver(first)] == [DeliveryStatus.SKIPPED]
    never_sent = replace(first, task_id="zero", event_id=event_id("result", "zero"))
    (skipped,) = destination.deliver(never_sent)
    assert skipped.reason == "the report of a later revision is there"
    assert totals(base)["DiagnosticReport"] == 2


def test_a_revision_leaves_a_final_report_alone(base: str, destination: FhirDestination) -> None:
    first = results.result_with_findings()
    destination.deliver(first)
    destination.review(judged(first, CONFIRMED))
    destination.deliver(replace(first, revision=2, task_id="second", event_id=event_id("result", "second")))
    assert statuses(base, "DiagnosticReport") == ["final", "preliminary"]
    assert statuses(base, "Observation") == ["final", "preliminary"]
    assert not any("extension" in one for one in all_of(base, "DiagnosticReport"))


def test_two_writers_that_race_make_one_of_each(base: str, new_destination: NewDestination) -> None:
    rounds, writers = 4, 4
    base_result = with_findings(2)
    tasks = [replace(base_result, task_id=f"task-{n}", event_id=event_id("result", n)) for n in range(rounds)]
    verdicts = [judged(judged(task, CONFIRMED, 0).result or task, AMENDED, 1) for task in tasks]
    barrier = threading.Barrier(writers)
    destinations = [new_destination() for _ in range(writers)]

    def write(number: int) -> None:
        for task, verdict in zip(tasks, verdicts, strict=True):
            barrier.wait(60)
            if number == 0:
                destinations[number].review(verdict)
            else:
                destinations[number].deliver(task)

    with ThreadPoolExecutor(writers) as pool:
        for done in [pool.submit(write, number) for number in range(writers)]:
            done.result(120)
    # a result and a verdict, told once each
    each = {"Observation": 2, "DiagnosticReport": 1, "Provenance": 2, "Task": 1}
    found = totals(base)
    assert found == {"ImagingStudy": 1, "Device": 1, **{kind: n * rounds for kind, n in each.items()}}
    assert set(statuses(base, "DiagnosticReport")) == {"final"}
    assert set(statuses(base, "Observation")) == {"final"}
