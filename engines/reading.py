"""What each task offers to the run: take the outputs row by row, and at the end say what they mean."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from engines.outcome import ArrayOutput, Found
from engines.preprocess import Sample

#: Outputs of one row by name, without an axis of rows.
RowOutputs = Mapping[str, NDArray[Any]]

#: How strongly a row's outputs speak for one thing.
Score = Callable[[RowOutputs], float]


@dataclass(frozen=True)
class Reading:
    """What the outputs mean; ``unusual`` are warnings that the model is outside of what it was made for."""

    found: tuple[Found, ...]
    arrays: tuple[ArrayOutput, ...] = ()
    unusual: tuple[str, ...] = ()


class Reader(Protocol):
    """Outputs of the rows of one series, in their order → findings."""

    def take(self, sample: Sample, start: tuple[int, ...], outputs: RowOutputs) -> None:
        """Outputs of the window of a sample that begins at ``start``.

        Raises
        ------
        InvalidInput
            They do not have the declared shape.
        """
        ...

    def score(self, outputs: RowOutputs) -> Score:
        """How to measure what a row's outputs say, to see what of its input they depend on."""
        ...

    def finish(self) -> Generator[float, None, Reading]:
        """Meaning of all that was taken; yields the share that is done."""
        ...
