"""What ONNX Runtime said about a file or a run → the error that tells what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from engines.memory import says_out_of_memory
from schemas.errors import ConfigurationError, InvalidInput, OutOfMemory, ScanstreamError, TransientFailure

_OPSET: Final = re.compile(r"Opset (\d+) is under development.*?till opset (\d+)", re.DOTALL)
_IR: Final = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")
_OPERATOR: Final = re.compile(r"No Op registered for (\S+) with domain_version of (\d+)|(\S+) is not a registered")

#: The status of a kernel whose inputs are none that it can compute: the same ones never will be.
_INVALID: Final = "INVALID_ARGUMENT"


def of_load(path: Path, said: str, version: str) -> ConfigurationError:
    """Error of a model that could not be loaded.

    Parameters
    ----------
    path
        The model file.
    said
        What the runtime said.
    version
        Its version.
    """
    if found := _OPSET.search(said):
        return ConfigurationError(
            f"{path} is of opset {found[1]} and ONNX Runtime {version} knows those to {found[2]}: "
            f"export the model for opset {found[2]} or less, or use a newer runtime"
        )
    if found := _IR.search(said):
        return ConfigurationError(
            f"{path} is of IR version {found[1]} and ONNX Runtime {version} knows those to {found[2]}: "
            "export the model with an older version of onnx, or use a newer runtime"
        )
    if found := _OPERATOR.search(said):
        return ConfigurationError(
            f"{path} uses the operator {found[1] or found[3]}, which ONNX Runtime {version} does not have: "
            "export the model with standard operators of its opset"
        )
    if says_out_of_memory(said):
        return ConfigurationError(
            f"{path} does not fit into memory ({said}): give the process more, or load fewer models"
        )
    return ConfigurationError(f"{path} cannot be loaded by ONNX Runtime ({said}): restore the file")


def of_run(said: str) -> ScanstreamError:
    """Error of an inference that failed."""
    if says_out_of_memory(said):
        return OutOfMemory(f"ONNX Runtime: {said}; a smaller batch is tried, then another node")
    if _INVALID in said:
        return InvalidInput(f"ONNX Runtime: {said}; the model does not take this input: correct it or the images")
    return TransientFailure(f"ONNX Runtime failed: {said}; it is tried again")
