"""Validation set of a model → it answers as recorded, or a sentence that says how it does not.

A case is a folder with ``case.json`` (:class:`Case`): inputs of the graph as arrays, or a DICOM series that goes
the whole way of a task; and what is expected, each with its tolerance. ``case.npz`` is the older form of a
segmentation. Guarantee: a set without a case, or a case that expects nothing, is no validation and is refused.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engines.metadata import read
from engines.model import Model
from engines.outcome import Found, Outcome
from engines.series_files import read_series
from schemas.errors import ConfigurationError, DestinationUnavailable, ScanstreamError
from schemas.events import Category

#: Images of one series and a model → what it says of them.
Way = Callable[[Sequence[Any], Model], Outcome]

#: A file of the case itself: what lies elsewhere is no part of the version, and its change would not be seen.
_Beside = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

_FILE: Final = "case.json"
_OLD: Final = "case.npz"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ExpectedArray(_Frozen):
    """An output of the graph, or every ``step``-th element of it along each axis."""

    output: str
    file: _Beside = Field(description=".npz beside case.json that holds the array under the name of the output")
    step: int = Field(default=1, ge=1)
    tolerance: float = Field(ge=0, description="largest absolute difference")


class ExpectedCount(_Frozen):
    """How many elements of an output are at least ``threshold``."""

    output: str
    threshold: float
    count: int = Field(ge=0)
    relative_tolerance: float = Field(ge=0, lt=1)


class ExpectedMeasurement(_Frozen):
    """A number of a finding, by the code value of its concept."""

    code: str
    value: float
    tolerance: float = Field(ge=0)


class ExpectedFinding(_Frozen):
    """A finding of the whole way; what is left out may be anything."""

    finding_type: str
    category: Category | None = None
    probability: float | None = None
    probability_tolerance: float = Field(default=0.01, ge=0)
    measurements: tuple[ExpectedMeasurement, ...] = ()


class Case(_Frozen):
    """``case.json``."""

    about: str = ""
    arrays: _Beside | None = Field(default=None, description=".npz with the inputs of the graph by their names")
    dicom: _Beside | None = Field(default=None, description="folder or .zip with the images of one series")
    expected_arrays: tuple[ExpectedArray, ...] = ()
    expected_counts: tuple[ExpectedCount, ...] = ()
    expected_findings: tuple[ExpectedFinding, ...] | None = Field(
        default=None, description="all findings in their order; an empty list expects none"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.arrays is None) == (self.dicom is None):
            raise ValueError("give either arrays or dicom")
        of_arrays = bool(self.expected_arrays or self.expected_counts)
        if of_arrays != (self.arrays is not None) or (self.expected_findings is None) != (self.dicom is None):
            raise ValueError("arrays need expected_arrays or expected_counts, dicom needs expected_findings")
        return self


def validate(model: Model, folder: Path, way: Way) -> None:
    """Run every case of a validation set and compare; this also warms the model up.

    Parameters
    ----------
    model
        Loaded version.
    folder
        Its ``validation/``.
    way
        Runs a series through the model, for cases that hold one.

    Raises
    ------
    ConfigurationError
        There is no case, a case is wrong, or the model does not answer it as recorded.
    """
    cases = case_folders(folder)
    for case in cases:
        if case.name == _OLD:
            _validate_old(model, case)
        else:
            _validate_case(model, case, way)


def warm_up(model: Model, folder: Path, way: Way) -> None:
    """Run the first case, so that what the engine prepares at its first call is ready."""
    case = case_folders(folder)[0]
    if case.name == _OLD:
        _validate_old(model, case)
    else:
        _validate_case(model, case, way)


def case_folders(folder: Path) -> tuple[Path, ...]:
    """Cases in the order of their names.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    found = [path.parent for path in folder.glob(f"*/{_FILE}")] + list(folder.glob(_OLD))
    if not found:
        raise ConfigurationError(
            f"{folder} holds no case ({_OLD} is missing, and no folder holds {_FILE}): "
            "a model is used only when it can be checked; restore it"
        )
    return tuple(sorted(found))


def _validate_case(model: Model, folder: Path, way: Way) -> None:
    case = read(folder / _FILE, Case)
    try:
        if case.arrays is not None:
            _compare_arrays(model, folder, case, _infer(model, _load(folder / case.arrays)))
        if case.dicom is not None:
            outcome = way(read_series(folder / case.dicom), model)
            _compare_findings(model, folder, case.expected_findings or (), outcome.found)
    except (ConfigurationError, DestinationUnavailable):
        raise  # a server that is away says nothing about the model
    except ScanstreamError as error:
        raise ConfigurationError(
            f"{_who(model)} fails at its validation case {folder.name} ({error}): correct the model or the case"
        ) from error


def _compare_arrays(model: Model, folder: Path, case: Case, answer: Mapping[str, NDArray[Any]]) -> None:
    for expected in case.expected_arrays:
        actual = _output(answer, expected.output, folder)
        sampled = actual[(slice(None, None, expected.step),) * actual.ndim].astype(np.float64)
        stored = _output(_load(folder / expected.file), expected.output, folder).astype(np.float64)
        if sampled.shape != stored.shape:
            raise _differs(
                model, folder, f"{expected.output} has shape {list(sampled.shape)}, recorded {list(stored.shape)}"
            )
        deviation = float(np.abs(sampled - stored).max()) if stored.size else 0.0
        if not deviation <= expected.tolerance:  # NaN is no answer either
            raise _differs(
                model,
                folder,
                f"{expected.output} deviates by {deviation:.2g}, allowed {expected.tolerance:.2g}",
            )
    for counted in case.expected_counts:
        found = int(np.count_nonzero(_output(answer, counted.output, folder) >= counted.threshold))
        if abs(found - counted.count) > counted.relative_tolerance * counted.count:
            raise _differs(model, folder, f"{found} voxels of {counted.output}, recorded {counted.count}")


def _compare_findings(
    model: Model, folder: Path, expected: Sequence[ExpectedFinding], found: Sequence[Found]
) -> None:
    if [item.finding_type for item in expected] != [item.finding_type for item in found]:
        raise _differs(model, folder, f"found {_types(found)}, recorded {_types(expected)}")
    for number, (wanted, actual) in enumerate(zip(expected, found, strict=True), 1):
        where = f"finding {number}"
        if wanted.category not in (None, actual.category):
            raise _differs(model, folder, f"{where} is {actual.category}, recorded {wanted.category}")
        if wanted.probability is not None and not (
            actual.probability is not None
            and abs(actual.probability - wanted.probability) <= wanted.probability_tolerance
        ):
            raise _differs(
                model, folder, f"{where} has probability {actual.probability}, recorded {wanted.probability}"
            )
        measured = {item.code.value: item.value for item in actual.measurements}
        for measurement in wanted.measurements:
            value = measured.get(measurement.code)
            if value is None or not abs(value - measurement.value) <= measurement.tolerance:
                raise _differs(
                    model,
                    folder,
                    f"{where} has {measurement.code} {value}, recorded {measurement.value:g} "
                    f"± {measurement.tolerance:g}",
                )


def _validate_old(model: Model, path: Path) -> None:
    expected = _load(path)
    try:
        volume = expected["volume"].astype(np.float32) / np.float32(expected["volume"].max())
        stored, voxels = expected["probability"].astype(np.float32), int(expected["voxels"])
        tolerance, voxels_tolerance = float(expected["probability_tolerance"]), float(expected["voxels_tolerance"])
    except KeyError as error:
        raise ConfigurationError(f"{path} has no array {error}: restore it") from error
    spec = model.config.inputs[0]
    answer = _infer(model, {spec.name: volume.reshape(spec.dims)})[model.config.outputs[0].name]
    probability = answer.reshape(volume.shape)
    deviation = float(np.abs(probability[::8, ::8, ::8] - stored).max())
    found = int(np.count_nonzero(probability >= model.metadata.output.threshold))
    if not (deviation <= tolerance and abs(found - voxels) <= voxels_tolerance * voxels):
        raise _differs(
            model,
            path,
            f"deviation {deviation:.2g}, allowed {tolerance:.2g}; {found} voxels, recorded {voxels}",
        )


def _infer(model: Model, tensors: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    names = {spec.name for spec in model.config.inputs}
    if set(tensors) != names:
        raise ConfigurationError(
            f"a validation case of {model.info.name} has the inputs {', '.join(sorted(tensors))} "
            f"and the graph {', '.join(sorted(names))}: correct the case"
        )
    return model.engine.infer(tensors)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}): restore the validation set") from error


def _output(arrays: Mapping[str, NDArray[Any]], name: str, folder: Path) -> NDArray[Any]:
    if name not in arrays:
        raise ConfigurationError(
            f"{folder}: there is no array {name!r}, only {', '.join(sorted(arrays))}: correct the case"
        )
    return arrays[name]


def _types(findings: Sequence[ExpectedFinding] | Sequence[Found]) -> str:
    return ", ".join(item.finding_type for item in findings) or "nothing"


def _who(model: Model) -> str:
    return f"model {model.info.name} {model.info.version} on {model.engine.identity()}"


def _differs(model: Model, case: Path, difference: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_who(model)} does not answer its validation case {case.name} as recorded ({difference}): "
        "use the runtime version of this release"
    )
