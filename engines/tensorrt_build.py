"""ONNX file + build options → bytes of a TensorRT plan, on the GPU that will run it."""

# mypy: allow-subclassing-any
# (without the libraries of the GPU their classes have no types)

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engines.memory import says_out_of_memory
from engines.tensorrt_plan import BuildOptions
from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    import tensorrt as trt

#: Messages of TensorRT that are kept for an error.
_KEPT: Final = 5


def unavailable() -> str | None:
    """Why TensorRT cannot be used here, or ``None``."""
    if importlib.util.find_spec("tensorrt") is None:
        return "tensorrt is not installed: install scanstream[gpu] on a machine with an NVIDIA driver"
    try:
        import tensorrt
    except Exception as error:  # noqa: BLE001  # its libraries are loaded at import, and say why not in their own ways
        return f"tensorrt cannot be loaded ({error}): its libraries must fit the driver"
    version = str(tensorrt.__version__)
    if not version.startswith("10."):
        return f"tensorrt is version {version}: version 10 is needed; install scanstream[gpu]"
    return None


def logger() -> Any:
    """A TensorRT logger that keeps the last errors in ``said``."""
    import tensorrt as trt

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said: list[str] = []

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.ERROR):
                self.said = [*self.said[1 - _KEPT :], msg]

    return Log()


def build(path: Path, options: BuildOptions, log: Any) -> bytes:
    """Build the plan; takes seconds to minutes.

    Parameters
    ----------
    path
        The ONNX file.
    options
        What it is built for.
    log
        From :func:`logger`.

    Raises
    ------
    ConfigurationError
        TensorRT cannot read or build the graph, or it does not fit into the GPU.
    """
    import tensorrt as trt

    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(path)):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise ConfigurationError(
            f"TensorRT cannot read {path} ({errors}): export the model with operators that it has, or remove the "
            "accelerator tensorrt from config.pbtxt"
        )
    config = builder.create_builder_config()
    if not options.tf32:  # set by default
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.half:
        config.set_flag(trt.BuilderFlag.FP16)
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    _add_profile(builder, network, config, options)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        said = "; ".join(log.said) or "no reason given"
        remedy = (
            "lower trt_profile_max_shapes or max_batch_size, or free memory of the GPU"
            if says_out_of_memory(said)
            else "remove the accelerator tensorrt from config.pbtxt, or export the model anew"
        )
        raise ConfigurationError(f"TensorRT cannot build {path} ({said}): {remedy}")
    return bytes(memoryview(plan))


def _add_profile(
    builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig, options: BuildOptions
) -> None:
    import tensorrt as trt

    profile = builder.create_optimization_profile()
    free = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 not in tensor.shape[:]:
            continue
        free = True
        shapes = options.profile.get(tensor.name)
        if shapes is None:
            raise ConfigurationError(
                f"the graph has an input {tensor.name} with free axes that config.pbtxt lacks: describe it"
            )
        profile.set_shape(
            tensor.name,
            trt.Dims(list(shapes.minimum)),
            trt.Dims(list(shapes.optimum)),
            trt.Dims(list(shapes.maximum)),
        )
    if free:
        config.add_optimization_profile(profile)
