"""Values of a volume or image → how they become the model's: clip to a window, subtract, divide, per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.input_policy import InputPolicy
from schemas.errors import InvalidInput

Floats = NDArray[np.float32]


class Statistics:
    """Smallest, largest, mean and deviation of values that come part by part, clipped to the window."""

    def __init__(self, policy: InputPolicy) -> None:
        self._policy = policy
        self.low = np.inf
        self.high = -np.inf
        self._count = 0
        self._sum = 0.0
        self._squares = 0.0

    def add(self, values: Floats) -> None:
        """Take more values in."""
        clipped = clip(values, self._policy)
        self.low = min(self.low, float(clipped.min()))
        self.high = max(self.high, float(clipped.max()))
        if self._policy.normalisation == "z-score":
            wide = clipped.astype(np.float64)
            self._count += wide.size
            self._sum += float(wide.sum())
            self._squares += float((wide * wide).sum())

    @property
    def mean(self) -> float:
        """Mean, for a z-score."""
        return self._sum / self._count

    @property
    def deviation(self) -> float:
        """Standard deviation, for a z-score."""
        return float(np.sqrt(max(0.0, self._squares / self._count - self.mean**2)))


@dataclass(frozen=True)
class Normaliser:
    """``(clipped value - subtract) / divide`` for each channel."""

    policy: InputPolicy
    subtract: tuple[float, ...]
    divide: tuple[float, ...]

    def __call__(self, values: Floats) -> Floats:
        """Normalised values with one channel axis at the end.

        Parameters
        ----------
        values
            float32, spatial axes, and a channel axis of three for colour.
        """
        clipped = clip(values, self.policy)
        colour = values.ndim > len(self.policy.spatial)
        made = np.empty((*values.shape[: len(self.policy.spatial)], len(self.divide)), np.float32)
        for channel, (subtract, divide) in enumerate(zip(self.subtract, self.divide, strict=True)):
            # colours come as red, green, blue
            place = len(self.divide) - 1 - channel if self.policy.channels == "bgr" else channel
            part = clipped[..., place] if colour else clipped
            if subtract:
                part = part - np.float32(subtract)
            np.divide(part, np.float32(divide), out=made[..., channel])
        return made


def clip(values: Floats, policy: InputPolicy) -> Floats:
    """Values inside of the window, where there is one."""
    if policy.window is None:
        return values
    return np.clip(values, np.float32(policy.window.low), np.float32(policy.window.high))


def normaliser(policy: InputPolicy, seen: Statistics, name: str) -> Normaliser:
    """How the values of a volume or image are normalised.

    Parameters
    ----------
    policy
        What the model wants.
    seen
        Of all the values.
    name
        For messages.

    Raises
    ------
    InvalidInput
        Nothing can be seen in it: all values are alike, or none is positive.
    """
    kind, window = policy.normalisation, policy.window
    one = policy.channel_count
    if kind == "maximum":
        if seen.high <= 0:
            raise InvalidInput(f"no voxel of {name} is positive: there is no image to read")
        return Normaliser(policy, (0.0,) * one, (seen.high,) * one)
    if kind in ("range", "z-score"):
        low, length = (seen.low, seen.high - seen.low) if kind == "range" else (seen.mean, seen.deviation)
        if length <= 0:
            raise InvalidInput(f"all values of {name} are alike: there is no image to read")
        return Normaliser(policy, (low,) * one, (length,) * one)
    base, unit = (window.low, window.high - window.low) if window is not None else (0.0, 1 / policy.scale)
    if kind == "window":
        return Normaliser(policy, (base,) * one, (unit,) * one)
    if kind == "mean-std":
        return Normaliser(
            policy,
            tuple(base + mean * unit for mean in policy.mean),
            tuple(deviation * unit for deviation in policy.std),
        )
    if kind == "scale":
        return Normaliser(policy, (-policy.offset / policy.scale,) * one, (1 / policy.scale,) * one)
    return Normaliser(policy, (0.0,) * one, (1.0,) * one)
