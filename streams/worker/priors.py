"""Result + the one before of the same patient and model → measurements of change, and what is compared next.

A finding is compared with the one that was tracked under the same id in the newest earlier study: earlier by the
date and time of the studies where both say them, else by when they came. Guarantee: a study is never compared with
itself, nor with one that is known to be later; one that is imported late takes the place of none that was made
after it.

Volumes are compared and nothing else. A finding that a detector found has no identity beyond its study, and a
probability is of a version of a model; change of them would be of no meaning.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from typing import Final

from schemas import ids
from schemas.events import (
    Code,
    Event,
    Finding,
    InferenceResult,
    InferenceTask,
    Measurement,
    PriorReference,
    PriorResult,
    PriorValue,
    ResultOutcome,
)
from schemas.terminology import terms
from schemas.topics import Topic
from streams.worker.answers import Answer

_TERMS: Final = terms()

#: What is followed over time.
VOLUME: Final = _TERMS["SCT", "118565006"].code
CHANGE: Final = _TERMS["99SCANSTREAM", "volume-change"].code
CHANGE_PERCENT: Final = _TERMS["99SCANSTREAM", "change-percent"].code
_PERCENT: Final = _TERMS["UCUM", "%"].code

#: Studies that are remembered as earlier ones.
_MOST_EARLIER: Final = 50


class Priors:
    """Newest result of each patient by each model. Safe to use from several threads."""

    def __init__(self) -> None:
        self._newest: dict[str, PriorResult] = {}
        self._lock = threading.Lock()

    def hear(self, key: str, event: Event | None) -> None:
        """Take in a message of the topic of priors."""
        with self._lock:
            if isinstance(event, PriorResult):
                self._newest[key] = event
            elif event is None:
                self._newest.pop(key, None)

    def of(self, task: InferenceTask) -> PriorResult | None:
        """Newest result of the patient by the model of a task."""
        with self._lock:
            return self._newest.get(key_of(task))


def key_of(task: InferenceTask) -> str:
    """Kafka key: patient and model."""
    return f"{task.patient_key}/{task.model_name}"


def with_change(answer: Answer, task: InferenceTask, newest: PriorResult | None) -> Answer:
    """The answer with its result compared, and with what the next result will be compared with.

    Parameters
    ----------
    answer
        Of the computing process.
    task
        What was asked; without a patient there is nothing to compare.
    newest
        Newest result of the same patient and model.
    """
    if task.patient_key is None:
        return answer
    events = list[tuple[Topic, str, Event]]()
    for topic, key, event in answer.events:
        if topic is not Topic.RESULTS or not isinstance(event, InferenceResult):
            events.append((topic, key, event))
            continue
        result = compared(event, task, newest)
        events.append((topic, key, result))
        following = following_prior(result, task, newest)
        if following is not None:
            events.append((Topic.PRIORS, key_of(task), following))
    return dataclasses.replace(answer, events=tuple(events))


def compared(result: InferenceResult, task: InferenceTask, newest: PriorResult | None) -> InferenceResult:
    """The result with measurements of change, and a reference to what they refer to."""
    result = dataclasses.replace(result, patient_key=result.patient_key or task.patient_key)
    reference, values = _earlier(task, newest)
    findings = tuple(_with_change(finding, values) for finding in result.findings)
    if reference is None or findings == result.findings:
        return result
    return dataclasses.replace(result, findings=findings, prior=reference)


def following_prior(
    result: InferenceResult, task: InferenceTask, newest: PriorResult | None
) -> PriorResult | None:
    """What the next result is compared with; ``None`` where that stays what it was."""
    if result.outcome is ResultOutcome.COULD_NOT_RUN or task.patient_key is None:
        return None
    if newest is not None and _is_later(newest, task):
        return _between(result, task, newest)
    reference, values = _earlier(task, newest)
    earlier = dict.fromkeys(newest.earlier_studies if newest else ())
    if newest is not None and newest.study_instance_uid != task.study_instance_uid:
        earlier[newest.study_instance_uid] = None
    return PriorResult(
        event_id=ids.event_id("prior", result.event_id),
        occurred_at=task.created_at,
        patient_key=task.patient_key,
        model_name=task.model_name,
        model_version=result.model.version,
        study_instance_uid=task.study_instance_uid,
        revision=task.revision,
        result_id=result.event_id,
        values=_values(result),
        previous=reference,
        previous_values=values,
        earlier_studies=tuple(earlier)[-_MOST_EARLIER:],
        study_date_time=task.study_date_time,
    )


def _between(result: InferenceResult, task: InferenceTask, newest: PriorResult) -> PriorResult | None:
    """The newest result with this one as the one before it, if the study was made between the two."""
    before, study = newest.previous, task.study_instance_uid
    if not _made_before(task.study_date_time, newest.study_date_time):
        return None
    if before is not None:
        of_study = before.study_instance_uid == study
        # of one study a revision that was asked for later is the newer one
        if before.occurred_at > task.created_at if of_study else not _is_earlier(before, task):
            return None
    return dataclasses.replace(
        newest,
        event_id=ids.event_id("prior", newest.result_id, result.event_id),
        previous=PriorReference(result.event_id, study, task.created_at, task.study_date_time),
        previous_values=_values(result),
        earlier_studies=tuple(dict.fromkeys((*newest.earlier_studies, study)))[-_MOST_EARLIER:],
    )


def _values(result: InferenceResult) -> tuple[PriorValue, ...]:
    return tuple(
        PriorValue(finding.tracking_id, measurement)
        for finding in result.findings
        for measurement in finding.measurements
        if _same(measurement.code, VOLUME)
    )


def _is_later(newest: PriorResult, task: InferenceTask) -> bool:
    """Whether the newest result is of a study, or a revision of this one, after what was asked now."""
    if newest.study_instance_uid == task.study_instance_uid:
        return newest.revision > task.revision
    if _made_before(newest.study_date_time, task.study_date_time):
        return False
    return (
        _made_before(task.study_date_time, newest.study_date_time)
        or task.study_instance_uid in newest.earlier_studies
        or newest.occurred_at >= task.created_at
    )


def _is_earlier(before: PriorReference, task: InferenceTask) -> bool:
    return before.study_instance_uid != task.study_instance_uid and _made_before(
        before.study_date_time, task.study_date_time
    )


def _made_before(one: str | None, other: str | None) -> bool:
    """Whether a study is known to have been made before another; a day alone is before later days only."""
    both = min(len(one or ""), len(other or ""))
    return (one or "")[:both] < (other or "")[:both]


def _earlier(
    task: InferenceTask, newest: PriorResult | None
) -> tuple[PriorReference | None, tuple[PriorValue, ...]]:
    if newest is None:
        return None, ()
    before = newest.previous
    if newest.study_instance_uid == task.study_instance_uid or (
        _is_later(newest, task) and before is not None and _is_earlier(before, task)
    ):
        return before, newest.previous_values
    if _is_later(newest, task):
        return None, ()
    reference = PriorReference(
        newest.result_id, newest.study_instance_uid, newest.occurred_at, newest.study_date_time
    )
    return reference, newest.values


def _with_change(finding: Finding, values: tuple[PriorValue, ...]) -> Finding:
    added = []
    for measurement in finding.measurements:
        before = next((entry.measurement for entry in values if _is_about(entry, finding, measurement)), None)
        if before is None:
            continue
        change = measurement.value - before.value
        if not math.isfinite(change):
            continue
        added.append(Measurement(CHANGE, round(change, 3), measurement.unit))
        if before.value > 0 and math.isfinite(percent := 100 * change / before.value):
            added.append(Measurement(CHANGE_PERCENT, round(percent, 1), _PERCENT))
    return dataclasses.replace(finding, measurements=(*finding.measurements, *added)) if added else finding


def _is_about(entry: PriorValue, finding: Finding, measurement: Measurement) -> bool:
    return (
        entry.tracking_id == finding.tracking_id
        and _same(measurement.code, VOLUME)
        and _same(entry.measurement.code, measurement.code)
        and _same(entry.measurement.unit, measurement.unit)
    )


def _same(one: Code, other: Code) -> bool:
    return (one.scheme, one.value) == (other.scheme, other.value)
