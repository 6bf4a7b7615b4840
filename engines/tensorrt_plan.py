"""``config.pbtxt`` + model digest + GPU → what a TensorRT plan is built for, and under which name it is kept.

Pure. Guarantee: two plans share a name only when they are built from the same bytes, for the same shapes and
precision, by the same TensorRT, for the same GPU; any other plan would be refused by TensorRT, or be wrong.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from engines.config_pbtxt import ModelConfig, TensorSpec
from schemas.errors import ConfigurationError

#: As ONNX Runtime's TensorRT provider names them: ``x:1x3x64x64,y:1x4``.
_BOUNDS: Final = ("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes")
_KNOWN: Final = {"precision_mode", "max_workspace_size_bytes", *_BOUNDS}


@dataclass(frozen=True)
class Range:
    """Shapes of one input, batch axis first: the smallest, the one to be fastest for, the largest."""

    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


@dataclass(frozen=True)
class BuildOptions:
    """What a plan is built for.

    Attributes
    ----------
    half
        Whether layers may compute in FP16.
    workspace_bytes
        Most memory that a layer may take beside its tensors; ``None`` sets no limit.
    profile
        Range of every input, by name.
    tf32
        Whether float32 may be cut to TF32 (ten bits of it); the default of TensorRT on newer GPUs, and never ours:
        who wants speed asks for FP16.
    """

    half: bool
    workspace_bytes: int | None
    profile: Mapping[str, Range]
    tf32: bool = False


@dataclass(frozen=True)
class Gpu:
    """The device that a plan is for: its name, and its compute capability such as ``8.6``."""

    name: str
    capability: str


def build_options(config: ModelConfig, gpu_memory_mb: int | None = None) -> BuildOptions:
    """Options of a plan from the model's ``execution_accelerators``.

    Parameters
    ----------
    config
        Its accelerator ``tensorrt`` may set ``precision_mode`` (``FP32`` or ``FP16``),
        ``max_workspace_size_bytes``, and shapes for free axes (``trt_profile_min_shapes`` and so on).
    gpu_memory_mb
        Limit of the worker, in MiB; the smaller one counts.

    Raises
    ------
    ConfigurationError
        A parameter is unknown or wrong, or nothing says how large a free axis may be.
    """
    accelerator = config.accelerator("tensorrt")
    parameters = {} if accelerator is None else accelerator.parameters
    unknown = sorted(set(parameters) - _KNOWN)
    if unknown:
        raise _wrong(config, unknown[0], f"is unknown; known are {', '.join(sorted(_KNOWN))}")
    precision = parameters.get("precision_mode", "FP32")
    if precision not in {"FP32", "FP16"}:
        raise _wrong(config, "precision_mode", f"is {precision!r}: only FP32 and FP16 can be built here")
    text = parameters.get("max_workspace_size_bytes", "")
    if text and not text.isdecimal():
        raise _wrong(config, "max_workspace_size_bytes", f"is {text!r}: write a whole number of bytes")
    limits = [int(text)] if text else []
    if gpu_memory_mb is not None:
        limits.append(gpu_memory_mb << 20)
    bounds = [_shapes(config, name, parameters.get(name, "")) for name in _BOUNDS]
    preferred = config.dynamic_batching.preferred_batch_sizes if config.dynamic_batching else ()
    usual = preferred[-1] if preferred else config.max_batch_size
    profile = {spec.name: _range(config, spec, bounds, usual) for spec in config.inputs}
    return BuildOptions(precision == "FP16", min(limits) if limits else None, profile)


def plan_name(model_sha256: str, version: str, gpu: Gpu, options: BuildOptions) -> str:
    """File name of a plan.

    Parameters
    ----------
    model_sha256
        Digest of the ONNX file and what it reads (:func:`engines.digest.digest_of`), hexadecimal.
    version
        Of TensorRT.
    gpu
        Where it will run.
    options
        What it is built for.
    """
    told = {
        "model": model_sha256,
        "tensorrt": version,
        "gpu": asdict(gpu),
        # whole, so that none is ever forgotten: the builder is given nothing else
        "options": asdict(options),
    }
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    device = re.sub(r"[^a-z0-9]+", "-", gpu.name.lower()).strip("-")
    return f"{model_sha256[:16]}-trt{version}-{device}-{key[:24]}.plan"


def _range(
    config: ModelConfig, spec: TensorSpec, bounds: list[dict[str, tuple[int, ...]]], usual_batch: int
) -> Range:
    dims = spec.graph_dims
    given = [shapes.get(spec.name) for shapes in bounds]
    found = []
    for shape, batch in zip(given, (1, usual_batch, config.max_batch_size), strict=True):
        if shape is None:
            shape = (batch, *dims[1:]) if config.max_batch_size > 0 else dims
        found.append(shape)
    result = Range(*found)
    for name, shape in zip(_BOUNDS, found, strict=True):
        if min(shape, default=1) < 1:
            raise _wrong(
                config,
                name,
                f"is missing and dims of {spec.name} is {list(dims)}: say the sizes of its free axes, "
                f"such as {spec.name}:{'x'.join(str(max(size, 1)) for size in dims)}",
            )
        if len(shape) != len(dims) or any(dim not in (-1, size) for size, dim in zip(shape, dims, strict=True)):
            raise _wrong(config, name, f"is {list(shape)} and dims of {spec.name} is {list(dims)}: they differ")
        if config.max_batch_size > 0 and shape[0] > config.max_batch_size:
            raise _wrong(config, name, f"is {list(shape)} and max_batch_size is {config.max_batch_size}")
    if not all(a <= b <= c for a, b, c in zip(*found, strict=True)):
        raise _wrong(
            config, _BOUNDS[1], f"of {spec.name} does not lie between the smallest and the largest: {result}"
        )
    return result


def _shapes(config: ModelConfig, name: str, text: str) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for entry in filter(None, text.split(",")):
        # names of tensors may hold colons, sizes never do
        tensor, _, sizes = entry.strip().rpartition(":")
        if not tensor or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", sizes):
            raise _wrong(config, name, f"is {text!r}: write input:1x3x64x64, with commas between inputs")
        shapes[tensor] = tuple(int(size) for size in sizes.split("x"))
    unknown = set(shapes) - {spec.name for spec in config.inputs}
    if unknown:
        raise _wrong(config, name, f"names {sorted(unknown)}, which is no input of the model")
    return shapes


def _wrong(config: ModelConfig, name: str, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{config.name}: config.pbtxt: parameter {name} of the accelerator tensorrt {problem}"
    )
