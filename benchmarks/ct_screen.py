"""How well the head-CT screen finds and measures lesions of known volume: 300 phantoms, half of them without one.

Every head is written as DICOM images and goes the way of a task through ``ct-hyperdensity`` as released. The peer
thresholds the same images at 50 to 90 HU, without skull and smoothing, and leaves out the same small components.
The heads are others than those of the tests and those that numbers of the model were chosen with; each shows one
kind of distractor (``tests/engines/models/distractors.py``). Figures on them say nothing about patients.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.report import Row, arguments, percentile, publish
from engines.base import Volume32
from engines.model import Model
from engines.pipeline import run
from engines.records import Records
from engines.repository import RELEASED, load_version
from engines.runtimes import engine_of
from engines.steps import drive
from schemas.events import Category
from tests.engines.models.distractors import KINDS, Kind
from tests.engines.models.phantoms import phantom, series
from tests.engines.models.varied_heads import samples_of, varied_head

HEADS: Final = 300
QUICK: Final = 24
FIRST_SEED: Final = 20_000
MINIMUM_ML: Final = 0.7
#: Lesions from it on count; smaller ones are near what the model leaves out on purpose.
COUNTED_ML: Final = 1.0
#: From it a finding is critical, as the model's metadata says.
CRITICAL_ML: Final = 3.0
SIZES_ML: Final = ((1.0, 3.0), (3.0, 10.0), (10.0, 1000.0))
PEER: Final = "plain threshold"
_PLACES: Final = ("brain", None, "skull", None, "brain", None)


@dataclass(frozen=True)
class Answer:
    """What was said of one head; volumes in mL."""

    kind: Kind
    place: str | None
    truth_ml: float
    #: Of what touches the lesion, and of the rest.
    found_ml: float
    false_ml: float
    critical: bool
    peer_ml: float
    seconds: float


def main() -> None:
    """Screen the heads and publish the figures."""
    parser = arguments(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--processes", type=int, default=1, help="heads at a time (1)")
    parser.add_argument("--model", type=Path, default=RELEASED / "ct-hyperdensity", help="folder of the model")
    options = parser.parse_args()
    publish(f"Head-CT hyperdensity screen on {_count(options)} phantoms", rows(_answers(options)), options.json)


def _count(options: argparse.Namespace) -> int:
    return QUICK if options.quick else HEADS


def _answers(options: argparse.Namespace) -> list[Answer]:
    screen = partial(_screen, options.model)
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        return list(pool.map(screen, range(_count(options))))


def rows(answers: Sequence[Answer]) -> list[Row]:
    """Figures of all heads. Pure."""
    ill = [answer for answer in answers if answer.truth_ml >= COUNTED_ML]
    well = [answer for answer in answers if answer.place is None]
    plain = [answer for answer in well if answer.kind != "contrast"]
    figures = [
        *_shares("sensitivity", [a.found_ml > 0 for a in ill], [a.peer_ml > 0 for a in ill]),
        *_shares("specificity", [a.false_ml == 0 for a in plain], [a.peer_ml == 0 for a in plain]),
        Row(
            "critical or not as the true volume says",
            _share([answer.critical == (answer.truth_ml >= CRITICAL_ML) for answer in ill]),
            "%",
        ),
        Row("smallest lesion found", min((a.truth_ml for a in answers if a.found_ml > 0), default=0.0), "mL"),
        Row("largest lesion missed", max((a.truth_ml for a in ill if a.found_ml == 0), default=0.0), "mL"),
    ]
    for kind in KINDS:
        group = [answer.false_ml > 0 for answer in well if answer.kind == kind]
        figures.append(Row(f"false findings, {kind}: of {len(group)} heads", sum(group), "heads"))
    figures += _errors("all", ill)
    for place in ("brain", "skull"):
        here = [answer for answer in ill if answer.place == place]
        figures += _errors(f"in the {place}" if place == "brain" else "along the skull", here)
        for low, high in SIZES_ML:
            name = f"{place}, {low:g} to {high:g} mL" if high < 1000 else f"{place}, from {low:g} mL"
            figures += _errors(name, [answer for answer in here if low <= answer.truth_ml < high])
    seconds = [answer.seconds for answer in answers]
    figures.append(Row("time of a head, median", 1000 * median(seconds), "ms"))
    figures.append(Row("time of a head, p95", 1000 * percentile(seconds, 0.95), "ms"))
    return figures


def _shares(name: str, held: Sequence[bool], peers: Sequence[bool]) -> list[Row]:
    low, high = wilson(sum(held), len(held))
    return [
        Row(f"{name}, {sum(held)} of {len(held)}", _share(held), "%", PEER, _share(peers)),
        Row(f"{name}: 95 % interval from", 100 * low, "%"),
        Row(f"{name}: 95 % interval to", 100 * high, "%"),
    ]


def wilson(held: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (E. B. Wilson, 1927); both 0 to 1."""
    if not of:
        return 0.0, 1.0
    z, share = 1.959964, held / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def _errors(name: str, group: Sequence[Answer]) -> list[Row]:
    """Of the lesions that were found."""
    found = [100 * (answer.found_ml / answer.truth_ml - 1) for answer in group if answer.found_ml > 0]
    if not found:
        return []
    sizes = [abs(error) for error in found]
    return [
        Row(f"volume error, {name} ({len(found)}): median", median(sizes), "%"),
        Row(f"volume error, {name}: p90", percentile(sizes, 0.9), "%"),
        Row(f"volume error, {name}: bias", mean(found), "%"),
    ]


@cache
def _model(folder: Path) -> Model:
    return load_version(folder, 1, engine_of, Records())


def _screen(folder: Path, number: int) -> Answer:
    model, place = _model(folder), _PLACES[number % len(_PLACES)]
    kind = KINDS[number // len(_PLACES) % len(KINDS)]
    head = varied_head(FIRST_SEED + number, kind, place)
    made = phantom(head, samples_of(head))
    images = series(made, f"screen {number}")
    started = time.perf_counter()
    outcome = drive(run(images, model), model.engine.infer)
    seconds = time.perf_counter() - started
    voxel_ml = head.pixel_mm**2 * head.slice_mm / 1000
    found = np.zeros(made.hu.shape, np.bool_)
    for array in outcome.arrays:
        if array.kind == "mask":
            found |= array.array.astype(np.bool_)
    touching = _touching(found, made.lesion > 0)
    return Answer(
        kind,
        place,
        truth_ml=made.volume_ml,
        found_ml=float(np.count_nonzero(touching)) * voxel_ml,
        false_ml=float(np.count_nonzero(found & ~touching)) * voxel_ml,
        critical=any(finding.category is Category.CRITICAL for finding in outcome.found),
        peer_ml=plain_threshold_ml(made.hu, voxel_ml),
        seconds=seconds,
    )


def _touching(found: NDArray[np.bool_], lesion: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Components of what was found that hold a part of the lesion."""
    labels, count = ndimage.label(found)
    kept = np.zeros(count + 1, np.bool_)
    kept[np.unique(labels[lesion & found])] = True
    touching: NDArray[np.bool_] = kept[labels] & found
    return touching


def plain_threshold_ml(hu: Volume32, voxel_ml: float) -> float:
    """Volume of components of 50 to 90 HU that are large enough."""
    within: NDArray[np.bool_] = (hu >= 50) & (hu <= 90)
    labels, _ = ndimage.label(within)
    volumes = np.bincount(labels.ravel())[1:] * voxel_ml
    return float(volumes[volumes >= MINIMUM_ML].sum())


def _share(held: Sequence[bool]) -> float:
    return 100 * sum(held) / len(held) if held else float("nan")


if __name__ == "__main__":
    main()
