"""A population of phantoms for measuring the screen: slice, blur, noise, lesion and distractors all vary.

Guarantee: the same seed is the same head. The ranges are stated here and nowhere else.
"""

from __future__ import annotations

import numpy as np

from tests.engines.models.distractors import Kind, distractors
from tests.engines.models.phantoms import INNER_MM, Head, Lesion

SLICES_MM = (1.0, 1.5, 2.5, 3.0, 5.0)
NOISE_HU = (2.0, 7.0)
BLUR_MM = (0.4, 1.2)
HARDENING_HU = (0.0, 7.0)
LESION_HU = (55.0, 85.0)
#: Of an ellipsoid: 0.5 to 60 mL.
RADIUS_MM = (5.0, 24.0)
CRESCENT_MM = (5.0, 14.0)
TALL_MM = 145.0


def varied_head(seed: int, kind: Kind, place: str | None) -> Head:
    """A head with one kind of distractor.

    Parameters
    ----------
    seed
        Of everything that varies.
    kind
        What it shows that is no lesion.
    place
        ``brain`` or ``skull``: where its one lesion is. None: it has none.
    """
    draw = np.random.default_rng(seed)
    slice_mm = float(draw.choice(SLICES_MM))
    lesions = () if place is None else (_lesion(draw, place),)
    return Head(
        seed,
        lesions,
        noise_hu=float(draw.uniform(*NOISE_HU)),
        hardening_hu=float(draw.uniform(*HARDENING_HU)),
        turned_degrees=float(draw.uniform(-12, 12)),
        rows=212,
        pixel_mm=0.95,
        slice_mm=slice_mm,
        slices=round(TALL_MM / slice_mm),
        lowest_mm=-64.5 + slice_mm / 2 + float(draw.uniform(0, 2)),
        blur_mm=float(draw.uniform(*BLUR_MM)),
        distractors=distractors(draw, kind),
    )


def samples_of(head: Head) -> int:
    """Samples over the thickness of a slice: about one in each millimetre."""
    return round(head.slice_mm)


def _lesion(draw: np.random.Generator, place: str) -> Lesion:
    hu = float(draw.uniform(*LESION_HU))
    if place == "skull":
        side, height = float(draw.choice([-1.0, 1.0])), float(draw.uniform(5, 35))
        radii = (30.0, float(draw.uniform(20, 45)), float(draw.uniform(14, 30)))
        centre = (side * 58.0, float(draw.uniform(-30, 30)), height)
        return Lesion(centre, radii, hu, float(draw.uniform(*CRESCENT_MM)))
    # the logarithm is even: as many small ones as large ones
    radius = float(np.exp(draw.uniform(*np.log(RADIUS_MM))))
    ratios = draw.uniform(0.75, 1.3, 2)
    direction = draw.normal(size=3)
    away = direction / np.linalg.norm(direction) * draw.uniform(0, 0.6)
    x, y, z = (float(part * half) for part, half in zip(away, INNER_MM[:3], strict=True))
    return Lesion((x, y, max(z, -18.0)), (radius, radius * float(ratios[0]), radius * float(ratios[1])), hu)
