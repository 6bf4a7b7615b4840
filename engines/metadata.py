"""``metadata.json`` → typed description of how images become a model's input and what its output means.

Every code is a coded concept of PS3.16 or UCUM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import ConfigurationError
from schemas.events import Category, Code


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CodedConcept(_Frozen):
    """Code value, coding scheme designator, code meaning (PS3.3 8.8)."""

    value: str = Field(max_length=16)
    scheme: str = Field(max_length=16)
    meaning: str = Field(max_length=64)

    def code(self) -> Code:
        """The concept as events carry it."""
        return Code(self.value, self.scheme, self.meaning)


class InputPolicy(_Frozen):
    """How a series becomes the model's input array."""

    modality: str
    sop_class_uids: tuple[str, ...] = Field(min_length=1)
    minimum_slices: int = Field(ge=3)
    orientation: Literal["RAS"] = Field(description="what the array axes x, y, z point to")
    resampling: Literal["field-of-view"] = Field(description="the whole field of view fills the input grid")
    interpolation: Literal["linear"]
    normalisation: Literal["maximum"] = Field(description="voxels are divided by the largest one")
    preferred_descriptions: tuple[str, ...] = Field(default=(), description="words in (0008,103E), best first")


class Domain(_Frozen):
    """What the model was made for; outside of it a result carries a warning."""

    weighting: Literal["T1"]
    spin_echo_maximum_repetition_time_ms: float = Field(gt=0)
    spin_echo_maximum_echo_time_ms: float = Field(gt=0)
    gradient_echo_maximum_echo_time_ms: float = Field(gt=0)
    spacing_mm: float = Field(gt=0)
    maximum_spacing_mm: float = Field(gt=0)
    maximum_tilt_degrees: float = Field(gt=0, le=55)
    plausible_volume_ml: tuple[float, float]


class Segment(_Frozen):
    """How the mask is called and drawn."""

    number: int = Field(ge=1)
    label: str = Field(max_length=64)
    category: CodedConcept
    type: CodedConcept
    colour_rgb: tuple[int, int, int]


class Output(_Frozen):
    """What the model's output means."""

    threshold: float = Field(gt=0, lt=1)
    keep: Literal["largest-component"]
    finding_type: str = Field(pattern=r"^[a-z0-9-]+$", description="findings go to the topic findings.TYPE")
    finding: CodedConcept
    site: CodedConcept
    measurement: CodedConcept
    unit: CodedConcept
    category: Category
    segment: Segment


class ModelMetadata(_Frozen):
    """``metadata.json``."""

    input: InputPolicy
    domain: Domain
    output: Output
    limitations: str


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
