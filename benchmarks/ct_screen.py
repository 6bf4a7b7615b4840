"""How well the head-CT screen finds lesions of known volume: 200 phantoms, half of them without a lesion.

Every head is written as DICOM images and goes the way of a task through ``ct-hyperdensity`` as released. The peer
thresholds the same images at 50 to 90 HU, without skull and smoothing, and leaves out the same small components.
Phantoms are other heads than those of the tests; figures on them say nothing about patients.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.report import Row, arguments, percentile, publish
from engines.base import Volume32
from engines.model import Model
from engines.outcome import Outcome
from engines.pipeline import run
from engines.records import Records
from engines.repository import RELEASED, load_version
from engines.runtimes import engine_of
from engines.steps import drive
from schemas.events import Category
from tests.engines.models.phantoms import phantom, random_head, series

HEADS: Final = 200
QUICK: Final = 24
FIRST_SEED: Final = 10_000
MINIMUM_ML: Final = 0.7
#: From it a finding is critical, as the model's metadata says.
CRITICAL_ML: Final = 3.0
PEER: Final = "plain threshold"


@dataclass(frozen=True)
class Answer:
    """What was said of one head; volumes in mL."""

    truth_ml: float
    along_skull: bool
    found_ml: float
    critical: bool
    peer_ml: float
    seconds: float


def main() -> None:
    """Screen the heads and publish the figures."""
    options = arguments(__doc__.splitlines()[0] if __doc__ else "").parse_args()
    model = load_version(RELEASED / "ct-hyperdensity", 1, engine_of, Records())
    count = QUICK if options.quick else HEADS
    answers = [_screen(model, FIRST_SEED + number, with_lesion=number % 2 == 0) for number in range(count)]
    publish(f"Head-CT hyperdensity screen on {count} phantoms", rows(answers), options.json)


def rows(answers: Sequence[Answer]) -> list[Row]:
    """Figures of all heads. Pure."""
    ill = [answer for answer in answers if answer.truth_ml > 0]
    well = [answer for answer in answers if answer.truth_ml == 0]
    inner = [answer for answer in ill if not answer.along_skull]
    outer = [answer for answer in ill if answer.along_skull]
    peer_errors = [_error(answer.peer_ml, answer.truth_ml) for answer in ill]
    figures = [
        Row("sensitivity", _share([a.found_ml > 0 for a in ill]), "%", PEER, _share([a.peer_ml > 0 for a in ill])),
        Row(
            "specificity",
            _share([a.found_ml == 0 for a in well]),
            "%",
            PEER,
            _share([a.peer_ml == 0 for a in well]),
        ),
        Row(
            "critical or not as the true volume says",
            _share([answer.critical == (answer.truth_ml >= CRITICAL_ML) for answer in ill]),
            "%",
        ),
        Row("smallest lesion found", min((a.truth_ml for a in ill if a.found_ml > 0), default=0.0), "mL"),
        Row("largest lesion missed", max((a.truth_ml for a in ill if a.found_ml == 0), default=0.0), "mL"),
        Row(
            "volume error, median of all",
            median(_error(a.found_ml, a.truth_ml) for a in ill),
            "%",
            PEER,
            median(peer_errors),
        ),
        Row("time of a head, median", 1000 * median(answer.seconds for answer in answers), "ms"),
        Row("time of a head, p95", 1000 * percentile([answer.seconds for answer in answers], 0.95), "ms"),
    ]
    for name, group in (("in the brain", inner), ("along the skull", outer)):
        if group:
            errors = [_error(answer.found_ml, answer.truth_ml) for answer in group]
            signed = [100 * (answer.found_ml / answer.truth_ml - 1) for answer in group]
            figures += [
                Row(f"volume error {name}, median", median(errors), "%"),
                Row(f"volume error {name}, p90", percentile(errors, 0.9), "%"),
                Row(f"volume found less true {name}, mean", mean(signed), "%"),
            ]
    return figures


def _screen(model: Model, seed: int, *, with_lesion: bool) -> Answer:
    head = random_head(seed, with_lesion)
    made = phantom(head)
    images = series(made, f"screen {seed}")
    started = time.perf_counter()
    outcome = drive(run(images, model), model.engine.infer)
    seconds = time.perf_counter() - started
    return Answer(
        truth_ml=made.volume_ml,
        along_skull=any(lesion.crescent_mm is not None for lesion in head.lesions),
        found_ml=_volume_ml(outcome),
        critical=any(finding.category is Category.CRITICAL for finding in outcome.found),
        peer_ml=plain_threshold_ml(made.hu, head.pixel_mm**2 * head.slice_mm / 1000),
        seconds=seconds,
    )


def plain_threshold_ml(hu: Volume32, voxel_ml: float) -> float:
    """Volume of components of 50 to 90 HU that are large enough."""
    within: NDArray[np.bool_] = (hu >= 50) & (hu <= 90)
    labels, _ = ndimage.label(within)
    volumes = np.bincount(labels.ravel())[1:] * voxel_ml
    return float(volumes[volumes >= MINIMUM_ML].sum())


def _volume_ml(outcome: Outcome) -> float:
    return sum(
        measurement.value
        for finding in outcome.found
        for measurement in finding.measurements
        if measurement.unit.value == "mL"
    )


def _error(found: float, truth: float) -> float:
    return 100 * abs(found - truth) / truth


def _share(held: Sequence[bool]) -> float:
    return 100 * sum(held) / len(held) if held else float("nan")


if __name__ == "__main__":
    main()
