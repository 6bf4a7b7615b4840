"""The worker process on a real Kafka, with images from a real gateway service."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from engines.repository import RELEASED
from engines.rollout import Rollout, write_rollout
from producers.artifacts import unpack_mask
from producers.claim_check import ClaimCheck
from producers.kafka import EventPublisher
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import InferenceResult, InferenceTask, ResultOutcome, TaskState, TaskStatus
from schemas.settings import KafkaSettings
from schemas.topics import TASK_TOPICS, WORKER_GROUP, Priority, Topic, dlq_topic, retry_topic
from tests.engines import tiny
from tests.engines.phantom import series
from tests.producers.dicomweb.conftest import Gateway, Serving, gateway
from tests.producers.dicomweb.objects import DEMONSTRATION
from tests.services import wait_for
from tests.streams.worker.site import Watch, store, submit, watch, worker
from tests.streams.worker.tasks import MODEL, new_study, task, task_for
from tests.tools import free_port

__all__ = ["gateway"]

pytestmark = pytest.mark.integration

P1, P2, P3, P4 = Priority
Start = Callable[..., AbstractContextManager[Any]]
RUN = [TaskState.PREPROCESSING, TaskState.INFERRING, TaskState.POSTPROCESSING]
RETRY, DEAD_LETTERS = retry_topic(WORKER_GROUP), dlq_topic(WORKER_GROUP)


@pytest.fixture
def out(kafka_settings: KafkaSettings) -> Iterator[Watch]:
    with watch(kafka_settings) as seen:
        yield seen


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The brain model, and one that is computed in no time."""
    root = tmp_path_factory.mktemp("models")
    (root / MODEL).symlink_to(RELEASED / MODEL)
    tiny.add_version(root, 1)
    return root


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the node remembers that its models are valid."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def start(kafka_settings: KafkaSettings, models: Path, state: Path, tmp_path: Path) -> Start:
    """Starts a worker with these models."""
    return partial(
        worker,
        kafka_settings,
        tmp_path,
        SCANSTREAM_DATA_DIR=str(state),
        SCANSTREAM_WORKER_MODEL_REPOSITORY=str(models),
        SCANSTREAM_WORKER_THREADS="1",
    )


def quick(images: Sequence[Dataset], dicom_web: str, priority: Priority, **changes: Any) -> InferenceTask:
    """A task that takes no time to compute."""
    return task_for(images, dicom_web, priority, model_name=tiny.NAME, **changes)


def small_series(slices: int = 8) -> list[Dataset]:
    """Noise that no other test has."""
    noise = np.random.default_rng(3).integers(0, 900, (slices, 64, 64))
    return series(noise, spacing_mm=(5, 3, 3), name=generate_uid())


def demonstration() -> list[Dataset]:
    """The demonstration series as a study of its own."""
    images: list[Dataset] = [dcmread(path) for path in DEMONSTRATION]
    study, series_uid = generate_uid(), generate_uid()
    for image in images:
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series_uid
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return images


def test_the_demonstration_series_gives_its_brain_volume(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    images = demonstration()
    store(gateway.dicom_web, images)
    asked = task_for(images, gateway.dicom_web, P2)
    submit(kafka_settings, asked)
    with start():
        result = out.result(asked.task_id)
        out.until(lambda: out.states(asked.task_id)[-1:] == [TaskState.COMPLETED], "the status")
    assert list(dict.fromkeys(out.states(asked.task_id))) == [*RUN, TaskState.COMPLETED]
    assert result.outcome is ResultOutcome.FINDINGS
    # 1.17 L is what the model says of this series; the rest is for other processors
    assert 1100 < result.findings[0].measurements[0].value < 1250
    assert any("T1-weighted" in warning for warning in result.out_of_domain_warnings)
    (mask,) = result.artifacts
    assert mask.shape == (20, 256, 256)
    with ClaimCheck() as claims:
        voxels = unpack_mask(claims.get_artifact(mask), mask.shape)
    spacing = 0.859375**2 * 6.99 / 1000
    assert voxels.sum() * spacing == pytest.approx(result.findings[0].measurements[0].value, rel=0.01)
    assert set(result.sop_instance_uids) == {image.SOPInstanceUID for image in images}
    assert (
        result.sop_instance_uids[0] == min(images, key=lambda image: image.ImagePositionPatient[2]).SOPInstanceUID
    )
    log = (tmp_path / "worker.log").read_text()
    assert "DEMO^BRAIN" not in log
    assert "DEMO-0001" not in log


def test_a_worker_that_is_killed_leaves_exactly_one_result(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    interrupted = False
    for attempt in range(5):
        images = small_series()
        store(gateway.dicom_web, images)
        asked = task_for(images, gateway.dicom_web, P3)
        submit(kafka_settings, asked)
        with start() as child:
            out.until(lambda: TaskState.INFERRING in out.states(asked.task_id), "inference to begin")  # noqa: B023 - used before the next turn
            child.send_signal(signal.SIGKILL)
            child.wait(60)
        with start():
            out.result(asked.task_id)
            # a later task of the same partition is answered after whatever the first run left behind
            again = dataclasses.replace(asked, task_id=f"{asked.task_id}-next", event_id="next")
            submit(kafka_settings, again)
            out.result(again.task_id)
        assert len(out.events(InferenceResult, asked.task_id)) == 1, f"attempt {attempt}"
        assert out.states(asked.task_id).count(TaskState.COMPLETED) == 1
        interrupted = out.states(asked.task_id).count(TaskState.INFERRING) == 2
        if interrupted:
            break
    assert interrupted, "the worker was never killed in the middle of an inference"


def child_of(worker_pid: int) -> int:
    """Process id of the computing process of a worker."""
    (pid,) = Path(f"/proc/{worker_pid}/task/{worker_pid}/children").read_text().split()
    return int(pid)


def test_what_kills_its_computing_process_is_tried_again_alone_and_the_rest_goes_on(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    others = [small_series() for _ in range(2)]
    store(gateway.dicom_web, [image for images in others for image in images])
    rest = [quick(images, gateway.dicom_web, P3) for images in others]
    with start() as child:
        culprit = killed_while_it_computes(kafka_settings, gateway, out, child.pid)
        submit(kafka_settings, *rest)
        (second,) = out.until(lambda: attempts(out, culprit, 2), "the next attempt")
        assert second.excluded_nodes == ("node-1",)
        for asked in rest:
            assert out.result(asked.task_id).attempt == 1
        submit(kafka_settings, dataclasses.replace(second, not_before=None))
        assert out.result(culprit.task_id).attempt == 2
        assert child.poll() is None
    log = (tmp_path / "worker.log").read_text()
    assert "computing process lost" in log
    for asked in (culprit, *rest):
        assert len(out.events(InferenceResult, asked.task_id)) == 1


def attempts(out: Watch, asked: InferenceTask, number: int) -> list[InferenceTask]:
    return [item for item in out.events(InferenceTask, asked.task_id) if item.attempt == number]


def killed_while_it_computes(
    settings: KafkaSettings, gateway: Gateway, out: Watch, worker_pid: int
) -> InferenceTask:
    """A task in the middle of which the computing process was killed; what was computed before is another one."""
    for _ in range(10):
        images = small_series()
        store(gateway.dicom_web, images)
        asked = task_for(images, gateway.dicom_web, P2)
        submit(settings, asked)
        out.until(lambda: TaskState.INFERRING in out.states(asked.task_id), "inference to begin")  # noqa: B023 - used before the next turn
        os.kill(child_of(worker_pid), signal.SIGKILL)
        out.until(
            lambda: attempts(out, asked, 2) or out.events(InferenceResult, asked.task_id),  # noqa: B023 - used before the next turn
            "the next attempt, or a result that was there already",
        )
        if attempts(out, asked, 2):
            return asked
    raise AssertionError("the computing process was never killed in the middle of an inference")


def test_a_step_that_never_ends_is_ended(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    images = small_series()
    store(gateway.dicom_web, images)
    asked = task_for(images, gateway.dicom_web, P2, attempt=3)
    with start(SCANSTREAM_WORKER_STEP_TIMEOUTS_S=json.dumps({MODEL: 0.05})):
        submit(kafka_settings, asked)
        result = out.result(asked.task_id)
    assert result.outcome is ResultOutcome.COULD_NOT_RUN
    assert "was lost over this task (step)" in (result.reason or "")


def test_an_emergency_goes_before_routine_work_that_waits(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    studies = [small_series(5) for _ in range(5)]
    for images in studies:
        store(gateway.dicom_web, images)
    routine = [task_for(images, gateway.dicom_web, P4) for images in studies[:4]]
    urgent = task_for(studies[4], gateway.dicom_web, P1)
    submit(kafka_settings, *routine)
    submit(kafka_settings, urgent)
    with start():
        results = [out.result(asked.task_id) for asked in (*routine, urgent)]
    order = [result.task_id for result in sorted(results, key=lambda result: result.occurred_at)]
    # one routine task may have begun before the emergency was read; it is suspended or in its last step
    assert order.index(urgent.task_id) <= 1


def colour(images: list[Dataset]) -> list[Dataset]:
    for image in images:
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
        image.PixelData = bytes(64 * 64 * 3)
    return images


def test_images_that_no_model_can_read_are_answered_with_the_reason(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    single, coloured = small_series(1), colour(small_series(4))
    store(gateway.dicom_web, [*single, *coloured])
    tasks = [quick(images, gateway.dicom_web, P3) for images in (single, coloured)]
    submit(kafka_settings, *tasks)
    with start():
        results = [out.result(asked.task_id) for asked in tasks]
        for asked in tasks:
            out.until(lambda: TaskState.FAILED in out.states(asked.task_id), "the status")  # noqa: B023 - used before the next turn
    assert [result.outcome for result in results] == [ResultOutcome.COULD_NOT_RUN] * 2
    assert "at least 3" in (results[0].reason or "")
    assert "in colour" in (results[1].reason or "")
    statuses = out.events(TaskStatus, tasks[1].task_id)
    assert statuses[-1].reason == results[1].reason
    assert not [item for item in out.seen if item.topic == RETRY]


def test_what_fails_for_now_is_tried_again_and_succeeds(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    images = small_series()
    store(gateway.dicom_web, images[:-1])  # the last image is still on its way
    asked = quick(images, gateway.dicom_web, P3)
    submit(kafka_settings, asked)
    before = datetime.now(UTC)
    with start():
        (second,) = out.until(lambda: out.events(InferenceTask, asked.task_id), "the next attempt")
        assert (second.attempt, second.excluded_nodes) == (2, ("node-1",))
        assert second.not_before - before > timedelta(seconds=4)
        assert out.headers_on(RETRY, "scanstream_error") == ["NotHeld"]
        out.until(lambda: TaskState.RETRY_WAIT in out.states(asked.task_id), "the status")
        assert not out.events(InferenceResult, asked.task_id)
        store(gateway.dicom_web, images[-1:])
        submit(kafka_settings, second)  # as the streams process does when the time has come
        result = out.result(asked.task_id)
        never = dataclasses.replace(
            task(new_study(), P3), attempt=3, retrieve_url=f"{gateway.dicom_web}/studies/1.2.3"
        )
        submit(kafka_settings, never)
        failed = out.result(never.task_id)
    assert (result.attempt, result.reason) == (2, None)
    assert failed.outcome is ResultOutcome.COULD_NOT_RUN


def test_a_gateway_that_is_away_is_waited_for(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    images = small_series()
    store(gateway.dicom_web, images)
    port = free_port()
    asked = quick(images, f"http://127.0.0.1:{port}/dicom-web", P1)
    other = quick(images, gateway.dicom_web, P4, task_id=f"{asked.task_id}-other")
    submit(kafka_settings, asked, other)
    with start():
        out.until(lambda: TaskState.PREPROCESSING in out.states(asked.task_id), "the first try")
        wait_for(lambda: "gateway is away" in (tmp_path / "worker.log").read_text(), "the first try to fail")
        out.result(other.task_id)  # work with another gateway goes on
        assert not out.events(InferenceResult, asked.task_id)
        with Serving(gateway_app(gateway, port), port):
            assert out.result(asked.task_id).attempt == 1


def gateway_app(gateway: Gateway, port: int):  # type: ignore[no-untyped-def] # an ASGI application
    from producers.dicomweb.app import create_service_app
    from producers.dicomweb.requests import Service

    service = Service(gateway.store, f"http://127.0.0.1:{port}/dicom-web")
    return create_service_app(service, Telemetry())


def test_a_message_that_is_no_task_is_set_aside_and_the_next_is_answered(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    images = small_series()
    store(gateway.dicom_web, images)
    asked = quick(images, gateway.dicom_web, P3)
    unknown = task(new_study(), P3, model_name="no-such-model")
    publisher = EventPublisher(kafka_settings, Codec(), "/test/tasks", Telemetry())
    key = asked.study_instance_uid.encode()
    publisher.publish_raw(TASK_TOPICS[P3], key, b"no task", [("traceparent", b"00-1-2-01")])
    publisher.flush()
    submit(kafka_settings, asked, unknown)
    with start():
        out.result(asked.task_id)
        told = out.result(unknown.task_id)
        assert (told.outcome, told.model.name) == (ResultOutcome.COULD_NOT_RUN, "no-such-model")
        assert "no model is called 'no-such-model': this node has " in (told.reason or "")
        out.until(lambda: TaskState.FAILED in out.states(unknown.task_id), "the status of the unknown model")
        out.until(lambda: out.headers_on(DEAD_LETTERS, "scanstream_error"), "the dead letter")
    (letter,) = (item for item in out.seen if item.topic == DEAD_LETTERS)
    assert letter.value == b"no task"
    assert letter.key == key
    assert dict(letter.headers)["scanstream_topic"] == TASK_TOPICS[P3].value.encode()
    assert dict(letter.headers)["traceparent"] == b"00-1-2-01"


def test_what_a_shadow_says_comes_after_the_answer(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    root = tmp_path / "shadowed"
    for number in (1, 2):
        tiny.add_version(root, number)
    write_rollout(root / tiny.NAME, Rollout(serving=1, shadow=(2,)))
    images = small_series()
    store(gateway.dicom_web, images)
    asked = quick(images, gateway.dicom_web, P3)

    def told(topic: Topic) -> list[InferenceResult]:
        return [item.event for item in out.seen if item.topic == topic.value]

    submit(kafka_settings, asked)
    with start(SCANSTREAM_WORKER_MODEL_REPOSITORY=str(root)):
        out.until(lambda: told(Topic.SHADOW) and told(Topic.RESULTS), "the answer and what the shadow says")
    (answer,), (unseen,) = told(Topic.RESULTS), told(Topic.SHADOW)
    assert (answer.model.version, unseen.model.version) == ("1.0", "2.0")
    assert (unseen.task_id, unseen.outcome) == (asked.task_id, answer.outcome)
    assert answer.occurred_at <= unseen.occurred_at


def test_it_ends_soon_when_told_to(
    kafka_settings: KafkaSettings, gateway: Gateway, out: Watch, tmp_path: Path, start: Start
) -> None:
    images = small_series()
    store(gateway.dicom_web, images)
    asked = task_for(images, gateway.dicom_web, P3)
    submit(kafka_settings, asked)
    with start() as child:
        out.until(lambda: TaskState.INFERRING in out.states(asked.task_id), "inference to begin")
        child.terminate()
        assert child.wait(30) == 0
    with start():
        out.result(asked.task_id)
    out.read(1.0)
    assert len(out.events(InferenceResult, asked.task_id)) == 1


def test_a_model_that_was_changed_is_not_started(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(RELEASED / MODEL, models / MODEL)
    (models / "mri-brain-segmentation" / "1" / "model.onnx").write_bytes(b"changed")
    with worker(kafka_settings, tmp_path, SCANSTREAM_WORKER_MODEL_REPOSITORY=str(models)) as child:
        assert child.wait(120) == 78
    assert "restore the model file" in (tmp_path / "worker.log").read_text()
