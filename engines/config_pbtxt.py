"""``config.pbtxt`` text → typed model configuration (Triton ModelConfig, protobuf text format).

Fields as in Triton's ``model_config.proto`` and ``docs/user_guide/model_configuration.md``. Guarantee: a field
that does not exist, or a value that contradicts another, is refused with its name; fields that only a Triton
server carries out are listed in :attr:`ModelConfig.server_only`, never passed over in silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from engines.text_format import Fields, parse
from schemas.errors import ConfigurationError

#: Triton data type → numpy dtype name.
DTYPES: Final = {
    "TYPE_BOOL": "bool",
    "TYPE_UINT8": "uint8",
    "TYPE_UINT16": "uint16",
    "TYPE_UINT32": "uint32",
    "TYPE_UINT64": "uint64",
    "TYPE_INT8": "int8",
    "TYPE_INT16": "int16",
    "TYPE_INT32": "int32",
    "TYPE_INT64": "int64",
    "TYPE_FP16": "float16",
    "TYPE_FP32": "float32",
    "TYPE_FP64": "float64",
}

#: Backend of newer configurations → the platform that older ones name.
_PLATFORMS: Final = {"onnxruntime": "onnxruntime_onnx", "tensorrt": "tensorrt_plan", "pytorch": "pytorch_libtorch"}
#: File of a version when ``default_model_filename`` is not set.
_FILES: Final = {
    "onnxruntime_onnx": "model.onnx",
    "tensorrt_plan": "model.plan",
    "pytorch_libtorch": "model.pt",
    "python": "model.py",
}
#: They change what the model answers or to whom, and a runtime of ours does not carry them out.
_SERVER_ONLY: Final = (
    "sequence_batching",
    "ensemble_scheduling",
    "batch_input",
    "batch_output",
    "model_transaction_policy",
    "model_repository_agents",
)
#: They change nothing of what is answered: read by Triton, passed over here.
_INDIFFERENT: Final = (
    "runtime",
    "cc_model_filenames",
    "metric_tags",
    "model_metrics",
    "model_operations",
    "response_cache",
)
_KNOWN: Final = frozenset(
    {
        *("name", "platform", "backend", "version_policy", "max_batch_size", "input", "output", "optimization"),
        *("dynamic_batching", "instance_group", "default_model_filename", "parameters", "model_warmup"),
        *_SERVER_ONLY,
        *_INDIFFERENT,
    }
)
_KINDS: Final[Mapping[str, Literal["auto", "cpu", "gpu", "model"]]] = {
    "KIND_AUTO": "auto",
    "KIND_CPU": "cpu",
    "KIND_GPU": "gpu",
    "KIND_MODEL": "model",
}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output; ``dims`` with the batch axis, ``-1`` where any size goes; ``dtype`` as in numpy.

    ``reshape`` is the shape that the graph itself has, where it is another one of the same size.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None = None

    @property
    def graph_dims(self) -> tuple[int, ...]:
        """Shape in the graph."""
        return self.dims if self.reshape is None else self.reshape


@dataclass(frozen=True)
class InstanceGroup:
    """How many copies of a model run, and on what; ``gpus`` by number, empty for all."""

    count: int = 1
    kind: Literal["auto", "cpu", "gpu", "model"] = "auto"
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class DynamicBatching:
    """Rows of several requests may run as one batch; how long one waits for others."""

    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_s: float = 0.0


@dataclass(frozen=True)
class Accelerator:
    """Another runtime that a backend hands the graph to, such as ``tensorrt``, with its parameters."""

    name: str
    device: Literal["cpu", "gpu"]
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionPolicy:
    """Which versions of the folder are served: the ``latest`` so many, ``all``, or the ``specific`` ones."""

    latest: int | None = 1
    specific: tuple[int, ...] = ()

    def serves(self, versions: Iterable[int]) -> tuple[int, ...]:
        """Of the versions that are there those that are served, in rising order."""
        there = sorted(set(versions))
        if self.specific:
            return tuple(version for version in there if version in self.specific)
        return tuple(there if self.latest is None else there[-self.latest :])


@dataclass(frozen=True)
class WarmupInput:
    """What one input is filled with before the model serves; ``file`` lies in the model's folder ``warmup``."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    data: Literal["zero", "random", "file"]
    file: str | None = None


@dataclass(frozen=True)
class Warmup:
    """One request that is run before the model serves, ``count`` times (0: once)."""

    name: str
    batch_size: int
    inputs: tuple[WarmupInput, ...]
    count: int = 0


@dataclass(frozen=True)
class ModelConfig:
    """The part of Triton's ModelConfig that decides how a model is run here.

    Attributes
    ----------
    platform
        Also where the file names a ``backend``: ``onnxruntime_onnx`` for ``onnxruntime``, and so on.
    max_batch_size
        0: the graph has no batch axis of its own; above: the first axis counts rows.
    server_only
        Fields of the file that only a Triton server carries out.
    """

    name: str
    platform: str
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    file_name: str = "model.onnx"
    version_policy: VersionPolicy = VersionPolicy()
    instance_groups: tuple[InstanceGroup, ...] = ()
    dynamic_batching: DynamicBatching | None = None
    accelerators: tuple[Accelerator, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    warmups: tuple[Warmup, ...] = ()
    server_only: tuple[str, ...] = ()

    def accelerator(self, name: str) -> Accelerator | None:
        """The accelerator of this name, if the file asks for it."""
        return next((each for each in self.accelerators if each.name == name), None)


def model_config(text: str, where: str = "config.pbtxt") -> ModelConfig:
    """Typed configuration of a ``config.pbtxt``.

    Parameters
    ----------
    text
        Contents of the file.
    where
        Name for messages.

    Raises
    ------
    ConfigurationError
        The text is not protobuf text format, a field that we need is missing, or one is unknown, has the wrong
        type or contradicts another.
    """
    fields = Fields(parse(text, where), where)
    fields.only(_KNOWN)
    max_batch_size = fields.integer("max_batch_size", 0)
    if max_batch_size < 0:
        raise fields.wrong("max_batch_size", f"is {max_batch_size}: 0 means no batch axis, above 0 the most rows")
    name = fields.text("name")
    platform = _platform(fields)
    inputs, outputs = _tensors(fields, "input", max_batch_size), _tensors(fields, "output", max_batch_size)
    return ModelConfig(
        name=name,
        platform=platform,
        max_batch_size=max_batch_size,
        inputs=inputs,
        outputs=outputs,
        file_name=fields.text("default_model_filename", _FILES.get(platform, "model")),
        version_policy=_version_policy(fields),
        instance_groups=tuple(_instance_group(group) for group in fields.messages("instance_group")),
        dynamic_batching=_dynamic_batching(fields, max_batch_size),
        accelerators=_accelerators(fields),
        parameters=_parameters(fields),
        warmups=tuple(_warmup(entry, inputs, max_batch_size) for entry in fields.messages("model_warmup")),
        server_only=tuple(each for each in _SERVER_ONLY if fields.has(each)),
    )


def _platform(fields: Fields) -> str:
    if not fields.has("backend"):
        return fields.text("platform")
    backend = fields.text("backend")
    platform = _PLATFORMS.get(backend, backend)
    if fields.has("platform") and fields.text("platform") not in {platform, ""}:
        raise fields.wrong(
            "platform", f"is {fields.text('platform')!r} and backend is {backend!r}, another runtime: keep one"
        )
    return platform


def _tensors(fields: Fields, kind: str, max_batch_size: int) -> tuple[TensorSpec, ...]:
    specs = tuple(_tensor(entry, max_batch_size) for entry in fields.messages(kind))
    if not specs:
        raise ConfigurationError(
            f"{fields.where}: no {kind} is described: add {kind} [ {{ name, data_type, dims }} ]"
        )
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise fields.wrong(kind, f"names one tensor twice: {names}")
    return specs


def _tensor(entry: Fields, max_batch_size: int) -> TensorSpec:
    dims = _dims(entry, "dims")
    if not dims:
        raise entry.wrong("dims", "is empty: say one size per axis, -1 where any goes, without the batch axis")
    batch = (-1,) if max_batch_size > 0 else ()
    reshape = entry.message("reshape")
    shape = None if reshape is None else _dims(reshape, "shape")
    if shape is not None and _free_and_size(shape) != _free_and_size(dims):
        raise entry.wrong("reshape", f"has shape {list(shape)} and dims is {list(dims)}: they differ in size")
    return TensorSpec(entry.text("name"), _dtype(entry), batch + dims, None if shape is None else batch + shape)


def _free_and_size(dims: tuple[int, ...]) -> tuple[int, int]:
    return dims.count(-1), math.prod(abs(dim) for dim in dims)


def _dims(entry: Fields, name: str) -> tuple[int, ...]:
    dims = entry.integers(name)
    if any(dim < 1 and dim != -1 for dim in dims):
        raise entry.wrong(name, f"is {list(dims)}: each is at least 1, or -1 where any size goes")
    return dims


def _dtype(entry: Fields) -> str:
    data_type = entry.text("data_type")
    if data_type not in DTYPES:
        raise ConfigurationError(f"{entry.where} has data_type {data_type}: use one of {', '.join(DTYPES)}")
    return DTYPES[data_type]


def _version_policy(fields: Fields) -> VersionPolicy:
    policy = fields.message("version_policy")
    if policy is None:
        return VersionPolicy()
    policy.only({"latest", "all", "specific"})
    chosen = [name for name in ("latest", "all", "specific") if policy.has(name)]
    if len(chosen) != 1:
        raise fields.wrong("version_policy", f"must hold one of latest, all, specific, not {chosen}")
    if (latest := policy.message("latest")) is not None:
        count = latest.integer("num_versions", 1)
        if count < 1:
            raise latest.wrong("num_versions", f"is {count}: at least 1 version must be served")
        return VersionPolicy(latest=count)
    if (specific := policy.message("specific")) is not None:
        versions = specific.integers("versions")
        if not versions or min(versions) < 1:
            raise specific.wrong("versions", f"is {list(versions)}: name the version folders, 1 or above")
        return VersionPolicy(latest=None, specific=versions)
    return VersionPolicy(latest=None)


def _instance_group(group: Fields) -> InstanceGroup:
    kind = group.text("kind", "KIND_AUTO")
    if kind not in _KINDS:
        raise group.wrong("kind", f"is {kind}: use one of {', '.join(_KINDS)}")
    count, gpus = group.integer("count", 1), group.integers("gpus")
    if count < 1:
        raise group.wrong("count", f"is {count}: at least one instance must run")
    if gpus and _KINDS[kind] == "cpu":
        raise group.wrong("gpus", f"is {list(gpus)} and kind is KIND_CPU: use KIND_GPU, or name no GPUs")
    return InstanceGroup(count, _KINDS[kind], gpus)


def _dynamic_batching(fields: Fields, max_batch_size: int) -> DynamicBatching | None:
    batching = fields.message("dynamic_batching")
    if batching is None:
        return None
    preferred = batching.integers("preferred_batch_size")
    delay_us = batching.integer("max_queue_delay_microseconds", 0)
    if any(not 1 <= size <= max_batch_size for size in preferred):
        raise batching.wrong(
            "preferred_batch_size", f"is {list(preferred)} and max_batch_size is {max_batch_size}: stay within it"
        )
    if delay_us < 0:
        raise batching.wrong("max_queue_delay_microseconds", f"is {delay_us}: it cannot be negative")
    return DynamicBatching(tuple(sorted(preferred)), delay_us / 1e6)


def _accelerators(fields: Fields) -> tuple[Accelerator, ...]:
    optimization = fields.message("optimization")
    execution = optimization.message("execution_accelerators") if optimization else None
    if execution is None:
        return ()
    execution.only({"gpu_execution_accelerator", "cpu_execution_accelerator"})
    devices: tuple[Literal["gpu", "cpu"], ...] = ("gpu", "cpu")
    return tuple(
        Accelerator(entry.text("name"), device, {each.text("key"): each.text("value") for each in pairs})
        for device in devices
        for entry in execution.messages(f"{device}_execution_accelerator")
        for pairs in (entry.messages("parameters"),)
    )


def _parameters(fields: Fields) -> dict[str, str]:
    found = {}
    for entry in fields.messages("parameters"):
        value = entry.message("value")
        found[entry.text("key")] = "" if value is None else value.text("string_value", "")
    return found


def _warmup(entry: Fields, inputs: tuple[TensorSpec, ...], max_batch_size: int) -> Warmup:
    batch_size = entry.integer("batch_size", 0)
    if not 0 <= batch_size <= max_batch_size:
        raise entry.wrong("batch_size", f"is {batch_size} and max_batch_size is {max_batch_size}: stay within it")
    names = {spec.name for spec in inputs}
    filled = []
    for pair in entry.messages("inputs"):
        name, value = pair.text("key"), pair.message("value")
        if name not in names or value is None:
            raise pair.wrong("key", f"is {name!r} and the inputs of the model are {sorted(names)}: name one")
        file = value.text("input_data_file", "") or None
        data: Literal["zero", "random", "file"] = (
            "file" if file else "random" if value.flag("random_data", False) else "zero"
        )
        filled.append(WarmupInput(name, _dtype(value), _dims(value, "dims"), data, file))
    return Warmup(entry.text("name", ""), batch_size, tuple(filled), entry.integer("count", 0))
