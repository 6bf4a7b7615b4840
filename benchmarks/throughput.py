"""Studies per minute of a worker, beside the bare engine on the same arrays and beside a plain script.

The gateway is the real process and holds the studies; the computing process fetches, prepares, infers, measures
and keeps its masks there. *Bare engine*: the same input arrays, prepared before, one call after the other, and for
a model that batches in full batches too; the better one counts. *Plain script*: ``benchmarks/plain_inference.py``.
The whole worker adds Kafka: from the first task on its topic to the last result that a reader sees. All in one
run. The processor time tells the overhead even where the machine has other work. The milliseconds of the stages
are those of studies that come one after the other. On a CPU the engine takes the cores that all else needs; with
an *accelerator* (``benchmarks/accelerator.py``, 50 ms for each window) it has a place of its own, as on a GPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import httpx
import numpy as np
import psutil
from pydicom import Dataset

from benchmarks.accelerator import accelerator
from benchmarks.report import Row, arguments, publish
from benchmarks.small_network import GRID, MOST_ROWS, NAME, add_released, add_small_network
from benchmarks.windows_model import LARGE, SMALL, Windows, add_windows_model
from engines.base import Engine, Tensors
from engines.model import Model
from engines.pipeline import run as way_of
from engines.runtimes import EngineOptions, engine_of
from engines.serving import open_repository
from engines.steps import drive
from producers.topic_admin import create_topics
from schemas.events import InferenceTask
from schemas.settings import KafkaSettings, WorkerSettings
from schemas.topics import Priority
from streams.worker.answers import Answer
from streams.worker.child import ChildLink, Setup, start
from streams.worker.child.link import SpawnedChild
from streams.worker.protocol import Begin, Ended, Loaded
from tests.services import kafka_broker, module, wait_for
from tests.streams.worker.child.talk import until
from tests.streams.worker.site import store, submit, watch, worker
from tests.streams.worker.tasks import task_for
from tests.studies import small_study
from tests.tools import free_port

BRAIN = "mri-brain-segmentation"
#: Seconds that a window takes on an accelerator.
STEP_S = 0.05
#: Tasks that the computing process has at once, as the worker sends them.
AHEAD = WorkerSettings().prefetch


@dataclass(frozen=True)
class Load:
    """Studies of one size for one model."""

    name: str
    model: str
    grid: int
    studies: int
    slices: int
    side: int
    threads: int | None = None
    windows: Windows | None = None

    def images(self, number: int) -> list[Dataset]:
        """One of the studies."""
        return small_study(f"{crc32(self.name.encode())}.{number}", self.slices, self.side, "BENCH^MARK")


def loads(*, quick: bool) -> list[Load]:
    """What is measured."""
    few = 4 if quick else 1
    return [
        Load("many small studies, small network that batches", NAME, GRID, 400 // few, 16, 64),
        Load("many small studies, brain model", BRAIN, 128, 40 // few, 16, 64),
        Load("few large studies, brain model", BRAIN, 128, 12 // few, 160, 256),
        Load("few large studies, brain model on one core", BRAIN, 128, 12 // few, 160, 256, threads=1),
        Load("many small studies, accelerator", SMALL.name, 0, 80 // few, 8, 64, windows=SMALL),
        # more of them: an accelerator's time is short beside that of the first fetch and the last postprocessing
        Load("few large studies, accelerator", LARGE.name, 0, 36 // few, 160, 256, windows=LARGE),
    ]


@contextmanager
def gateway(data_dir: Path) -> Iterator[str]:
    """The gateway process on an empty store: root of its DICOMweb. No Kafka is needed for what is measured."""
    port = free_port()
    environment = {
        "SCANSTREAM_DATA_DIR": str(data_dir),
        "SCANSTREAM_GATEWAY_HTTP_PORT": str(port),
        "SCANSTREAM_GATEWAY_DIMSE_PORT": "0",
        "SCANSTREAM_GATEWAY_DISK_REFUSE_FRACTION": "1",
    }
    root = f"http://127.0.0.1:{port}/dicom-web"
    with module("producers.gateway", environment=environment, log=data_dir / "gateway.log") as process:

        def up() -> bool:
            if process.poll() is not None:
                raise RuntimeError((data_dir / "gateway.log").read_text(encoding="utf-8"))
            try:
                return httpx.get(f"{root}/studies?limit=1").is_success
            except httpx.TransportError:
                return False

        wait_for(up, "the gateway")
        yield root


@contextmanager
def child_of(models: Path, threads: int | None, server: str | None) -> Iterator[ChildLink]:
    """A computing process whose models are warm."""
    settings = WorkerSettings(model_repository=models, threads=threads, triton_url=server)
    link = start(Setup(settings, "bench", "WARNING"))
    try:
        until(link, Loaded, timeout_s=600)
        yield link
    finally:
        link.close()


def through_child(link: ChildLink, tasks: Sequence[InferenceTask], ahead: int) -> tuple[float, list[Answer]]:
    """Seconds for all tasks, of which so many are under way at once."""
    waiting, answers = list(reversed(tasks)), list[Answer]()
    started = time.perf_counter()
    for number in range(min(ahead, len(tasks))):
        link.send(Begin(waiting.pop(), 10.0 + number))
    while len(answers) < len(tasks):
        answers.append(until(link, Ended, timeout_s=600).answer)
        if waiting:
            link.send(Begin(waiting.pop(), 10.0 + len(tasks) - len(waiting)))
    seconds = time.perf_counter() - started
    failed = [answer for answer in answers if answer.error is not None]
    if failed:
        raise RuntimeError(str(failed[0].error))
    return seconds, answers


def through_worker(
    models: Path, tasks: Sequence[InferenceTask], folder: Path, threads: int | None, server: str | None
) -> float:
    """Seconds from the first task on Kafka to the last result that is seen."""
    with kafka_broker(folder) as servers:
        settings = KafkaSettings(bootstrap_servers=servers)
        create_topics(settings)
        first, *others = tasks
        given = {"SCANSTREAM_WORKER_MODEL_REPOSITORY": str(models)}
        if threads is not None:
            given["SCANSTREAM_WORKER_THREADS"] = str(threads)
        if server is not None:
            given["SCANSTREAM_WORKER_TRITON_URL"] = server
        with watch(settings) as out, worker(settings, folder, **given):
            submit(settings, first)
            out.result(first.task_id)
            started = time.perf_counter()
            submit(settings, *others)
            for task in others:
                out.result(task.task_id)
            return (time.perf_counter() - started) * len(tasks) / len(others)


def processor_s(link: ChildLink) -> float:
    """Seconds of all processors that a computing process has used."""
    if not isinstance(link, SpawnedChild):
        raise TypeError("only of a process")
    times = psutil.Process(link.pid).cpu_times()
    return float(times.user + times.system)


def bare(engine: Engine, arrays: Sequence[Tensors], rows: int) -> tuple[float, float]:
    """Seconds of the engine alone, by the clock and of the processors, in batches of so many rows."""
    name = next(iter(arrays[0]))
    batches = [
        {name: np.concatenate([entry[name] for entry in arrays[first : first + rows]])}
        for first in range(0, len(arrays), rows)
    ]
    started, used = time.perf_counter(), time.process_time()
    for batch in batches:
        engine.infer(batch)
    return time.perf_counter() - started, time.process_time() - used


def arrays_of(model: Model, images: Sequence[Dataset]) -> list[Tensors]:
    """What a model is asked for a study."""
    seen: list[Tensors] = []

    def infer(tensors: Tensors) -> Tensors:
        seen.append(tensors)
        return model.engine.infer(tensors)

    drive(way_of(images, model), infer)
    return seen


def plain(work: Path, root: str, model: Path, load: Load, server: str | None) -> float:
    """Seconds of the plain script."""
    series = [
        (str(first.StudyInstanceUID), str(first.SeriesInstanceUID))
        for first in (load.images(number)[0] for number in range(load.studies))
    ]
    given = {"dicom_web": root, "model": str(model), "grid": load.grid, "series": series}
    work.write_text(json.dumps(given | {"server": server, "name": load.model}))
    command = [sys.executable, "-m", "benchmarks.plain_inference", str(work)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def shares(answers: Sequence[Answer], whole_s: float) -> list[tuple[str, float]]:
    """Milliseconds of a study by stage, and what no stage accounts for."""
    names = [stage.name for stage in answers[0].stages]
    mean = {
        name: sum(stage.duration_ms for answer in answers for stage in answer.stages if stage.name == name)
        / len(answers)
        for name in names
    }
    rest = whole_s * 1000 / len(answers) - sum(mean.values())
    return [*mean.items(), ("everything else", rest)]


class Bench:
    """One load after the other, each against its peers.

    Parameters
    ----------
    models
        Model repository.
    root
        DICOMweb of the gateway.
    folder
        For what is thrown away.
    """

    def __init__(self, models: Path, root: str, folder: Path) -> None:
        self.rows: list[Row] = []
        self._models, self._root, self._folder = models, root, folder

    def measure(self, load: Load, *, whole_worker: bool) -> None:
        """Rows of one load."""
        for number in range(load.studies):
            store(self._root, load.images(number))
        tasks = [
            task_for(load.images(number), self._root, Priority.P3_NORMAL, model_name=load.model)
            for number in range(load.studies)
        ]
        if load.windows is None:
            self._measured(load, tasks, self._models, None, whole_worker=whole_worker)
            return
        models, log = self._folder / load.model, self._folder / f"{load.model}.log"
        add_windows_model(models, load.windows)
        with accelerator(STEP_S, load.windows, log) as server:
            self._measured(load, tasks, models, server, whole_worker=whole_worker)

    def _measured(
        self, load: Load, tasks: Sequence[InferenceTask], models: Path, server: str | None, *, whole_worker: bool
    ) -> None:
        per_minute = self._rate(load)
        engine_s, engine_used_s = self._bare(load, models, server)
        engine = per_minute(engine_s)
        file = next((models / load.model / "1").glob("*.onnx"))
        script = per_minute(plain(self._folder / "work.json", self._root, file, load, server))
        with child_of(models, load.threads, server) as link:
            through_child(link, tasks[:2], 1)
            seconds, answers = through_child(link, tasks[: max(5, load.studies // 8)], 1)
            before_s = processor_s(link)
            ours = per_minute(through_child(link, tasks, max(AHEAD, MOST_ROWS))[0])
            used_s = processor_s(link) - before_s
        self._row(load, "computing process", ours, "bare engine", engine)
        self._row(load, "computing process", ours, "plain script", script)
        name, count = f"{load.name}: processor time of a study", load.studies
        self.rows.append(Row(name, used_s / count * 1000, "ms", "bare engine", engine_used_s / count * 1000))
        if whole_worker:
            kafka = self._folder / f"kafka-{len(self.rows)}"
            kafka.mkdir()
            worked = per_minute(through_worker(models, tasks, kafka, load.threads, server))
            self._row(load, "whole worker", worked, "bare engine", engine)
            self._row(load, "whole worker", worked, "plain script", script)
        self.rows += [Row(f"{load.name}: {name}", ms, "ms") for name, ms in shares(answers, seconds)]

    def _rate(self, load: Load) -> Callable[[float], float]:
        return lambda seconds: load.studies / seconds * 60

    def _bare(self, load: Load, models: Path, server: str | None) -> tuple[float, float]:
        """Seconds by the clock and of the processors, with the better size of batches."""
        options = EngineOptions(threads=load.threads, triton_url=server)
        serving = open_repository(models, lambda path, config: engine_of(path, config, options))
        model = serving.choose("", load.model).model
        one = arrays_of(model, load.images(0))
        arrays = [{name: array.copy() for name, array in entry.items()} for entry in one * load.studies]
        sizes = {1, model.config.max_batch_size or 1}
        bare(model.engine, arrays[:4], 1)
        return min(bare(model.engine, arrays, rows) for rows in sizes)

    def _row(self, load: Load, what: str, value: float, peer: str, peer_value: float) -> None:
        self.rows.append(Row(f"{load.name}: {what}", value, "studies/min", peer, peer_value))


def main() -> int:
    """Measure and show."""
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="TEXT", help="loads whose name holds this")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scanstream-")))
        models = folder / "models"
        add_small_network(models)
        add_released(models, BRAIN)
        (folder / "gateway").mkdir()
        root = stack.enter_context(gateway(folder / "gateway"))
        bench = Bench(models, root, folder)
        for load in loads(quick=given.quick):
            if given.only and given.only not in load.name:
                continue
            bench.measure(load, whole_worker=True)
    publish("Throughput of a worker", bench.rows, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
