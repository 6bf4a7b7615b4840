"""``output`` of ``metadata.json``: what the graph's outputs mean, for each task, with codes and units."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from engines.coded import CodedConcept, Frozen
from schemas.events import Category, Laterality

Activation = Literal["none", "sigmoid", "softmax"]
FindingType = Annotated[str, Field(pattern=r"^[a-z0-9-]+$", description="findings go to the topic findings.TYPE")]


class CategoryRule(Frozen):
    """``category`` where the measurement of this kind, or the probability, is at least ``at_least``."""

    of: Literal["volume", "count", "mean", "length", "probability"]
    at_least: float
    category: Category


class Meaning(Frozen):
    """What a finding says; the first rule that holds gives its category, ``category`` where none does."""

    finding_type: FindingType
    finding: CodedConcept
    site: CodedConcept | None = None
    category: Category
    rules: tuple[CategoryRule, ...] = ()
    laterality: Laterality | Literal["by-place"] | None = Field(
        default=None, description="by-place: the side of the middle of the images on which nine tenths lie"
    )
    evidence: int = Field(default=1, ge=0, le=16, description="how many images are named that show it best")


class MeasurementPolicy(Frozen):
    """A number of a segment.

    ``volume`` in mL or mm3 by its unit, ``count`` of connected components, ``mean`` of the modality units in it.
    """

    kind: Literal["volume", "count", "mean"]
    code: CodedConcept
    unit: CodedConcept
    decimals: int = Field(default=1, ge=0, le=6)

    @model_validator(mode="after")
    def _known_unit(self) -> Self:
        if self.kind == "volume" and self.unit.value not in {"mL", "cm3", "mm3"}:
            raise ValueError("the unit of a volume must be mL, cm3 or mm3 (UCUM)")
        return self


class Segment(Meaning):
    """One structure: channel of the output, what is kept of it, what it is called, what is measured.

    Its finding is the property type of the segment; one whose site is the same concept is a normal structure.
    """

    number: int = Field(ge=1, description="stays the same over versions: it makes the tracking id")
    label: str = Field(min_length=1, max_length=64)
    channel: int = Field(default=0, ge=0, description="of the output; for labels, the value of its voxels")
    threshold: float | None = Field(default=None, gt=0, le=1, description="in place of the output's")
    keep: Literal["all", "largest-component"] = "all"
    minimum_volume_ml: float = Field(default=0, ge=0, description="smaller connected components are left out")
    measurements: tuple[MeasurementPolicy, ...] = Field(min_length=1)
    probability: Literal["none", "mean", "maximum"] = Field(default="none", description="of its voxels, if said")
    locations: Literal["none", "centre", "boxes"] = Field(
        default="none", description="beside the segment itself, for viewers that draw none"
    )
    expected: bool = Field(default=False, description="its absence, or that it is cut off, is worth a warning")
    report: bool = Field(
        default=True, description="false: looked for, and warned about, but neither finding nor mask"
    )


class SegmentationOutput(Frozen):
    """Probability or label of each voxel → segments with a finding each."""

    task: Literal["segmentation"]
    tensor: str | None = Field(default=None, description="name of the output; not needed where there is one")
    layout: str | None = Field(default=None, description="axes of the output; none: those of the input")
    activation: Activation | Literal["labels"] = Field(
        default="none", description="labels: the output holds whole numbers and no probabilities"
    )
    threshold: float = Field(gt=0, le=1)
    exclusive: bool = Field(default=False, description="a voxel belongs to its most probable channel only")
    segments: tuple[Segment, ...] = Field(min_length=1)
    probability_maps: bool = Field(default=False, description="probabilities are kept beside the masks")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        numbers = [segment.number for segment in self.segments]
        if len(set(numbers)) != len(numbers):
            raise ValueError("segments must have different numbers")
        return self


class Label(Meaning):
    """One class of a classification; without ``report`` it is never a finding, such as ``normal``."""

    index: int = Field(ge=0)
    label: str = Field(min_length=1, max_length=64)
    threshold: float | None = Field(default=None, gt=0, le=1)
    report: bool = True


class ClassificationOutput(Frozen):
    """Score of each class for each row → a finding for each class at or above its threshold."""

    task: Literal["classification"]
    tensor: str | None = None
    activation: Activation = "none"
    threshold: float = Field(gt=0, le=1)
    aggregation: Literal["maximum", "mean", "top-mean"] = Field(
        default="maximum", description="over the rows of a series; top-mean: of the best tenth"
    )
    labels: tuple[Label, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({label.index for label in self.labels}) != len(self.labels):
            raise ValueError("labels must have different indexes")
        return self


class BoxFormat(Frozen):
    """Tensors of a detection: boxes (N, K, 4 or 6), scores (N, K) or (N, K, classes), classes (N, K)."""

    boxes: str
    scores: str
    classes: str | None = Field(default=None, description="class of each box, where scores has no axis for it")
    format: Literal["corners", "centre-size", "corner-size"] = "corners"
    order: Literal["xy", "yx", "xyz", "zyx"] = Field(default="xy", description="order of the axes in a corner")
    units: Literal["pixels", "relative"] = Field(default="pixels", description="of the graph's grid")


class Detected(Meaning):
    """One class of a detection."""

    index: int = Field(ge=0)
    label: str = Field(min_length=1, max_length=64)
    threshold: float | None = Field(default=None, gt=0, le=1)
    length: CodedConcept | None = Field(default=None, description="concept of the longest side, in mm, if said")


class DetectionOutput(Frozen):
    """Boxes with scores → a finding each, after suppression of those that overlap a better one."""

    task: Literal["detection"]
    tensors: BoxFormat
    activation: Literal["none", "sigmoid"] = "none"
    threshold: float = Field(gt=0, le=1)
    overlap: float = Field(default=0.5, gt=0, le=1, description="intersection over union that is one thing")
    maximum: int = Field(default=50, ge=1, le=1000, description="findings of a series; the best are kept")
    join_slices: bool = Field(default=True, description="2d: overlapping boxes of neighbouring images are one")
    labels: tuple[Detected, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({label.index for label in self.labels}) != len(self.labels):
            raise ValueError("labels must have different indexes")
        return self


class HeatmapPolicy(Frozen):
    """What a person is shown of why; made when a requester asks for heatmaps, or ``always``.

    ``occlusion`` covers one patch after the other and says how much the score falls; it costs a row for each.
    ``activation`` weights the maps that the graph exports before its last, linear layer.
    """

    method: Literal["occlusion", "activation"] = "occlusion"
    always: bool = False
    quantity: CodedConcept | None = None
    unit: CodedConcept | None = None
    patches: int = Field(default=6, ge=2, le=64, description="along each axis of the grid")
    images: int = Field(default=3, ge=1, le=64, description="2d: the rows with the highest scores are explained")
    tensor: str | None = Field(default=None, description="activation: output with the maps")
    layout: str | None = Field(default=None, description="activation: its axes; none: those of the input")
    weights: tuple[tuple[float, ...], ...] = Field(default=(), description="activation: a row for each class")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method == "activation" and not (self.tensor and self.weights):
            raise ValueError("tensor and weights must be given for activation maps")
        return self


Output = Annotated[SegmentationOutput | ClassificationOutput | DetectionOutput, Field(discriminator="task")]
