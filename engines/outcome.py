"""What a model said about a series, apart from the task that asked: findings, arrays, warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from schemas.events import (
    Category,
    Characteristic,
    Code,
    Laterality,
    Location,
    Measurement,
    ResultOutcome,
    StageTime,
)


@dataclass(frozen=True)
class Found:
    """One finding before it has the ids of its task.

    ``number`` counts the findings of a type from 1 and makes their tracking ids, so it must not depend on chance;
    ``segment_number`` refers to :class:`ArrayOutput`.
    """

    finding_type: str
    number: int
    code: Code
    category: Category
    measurements: tuple[Measurement, ...] = ()
    probability: float | None = None
    site: Code | None = None
    laterality: Laterality | None = None
    segment_number: int | None = None
    locations: tuple[Location, ...] = ()
    characteristics: tuple[Characteristic, ...] = ()
    evidence: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArrayOutput:
    """One volume on the voxels of the source images, shape (slices, rows, columns).

    ``mask`` is boolean, ``probability`` float32 from 0 to 1, ``heatmap`` float32 with ``quantity`` and ``unit``.
    """

    kind: Literal["mask", "probability", "heatmap"]
    array: NDArray[Any]
    segment_number: int | None = None
    quantity: Code | None = None
    unit: Code | None = None


@dataclass(frozen=True)
class Outcome:
    """Answer of a model.

    Attributes
    ----------
    found
        Findings; none means that it ran and found nothing.
    arrays
        Volumes that become artifacts.
    sop_instance_uids
        Source images in the order of the arrays' first axis.
    warnings, image_quality_warnings, out_of_domain_warnings
        What a reader should know, one sentence each.
    quality
        Numbers about the images or the run.
    stages
        How long each stage took.
    """

    found: tuple[Found, ...]
    arrays: tuple[ArrayOutput, ...]
    sop_instance_uids: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    image_quality_warnings: tuple[str, ...] = ()
    out_of_domain_warnings: tuple[str, ...] = ()
    quality: tuple[Measurement, ...] = ()
    stages: tuple[StageTime, ...] = ()

    @property
    def outcome(self) -> ResultOutcome:
        """Whether anything was found."""
        return ResultOutcome.FINDINGS if self.found else ResultOutcome.NO_FINDINGS
