from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from engines.domain import input_warnings, output_warnings
from engines.metadata import ModelMetadata, read
from engines.volume import read_volume
from tests.engines.phantom import FOLDER, policy, series

DOMAIN = read(FOLDER / "metadata.json", ModelMetadata).domain
VOLUME = read_volume(series(np.ones((3, 4, 4))), policy())


def image(sequence: str | list[str] | None, repetition: float | None, echo: float | None) -> Dataset:
    dataset = Dataset()
    dataset.ScanningSequence, dataset.RepetitionTime, dataset.EchoTime = sequence, repetition, echo
    return dataset


@pytest.mark.parametrize(
    ("dataset", "unusual"),
    [
        (image("SE", 500, 12), False),
        (image(["GR", "IR"], 2300, 3), False),
        (image("SE", 2300, 22), True),
        (image("SE", 600, 90), True),
        (image("GR", 500, 25), True),
        (image(None, None, None), False),
        (Dataset(), False),
    ],
)
def test_weighting_is_judged_by_the_pulse_sequence(dataset: Dataset, unusual: bool) -> None:
    found = input_warnings(DOMAIN, dataset, VOLUME, 0)
    assert [("T1-weighted" in warning) for warning in found] == [True] * unusual


def test_coarse_and_tilted_grids_are_said() -> None:
    coarse = read_volume(series(np.ones((3, 4, 4)), spacing_mm=(7, 1, 1)), policy())
    found = input_warnings(DOMAIN, Dataset(), coarse, 40)
    assert "7.0 mm" in found[0]
    assert "40 degrees" in found[1]


def test_cut_and_implausible_brains_are_said() -> None:
    whole, cut = np.zeros(4, int), np.full(4, 64)
    whole[1:3] = 64
    assert output_warnings(DOMAIN, "Brain", whole, 1200) == ()
    assert "incomplete" in output_warnings(DOMAIN, "Brain", cut, 1200)[0]
    assert "700 to 2000 mL" in output_warnings(DOMAIN, "Brain", whole, 3)[0]
    assert output_warnings(DOMAIN, "Brain", np.zeros(4, int), 0) == ("No brain was found.",)
