"""``metadata.json`` → typed description of how images become a model's input and what its output means.

``task`` says what the output is: masks (segmentation), scores of classes (classification) or boxes (detection).
So a model of one of these needs no code; ``docs/models.md`` is the reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from engines.coded import CodedConcept, Frozen
from engines.input_policy import InputPolicy
from engines.output_policy import DetectionOutput, HeatmapPolicy, Output
from schemas.errors import ConfigurationError

__all__ = ["CodedConcept", "Domain", "InputPolicy", "ModelMetadata", "read"]


class Domain(Frozen):
    """What the model was made for; outside of it a result carries a warning. What is not given is not judged."""

    weighting: Literal["T1"] | None = None
    spin_echo_maximum_repetition_time_ms: float | None = Field(default=None, gt=0)
    spin_echo_maximum_echo_time_ms: float | None = Field(default=None, gt=0)
    gradient_echo_maximum_echo_time_ms: float | None = Field(default=None, gt=0)
    spacing_mm: float | None = Field(default=None, gt=0)
    maximum_spacing_mm: float | None = Field(default=None, gt=0)
    maximum_tilt_degrees: float | None = Field(default=None, gt=0, le=55)
    plausible_volume_ml: tuple[float, float] | None = Field(default=None, description="of expected segments")


class ModelMetadata(Frozen):
    """``metadata.json``."""

    task: Literal["segmentation", "classification", "detection"]
    input: InputPolicy
    domain: Domain = Domain()
    output: Output
    heatmap: HeatmapPolicy | None = Field(default=None, description="none: occlusion, when a requester asks")
    limitations: str

    @model_validator(mode="before")
    @classmethod
    def _task_of_output(cls, data: Any) -> Any:
        """The task decides what ``output`` holds; it is said once."""
        if isinstance(data, dict) and isinstance(data.get("output"), dict) and "task" in data:
            return {**data, "output": {**data["output"], "task": data["task"]}}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.output, DetectionOutput) and len(self.output.tensors.order) != len(self.input.spatial):
            raise ValueError(f"output.tensors.order must name {', '.join(self.input.spatial.lower())}")
        if self.heatmap is not None and self.heatmap.method == "activation" and self.task != "classification":
            raise ValueError("heatmap: activation maps are of classifications; use occlusion")
        return self


_M = TypeVar("_M", bound=BaseModel)


def read(path: Path, kind: type[_M]) -> _M:
    """Contents of a JSON file of the model repository.

    Raises
    ------
    ConfigurationError
        The file is missing or does not say what it must; the message names file and field.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}): restore the model repository"
        ) from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(f"{path} is wrong ({problems}): correct the file") from error
