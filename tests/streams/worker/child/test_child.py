"""The real computing process with the real model and a real gateway."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from schemas.events import InferenceResult, TaskState, TaskStatus, VersionState
from schemas.settings import WorkerSettings
from schemas.topics import Priority
from streams.worker.child import ChildLink, Setup, start
from streams.worker.protocol import Begin, Ended, FromChild, Loaded, Moved
from tests.engines.phantom import series
from tests.producers.dicomweb.conftest import Gateway, gateway
from tests.streams.worker.child.talk import until
from tests.streams.worker.site import store
from tests.streams.worker.tasks import MODEL, task_for

__all__ = ["gateway"]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildLink]:
    link = start(Setup(WorkerSettings(threads=1), "node-1", records=tmp_path_factory.mktemp("records")))
    loaded = until(link, Loaded)
    assert [entry.state for entry in loaded.models] == [VersionState.SERVING]
    assert [entry.name for entry in loaded.identities] == [MODEL]
    assert loaded.engine.startswith("onnxruntime")
    yield link
    link.close()
    assert link.exitcode == 0


def small_series(slices: int = 8) -> list[Dataset]:
    noise = np.random.default_rng(3).integers(0, 900, (slices, 64, 64))
    return series(noise, spacing_mm=(5, 3, 3), name=generate_uid())


def test_a_task_is_answered_and_every_stage_told(child: ChildLink, gateway: Gateway) -> None:
    images = small_series()
    store(gateway.dicom_web, images)
    task = task_for(images, gateway.dicom_web, Priority.P3_NORMAL, patient_key="k")
    child.send(Begin(task, 3.0))
    said: list[FromChild] = []
    ended = until(child, Ended, said)
    assert ended.name == (task.task_id, 1)
    moves = [(entry.state, entry.progress) for entry in said if isinstance(entry, Moved)]
    assert moves == [(TaskState.PREPROCESSING, 10), (TaskState.INFERRING, 40), (TaskState.POSTPROCESSING, 80)]
    (_, _, result), (_, _, status) = ended.answer.events
    assert isinstance(result, InferenceResult)
    assert result.patient_key == "k"
    assert [stage.name for stage in ended.answer.stages] == [
        "fetch",
        "preprocessing",
        "inferring",
        "postprocessing",
        "store",
    ]
    assert isinstance(status, TaskStatus)
    assert status.model_version == result.model.version
