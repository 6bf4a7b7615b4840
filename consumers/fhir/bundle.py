"""Result, and what the server has of it → one transaction Bundle (FHIR R4 3.1.0.11). Pure.

What is not there is a conditional create, so that two writers that race make it once: whoever is second gets the
other's resource back and looks again. What is there is an update of the version that was read (``ifMatch``), so
that nobody's newer version is lost. The same arguments give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from consumers.fhir import lifecycle, observation, provenance, study, task
from consumers.fhir.codes import Json
from consumers.fhir.entries import Entries, reference_to
from consumers.fhir.identity import reviewer
from consumers.fhir.known import Kept, Known
from consumers.fhir.links import Links, instant
from consumers.fhir.report import Replaced, report, revision_of
from schemas.errors import InvalidMessage
from schemas.events import Adjudication, Decision, InferenceResult, ResultOutcome
from schemas.terminology import Language


@dataclass(frozen=True)
class _Part:
    """An Observation to be, the verdict on it, and the finding (or result) that a verdict names it by."""

    resource: Json
    decision: Decision | None
    finding_id: str | None


@dataclass(frozen=True)
class _Written:
    """An Observation of the transaction, or one that was left as it is.

    ``changed`` says that it was settled before and is so in another way now.
    """

    reference: Json
    status: str
    finding_id: str | None
    changed: bool


def delivery(
    result: InferenceResult,
    links: Links,
    known: Known,
    language: Language,
    base_url: str,
    *,
    imaging_study: Json | None = None,
    verdict: Adjudication | None = None,
) -> Json:
    """Bundle that makes a result, or a verdict on it, known to a FHIR server: all of it or nothing.

    Parameters
    ----------
    result
        What the model said, with the verdicts so far.
    links
        Patient, order and study.
    known
        What the server has.
    language
        Of texts for people.
    base_url
        Service base URL.
    imaging_study
        ImagingStudy to be created with it; ``None`` where the links name the one that is there.
    verdict
        The verdict at hand, on a report that is there; ``None`` for a result that nobody judged.

    Raises
    ------
    InvalidMessage
        The model could not run, so there is nothing to report; two findings share a tracking UID; a number or a
        place of a finding is none; or the result names no task.
    """
    _check(result)
    entries = Entries(base_url)
    if imaging_study is not None:
        links = replace(links, study=(entries.create(imaging_study),))
    device = entries.create(study.device(result.model, language))
    written = [_put(entries, part, device, known, verdict) for part in _parts(result, links, language)]
    standing = [one.reference for one in written if one.status != lifecycle.WITHDRAWN]
    kept = known.report
    changed = any(one.changed for one in written)
    changed = changed or (verdict is not None and verdict.decision is not Decision.CONFIRMED)
    resource = report(
        result,
        links,
        language,
        observations=standing,
        issued=result.occurred_at if verdict is None else verdict.occurred_at,
        replaced=[
            Replaced(one.reference, str(revision_of(one.resource))) for one in (*known.replaced, *known.earlier)
        ],
        interpreters=_interpreters(kept, verdict),
    )
    status = lifecycle.report_status(result, kept.status if kept else None, changed=changed)
    reported = entries.put({**resource, "status": status}, kept)
    made = [reported, *(one.reference for one in written)]
    if kept is None:
        entries.create(provenance.of_result(result, links, language, device, made))
    if verdict is not None:
        judged = [one.reference for one in written if one.finding_id == verdict.finding_id]
        if not judged:
            raise InvalidMessage("the verdict names a finding that its result does not have: send it again")
        entries.create(provenance.of_verdict(verdict, language, [*judged, reported]))
    else:
        entries.put(task.task(result, links, language, device, reported), known.task)
    for one in (*known.earlier, *known.earlier_observations):
        entries.put({**one.resource, "status": lifecycle.CANCELLED}, one)
    return entries.bundle()


def failure(result: InferenceResult, links: Links, known: Known, language: Language, base_url: str) -> Json:
    """Bundle of a run that failed: its Task with the reason, and no report, because nobody looked.

    Raises
    ------
    InvalidMessage
        The result names no task.
    """
    _check_task(result)
    entries = Entries(base_url)
    device = entries.create(study.device(result.model, language))
    entries.put(task.task(result, links, language, device, None), known.task)
    return entries.bundle()


def _check(result: InferenceResult) -> None:
    if result.outcome is ResultOutcome.COULD_NOT_RUN:
        raise InvalidMessage("the model could not run: there is nothing to report, look at the task's reason")
    _check_task(result)
    tracking = {finding.tracking_uid for finding in result.findings}
    if len(tracking) != len(result.findings):
        raise InvalidMessage("two findings share a tracking UID: correct the model's postprocessing")


def _check_task(result: InferenceResult) -> None:
    if not result.task_id.strip():
        raise InvalidMessage("the result names no task, by which its resources are found: run the model again")


def _parts(result: InferenceResult, links: Links, language: Language) -> Iterator[_Part]:
    for finding in result.findings:
        resource = observation.finding_observation(result, finding, links, language)
        yield _Part(resource, finding.decision, finding.finding_id)
    if not result.findings:
        negative = observation.negative_observation(result, links, language)
        yield _Part(negative, result.decision, result.event_id)
    if result.quality:
        # nobody judges a number about the run: it is final with the report
        decision = Decision.CONFIRMED if lifecycle.judged(result) else None
        yield _Part(observation.quality_observation(result, links, language), decision, None)


def _put(entries: Entries, part: _Part, device: Json, known: Known, verdict: Adjudication | None) -> _Written:
    kept = known.observations.get(part.resource["identifier"][0]["value"])
    at_hand = verdict is not None and part.finding_id == verdict.finding_id
    # what was amended by an earlier verdict is not amended once more by this one
    earlier = part.decision is Decision.AMENDED and not at_hand
    decision = Decision.CONFIRMED if earlier else part.decision
    status = lifecycle.observation_status(decision, kept.status if kept else None)
    if kept is not None and verdict is not None and not at_hand and status == kept.status:
        return _Written(reference_to(kept), status, part.finding_id, changed=False)
    resource = {**part.resource, "status": status, "device": device}
    if verdict is not None and at_hand:
        resource["issued"] = instant(verdict.occurred_at)
    changed = kept is not None and lifecycle.settled(kept.status) and status != kept.status
    return _Written(entries.put(resource, kept), status, part.finding_id, changed)


def _interpreters(kept: Kept | None, verdict: Adjudication | None) -> list[Json]:
    known: list[Json] = list(kept.resource.get("resultsInterpreter", [])) if kept else []
    if verdict is None or reviewer(verdict.reviewer) in known:
        return known
    return [*known, reviewer(verdict.reviewer)]
