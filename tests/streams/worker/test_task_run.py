"""A task against images in memory: what is fetched, kept and said. The real gateway is in test_worker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from pydicom import Dataset

from producers.artifacts import unpack_mask
from producers.telemetry import Telemetry
from schemas.errors import DestinationUnavailable, InvalidMessage, ScanstreamError, TransientFailure
from schemas.events import Artifact, InferenceResult, TaskState
from schemas.topics import Priority
from streams.clock import system_clock
from streams.worker.answers import Answer
from streams.worker.task_run import TaskRunner
from tests.engines.phantom import model_of, series
from tests.streams.worker.tasks import MODEL, task_for


class Shelf:
    """Images and artifacts in memory."""

    def __init__(self, images: Sequence[Dataset], error: ScanstreamError | None = None) -> None:
        self.images = {str(image.SOPInstanceUID): image for image in images}
        self.kept: list[tuple[bytes, tuple[int, ...]]] = []
        self.error = error

    def fetch_series(self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]) -> list:
        if self.error is not None:
            raise self.error
        return [self.images[uid] for uid in sop_instance_uids]

    def put_artifact(
        self, retrieve_url: str, kind: str, media_type: str, data: bytes, shape: tuple[int, ...]
    ) -> Artifact:
        self.kept.append((data, shape))
        return Artifact(kind, media_type, "http://gw/artifacts/aa", "aa", len(data), shape)


def run(shelf: Shelf, images: Sequence[Dataset], **changes: object) -> tuple[Answer, list[TaskState], Telemetry]:
    telemetry, steps = Telemetry(), []
    runner = TaskRunner({MODEL: model_of((16, 16, 16))[0]}, shelf, "node-1", telemetry, system_clock)
    task = task_for(images, "http://gw/dicom-web", Priority.P3_NORMAL, **changes)
    return runner.run(task, steps.append), steps, telemetry


def test_from_task_to_answer() -> None:
    images = series(np.full((5, 8, 8), 9), name="run")
    shelf = Shelf(images)
    answer, steps, telemetry = run(shelf, images)
    result = answer.events[0][2]
    assert isinstance(result, InferenceResult)
    assert result.sop_instance_uids == tuple(image.SOPInstanceUID for image in images)
    ((data, shape),) = shelf.kept
    assert unpack_mask(data, shape).all()
    assert shape == (5, 8, 8)
    assert list(dict.fromkeys(steps)) == [TaskState.PREPROCESSING, TaskState.INFERRING, TaskState.POSTPROCESSING]
    assert [stage.name for stage in result.stages] == [
        "fetch",
        "preprocessing",
        "inferring",
        "postprocessing",
        "store",
    ]
    assert b'scanstream_inference_seconds_count{model="mri-brain-segmentation",stage="fetch"} 1.0' in (
        telemetry.exposition()
    )


def test_each_error_has_its_answer() -> None:
    images = series(np.full((5, 8, 8), 9))
    assert run(Shelf(images), images[:1])[0].outcome == "could_not_run"
    assert run(Shelf(images, TransientFailure("later")), images)[0].outcome == "retry"
    assert run(Shelf(images, InvalidMessage("no URL")), images)[0].outcome == "could_not_run"
    assert run(Shelf(images), images, model_name="other")[0].dead_letter
    with pytest.raises(DestinationUnavailable):
        run(Shelf(images, DestinationUnavailable("away")), images)
