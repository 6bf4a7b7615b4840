"""The demonstration series as a source, and results about it: what builders and writers are tested with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset

from consumers.dicom.material import Material
from consumers.dicom.source import prepare
from schemas.events import Category, Code, Finding, InferenceResult, Measurement, ModelIdentity, ResultOutcome
from schemas.ids import dicom_uid, event_id
from schemas.topics import Priority

SERIES = Path(__file__).parents[2] / "dashboards" / "demo" / "data" / "mr-brain"
FINISHED = datetime(2026, 3, 1, 12, 30, 15, 250000, UTC)

BRAIN = Code("12738006", "SCT", "Brain")
VOLUME = Code("118565006", "SCT", "Volume")
MILLILITRE = Code("mL", "UCUM", "mL")


@cache
def _headers() -> tuple[Dataset, ...]:
    files = sorted(SERIES.glob("*.dcm"))
    read = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    return tuple(sorted(read, key=lambda header: float(header.ImagePositionPatient[2])))


def headers() -> list[Dataset]:
    """Headers of the demonstration series, from foot to head."""
    return list(_headers())


def image(sop_instance_uid: str) -> Dataset:
    """An image of the demonstration series with its pixels."""
    (path,) = [Path(str(header.filename)) for header in _headers() if header.SOPInstanceUID == sop_instance_uid]
    return pydicom.dcmread(path)


def material(
    result: InferenceResult,
    sources: Sequence[Dataset] | None = None,
    masks: Sequence[npt.NDArray[np.bool_]] | None = None,
) -> Material:
    """What builders are given with a result about the series; ``sources`` in any order, one mask by default."""
    prepared = prepare(result, headers() if sources is None else sources)
    return Material(prepared, image, [mask()] if masks is None else masks)


def mask() -> npt.NDArray[np.bool_]:
    """An ellipsoid that leaves the first and last two slices empty, with a hole to tell mirrored masks apart."""
    slices, rows, columns = np.mgrid[0:20, 0:256, 0:256]
    inside = ((slices - 9.5) / 8) ** 2 + ((rows - 120) / 90) ** 2 + ((columns - 130) / 70) ** 2 < 1
    return inside & ~((slices == 6) & (rows > 60) & (rows < 70) & (columns > 100) & (columns < 140))


def model() -> ModelIdentity:
    """Identity of a model."""
    return ModelIdentity(
        name="brain-mr",
        version="0.1.0",
        sha256="ab" * 32,
        manufacturer="Example Institute",
        device_uid=dicom_uid("device", "brain-mr", "0.1.0"),
        engine="onnxruntime",
    )


def finding(source: Dataset, *, volume_ml: float = 1234.5, segment: int | None = 1) -> Finding:
    """Brain volume of a series."""
    identifier = event_id("finding", str(source.SeriesInstanceUID))
    return Finding(
        event_id=identifier,
        occurred_at=FINISHED,
        finding_id=identifier,
        finding_type="brain-volume",
        task_id=event_id("task", str(source.StudyInstanceUID)),
        study_instance_uid=str(source.StudyInstanceUID),
        series_instance_uid=str(source.SeriesInstanceUID),
        revision=1,
        code=BRAIN,
        category=Category.ROUTINE,
        tracking_id="brain",
        tracking_uid=dicom_uid("tracking", str(source.SeriesInstanceUID)),
        measurements=(Measurement(VOLUME, volume_ml, MILLILITRE),),
        probability=0.87,
        site=BRAIN,
        segment_number=segment,
    )


def result_with_findings(study: str = "", priority: Priority = Priority.P3_NORMAL) -> InferenceResult:
    """Result that found a brain in the demonstration series; ``study`` replaces the Study Instance UID."""
    sources = headers()
    study_uid = study or str(sources[0].StudyInstanceUID)
    found = replace(finding(sources[0]), study_instance_uid=study_uid)
    task = event_id("task", study_uid)
    return InferenceResult(
        event_id=event_id("result", task),
        occurred_at=FINISHED,
        task_id=task,
        study_instance_uid=study_uid,
        series_instance_uid=str(sources[0].SeriesInstanceUID),
        revision=1,
        priority=priority,
        outcome=ResultOutcome.FINDINGS,
        model=model(),
        task_created_at=FINISHED - timedelta(seconds=4),
        deadline=FINISHED + timedelta(minutes=30),
        node="node-1",
        attempt=1,
        retrieve_url=f"http://127.0.0.1:9/dicom-web/studies/{study_uid}",
        sop_instance_uids=tuple(str(header.SOPInstanceUID) for header in sources),
        findings=(found,),
        limitations="Research use only",
    )


def result_without_findings() -> InferenceResult:
    """Result of a run that found nothing."""
    return replace(result_with_findings(), outcome=ResultOutcome.NO_FINDINGS, findings=())
