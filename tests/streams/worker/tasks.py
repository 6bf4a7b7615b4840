"""Inference tasks and what is needed around them."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydicom import Dataset

from schemas import ids
from schemas.events import InferenceTask, SeriesContent
from schemas.topics import TASK_TOPICS, Priority
from streams.worker.job import Job, Partition, Received

MODEL = "mri-brain-segmentation"
START = datetime(2026, 3, 1, 8, tzinfo=UTC)


def new_study() -> str:
    """A Study Instance UID that no other test has."""
    return f"2.25.{random.randrange(10**30)}"


def task(study: str | None = None, priority: Priority = Priority.P3_NORMAL, **changes: Any) -> InferenceTask:
    """Task for a study that holds one MR series of three images."""
    study = study or new_study()
    task_id = ids.task_id(study, 1, MODEL)
    series = SeriesContent(
        f"{study}.1", "MR", "1.2.840.10008.5.1.4.1.1.4", "T1", "HEAD", tuple(f"{study}.1.{n}" for n in range(3))
    )
    plain = InferenceTask(
        event_id=ids.event_id("task-attempt", task_id, 1),
        occurred_at=START,
        task_id=task_id,
        study_instance_uid=study,
        revision=1,
        model_name=MODEL,
        priority=priority,
        priority_reason="test",
        rule_revision="1",
        created_at=START,
        deadline=START + timedelta(minutes=5),
        retrieve_url=f"http://127.0.0.1:9/dicom-web/studies/{study}",
        series=(series,),
        accession_number="A-1",
    )
    return dataclasses.replace(plain, **changes)


def task_for(images: Sequence[Dataset], dicom_web: str, priority: Priority, **changes: Any) -> InferenceTask:
    """Task for a series of images that a gateway holds."""
    study = str(images[0].StudyInstanceUID)
    series = SeriesContent(
        str(images[0].SeriesInstanceUID),
        "MR",
        str(images[0].SOPClassUID),
        None,
        None,
        tuple(sorted(str(image.SOPInstanceUID) for image in images)),
    )
    now = datetime.now(UTC).replace(microsecond=0)
    return task(
        study,
        priority,
        retrieve_url=f"{dicom_web}/studies/{study}",
        series=(series,),
        occurred_at=now,
        created_at=now,
        deadline=now + timedelta(minutes=5),
        **changes,
    )


def job(number: int = 0, priority: Priority = Priority.P3_NORMAL, offset: int = 7, **changes: Any) -> Job:
    """Job of a partition of the topic of its class."""
    partition = Partition(TASK_TOPICS[priority].value, number)
    return Job(task(None, priority, **changes), Received(partition, offset))
