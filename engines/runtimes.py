"""Model file + ``config.pbtxt`` + what the machine offers → the engine that runs it.

Guarantee: an engine that leaves here has the inputs and outputs that ``config.pbtxt`` describes, in its shapes;
what no runtime here can carry out is refused with the setting that would change it. A runtime is imported only
when it is used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.base import Device, Engine
from engines.config_pbtxt import ModelConfig
from engines.graph_check import check_graph
from engines.reshaped import Reshaped
from schemas.errors import ConfigurationError, DestinationUnavailable
from schemas.settings import WorkerSettings

#: Platforms that a runtime of this process runs.
LOCAL: Final = ("onnxruntime_onnx", "tensorrt_plan", "pytorch_libtorch")

_URL_SCHEMES: Final = ("http://", "https://", "grpc://", "grpcs://")


@dataclass(frozen=True)
class EngineOptions:
    """What the machine offers, apart from the model.

    Attributes
    ----------
    device
        Where a model runs whose configuration does not say it.
    threads, inter_threads
        ONNX Runtime on the CPU: threads of one operator, and operators at the same time; ``None`` leaves it to
        the model's configuration, and that to the runtime.
    gpu_memory_mb
        Most memory of the GPU for one model, in MiB.
    plan_cache
        Folder of TensorRT plans; ``None`` takes the user's cache.
    triton_url
        Server that runs the models in place of this process.
    triton_timeout_s
        Seconds that one inference there may take.
    triton_wait_s
        Seconds that a server which is not there yet is waited for when a model is loaded.
    """

    device: Device = "cpu"
    threads: int | None = None
    inter_threads: int | None = None
    gpu_memory_mb: int | None = None
    plan_cache: Path | None = None
    triton_url: str | None = None
    triton_timeout_s: float = 60.0
    triton_wait_s: float = 0.0


def options_of(settings: WorkerSettings) -> EngineOptions:
    """The worker's settings as options of engines.

    Raises
    ------
    ConfigurationError
        ``triton_url`` is no address that a client is there for.
    """
    url = settings.triton_url
    if url is not None and not url.startswith(_URL_SCHEMES):
        raise ConfigurationError(
            f"SCANSTREAM_WORKER_TRITON_URL is {url!r}: it must begin with one of {', '.join(_URL_SCHEMES)}"
        )
    return EngineOptions(
        device=settings.device,
        threads=settings.threads,
        inter_threads=settings.inter_threads,
        gpu_memory_mb=settings.gpu_memory_mb,
        plan_cache=settings.plan_cache,
        triton_url=url,
        triton_timeout_s=settings.triton_timeout_s,
        # what is started beside its server finds it only after a while
        triton_wait_s=settings.triton_timeout_s,
    )


def engine_of(path: Path, config: ModelConfig, options: EngineOptions | None = None) -> Engine:
    """Load a model on the runtime that its configuration and the options name.

    Parameters
    ----------
    path
        The model file, ``NAME/VERSION/FILE`` in a model repository; a server is asked for that version.
    config
        Its ``config.pbtxt``.
    options
        What the machine offers; ``None`` takes ONNX Runtime on the CPU.

    Raises
    ------
    ConfigurationError
        No runtime here runs this platform, the file cannot be loaded, or the configuration lies about the graph.
    DestinationUnavailable
        The server that shall run it is away.
    """
    chosen = options or EngineOptions()
    where = str(path.parent.parent / "config.pbtxt")
    if chosen.triton_url is not None:
        url = chosen.triton_url
        engine = connected(lambda: _remote(path, config, url, chosen.triton_timeout_s), chosen.triton_wait_s)
        reshaped = False  # the server does it
    else:
        engine = _local(path, config, chosen, where)
        reshaped = any(spec.reshape is not None for spec in config.inputs + config.outputs)
    try:
        check_graph(config, engine.inputs(), engine.outputs(), where, served=chosen.triton_url is not None)
    except ConfigurationError:
        engine.close()
        raise
    return Reshaped(engine, config) if reshaped else engine


def connected(
    connect: Callable[[], Engine],
    wait_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Engine:
    """An engine on a server, once the server is there.

    Parameters
    ----------
    connect
        Asks the server.
    wait_s
        Seconds to go on asking while it is away or its model is not ready.
    clock, sleep
        Seconds that never go back, and waiting.

    Raises
    ------
    DestinationUnavailable
        It is away all that time.
    """
    end = clock() + wait_s
    while True:
        try:
            return connect()
        except DestinationUnavailable:
            if clock() >= end:
                raise
        sleep(1.0)


def device_of(config: ModelConfig, device: Device, where: str = "config.pbtxt") -> Device:
    """Where a model runs: as its ``instance_group`` says, else as the worker does.

    Raises
    ------
    ConfigurationError
        It asks for a GPU and the worker has none.
    """
    kinds = {group.kind for group in config.instance_groups}
    if kinds == {"cpu"}:
        return "cpu"
    if kinds == {"gpu"} and device == "cpu":
        raise ConfigurationError(
            f"{where}: instance_group kind is KIND_GPU and SCANSTREAM_WORKER_DEVICE is cpu: "
            "set the device to cuda on a node with a GPU, or use KIND_AUTO"
        )
    return device


def plan_cache(options: EngineOptions, environment: Mapping[str, str] = os.environ) -> Path:
    """Folder of TensorRT plans: the option, else ``$XDG_CACHE_HOME/scanstream/plans`` (``~/.cache``)."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return options.plan_cache or Path(base) / "scanstream" / "plans"


def availability() -> dict[str, str | None]:
    """Every runtime by name, with why it cannot run here, or ``None``."""
    from engines.onnx import OnnxEngine
    from engines.tensorrt_engine import TensorRtEngine
    from engines.torchscript import TorchScriptEngine
    from engines.triton_grpc import TritonGrpcEngine
    from engines.triton_http import TritonHttpEngine

    return {
        "ONNX Runtime": OnnxEngine.unavailable(),
        "TensorRT": TensorRtEngine.unavailable(),
        "TorchScript": TorchScriptEngine.unavailable(),
        "Triton/KServe v2 over HTTP": TritonHttpEngine.unavailable(),
        "Triton/KServe v2 over gRPC": TritonGrpcEngine.unavailable(),
    }


def _remote(path: Path, config: ModelConfig, url: str, timeout_s: float) -> Engine:
    version = path.parent.name if path.parent.name.isdecimal() else None
    if url.startswith("grpc"):
        from engines.triton_grpc import TritonGrpcEngine

        return TritonGrpcEngine(url, config.name, version, timeout_s)
    from engines.triton_http import TritonHttpEngine

    return TritonHttpEngine(url, config.name, version, timeout_s)


def _local(path: Path, config: ModelConfig, options: EngineOptions, where: str) -> Engine:
    if config.server_only:
        raise ConfigurationError(
            f"{where}: only a Triton server carries out {', '.join(config.server_only)}: "
            "run the model there and set SCANSTREAM_WORKER_TRITON_URL"
        )
    device = device_of(config, options.device, where)
    match config.platform:
        case "onnxruntime_onnx" if device == "cuda" and config.accelerator("tensorrt") is not None:
            from engines.tensorrt_engine import TensorRtEngine

            return TensorRtEngine.of_onnx(path, config, plan_cache(options), options.gpu_memory_mb)
        case "onnxruntime_onnx":
            from engines.onnx import OnnxEngine

            return OnnxEngine(
                path,
                options.threads or _count(config, "intra_op_thread_count", where),
                device,
                inter_threads=options.inter_threads or _count(config, "inter_op_thread_count", where),
                gpu_memory_mb=options.gpu_memory_mb,
            )
        case "tensorrt_plan":
            from engines.tensorrt_engine import TensorRtEngine

            return TensorRtEngine.of_plan(path)
        case "pytorch_libtorch":
            from engines.torchscript import TorchScriptEngine

            return TorchScriptEngine(path, config.inputs, config.outputs, device)
    raise ConfigurationError(
        f"{where} asks for platform {config.platform!r}, which no runtime here runs: "
        f"use one of {', '.join(LOCAL)}, or a Triton server (SCANSTREAM_WORKER_TRITON_URL)"
    )


def _count(config: ModelConfig, parameter: str, where: str) -> int | None:
    """Number of threads of Triton's ONNX Runtime backend; 0 leaves it to the runtime."""
    text = config.parameters.get(parameter, "0")
    if not text.isdecimal():
        raise ConfigurationError(f"{where}: parameters {parameter} is {text!r}: write a whole number")
    return int(text) or None
