"""Model file + ``config.pbtxt`` + options → the engine that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.base import Device, Engine
from engines.config_pbtxt import ModelConfig
from schemas.errors import ConfigurationError

_ONNX: Final = frozenset({"onnxruntime_onnx"})


@dataclass(frozen=True)
class EngineOptions:
    """What the machine offers, apart from the model.

    Attributes
    ----------
    device
        Where a runtime of this process computes.
    threads
        Threads that compute one inference on the CPU; ``None`` takes one per core.
    """

    device: Device = "cpu"
    threads: int | None = None


def engine_of(path: Path, config: ModelConfig, options: EngineOptions | None = None) -> Engine:
    """Load a model on the runtime that its configuration names.

    Parameters
    ----------
    path
        The model file, ``NAME/VERSION/FILE`` in a model repository.
    config
        Its ``config.pbtxt``.
    options
        What the machine offers; ``None`` takes the CPU.

    Raises
    ------
    ConfigurationError
        No runtime here runs this platform, or the file cannot be loaded.
    """
    chosen = options or EngineOptions()
    if config.platform in _ONNX:
        from engines.onnx import OnnxEngine

        return OnnxEngine(path, chosen.threads, chosen.device)
    raise ConfigurationError(
        f"{config.name}: config.pbtxt asks for platform {config.platform!r}, which no runtime here runs: "
        f"use one of {', '.join(sorted(_ONNX))}"
    )
