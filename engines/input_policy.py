"""``input`` of ``metadata.json``: how the images of a series become rows of the graph's input.

The order is fixed: decode to modality units, invert MONOCHROME1, turn to the orientation, resample, fit into the
graph's grid (pad, crop or tiles), clip to the window, normalise, spread over channels, lay out.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from engines.coded import Frozen

Plane = Literal["axial", "coronal", "sagittal"]

#: Opposite ends of the patient axes (PS3.3 C.7.6.1.1.1, and S and I for head and feet as in neuroimaging).
_ENDS = ({"R", "L"}, {"A", "P"}, {"S", "I"})


class Window(Frozen):
    """Values below ``low`` become ``low``, above ``high`` become ``high``; in modality units, such as HU."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low must be below high")
        return self


class Tiles(Frozen):
    """A sliding window over what is larger than the graph's grid; neighbours share ``overlap`` of their length."""

    overlap: float = Field(default=0.25, ge=0, lt=1)
    weighting: Literal["constant", "gaussian"] = Field(
        default="gaussian", description="how answers count where tiles overlap; gaussian trusts centres more"
    )


class InputPolicy(Frozen):
    """How a series becomes the model's input array; the graph's axes are x, y (2-D) or x, y, z (3-D)."""

    modality: str
    sop_class_uids: tuple[str, ...] = Field(min_length=1)
    minimum_slices: int = Field(ge=1, description="fewer images or frames are refused")
    maximum_slices: int = Field(default=4096, ge=1, description="more are refused")
    preferred_descriptions: tuple[str, ...] = Field(default=(), description="words in (0008,103E), best first")
    dimensions: Literal["2d", "3d"] = Field(default="3d", description="2d: every image or frame is a row")
    layout: str = Field(description="axes of the graph's input, a letter each: N rows, C channels, X, Y, Z")
    orientation: str = Field(
        default="native",
        description="what x, y, z point to, such as RAS or LPS; or native: columns, rows, slices as acquired",
    )
    planes: tuple[Plane, ...] = Field(default=(), description="planes of acquisition that are taken; none: any")
    resampling: Literal["field-of-view", "letterbox", "spacing", "none"] = Field(
        description="stretched into the grid, fitted with its aspect kept, to spacing_mm, or as acquired"
    )
    spacing_mm: tuple[float, ...] = Field(default=(), description="along x, y (and z), for resampling: spacing")
    interpolation: Literal["linear", "nearest"] = "linear"
    tiles: Tiles | None = Field(default=None, description="what to do with series larger than the grid")
    crop: bool = Field(default=False, description="without tiles: the centre is taken, and said; else refused")
    multiple_of: int = Field(default=1, ge=1, description="axes of any size (-1) are padded to a multiple of this")
    fill: float = Field(default=0, description="modality units of padding, such as -1024 for CT")
    invert_monochrome1: bool = Field(default=True, description="MONOCHROME1 images are inverted: bright is dense")
    window: Window | None = None
    normalisation: Literal["none", "maximum", "range", "window", "z-score", "mean-std", "scale"] = Field(
        description="value / largest; 0…1 between smallest and largest; 0…1 in the window; zero mean and unit "
        "deviation; (value - mean) / std per channel, value from 0…1 in the window if there is one and else times "
        "scale; value × scale + offset. Largest, smallest, mean, deviation are of the volume, or image if 2d."
    )
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float = Field(default=1, gt=0)
    offset: float = 0
    channels: Literal["grey", "rgb", "bgr"] = Field(
        default="grey", description="grey images fill three channels alike; colour images are refused by grey"
    )
    maximum_shear_degrees: float = Field(default=30, gt=0, le=60, description="gantry tilt beyond it is refused")

    @property
    def spatial(self) -> str:
        """Letters of the spatial axes."""
        return "XY" if self.dimensions == "2d" else "XYZ"

    @property
    def channel_count(self) -> int:
        """Channels of the input."""
        return 1 if self.channels == "grey" else 3

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        letters = set(self.layout)
        if len(letters) != len(self.layout) or not set(self.spatial) <= letters <= {*self.spatial, "N", "C"}:
            raise ValueError(f"layout must hold {', '.join(self.spatial)} once each, and N and C at most once")
        if "N" in letters and self.layout[0] != "N":
            raise ValueError("layout must begin with N where it has rows")
        if self.channel_count > 1 and "C" not in letters:
            raise ValueError("layout must hold C for more than one channel")
        if self.orientation != "native" and not (
            len(self.orientation) == 3 and all(len(set(self.orientation) & ends) == 1 for ends in _ENDS)
        ):
            raise ValueError("orientation must be native or name three ends of the patient, such as RAS or LPS")
        self._check_resampling()
        self._check_normalisation()
        return self

    def _check_resampling(self) -> None:
        if self.resampling == "spacing" and len(self.spacing_mm) != len(self.spatial):
            raise ValueError(f"spacing_mm must hold {len(self.spatial)} numbers for resampling to a spacing")
        if any(value <= 0 for value in self.spacing_mm):
            raise ValueError("spacing_mm must be positive")
        if self.resampling == "letterbox" and self.dimensions == "3d":
            raise ValueError("letterbox is for 2d: use spacing")
        if self.dimensions == "3d" and self.channels != "grey":
            raise ValueError("colour is for 2d")

    def _check_normalisation(self) -> None:
        if self.normalisation == "window" and self.window is None:
            raise ValueError("window must be given for normalisation by window")
        if self.normalisation == "mean-std" and not len(self.mean) == len(self.std) == self.channel_count:
            raise ValueError(f"mean and std must hold {self.channel_count} numbers each")
        if any(value <= 0 for value in self.std):
            raise ValueError("std must be positive")
