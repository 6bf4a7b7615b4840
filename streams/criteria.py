"""What a series must be like, and expressions of all, any and not over the series of a study. Typed and pure.

Objections quote the rule and never the images, so that no text of a patient gets into an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from schemas.events import SeriesContent
from streams.matching import Part, Pattern, Range, TextFilter, first_match

Orientation = Literal["axial", "coronal", "sagittal", "oblique"]

#: Marks the kinds of an expression in the path of an error; see :mod:`streams.rules_file`.
TAG: Final = "?"


class SeriesCriteria(Part):
    """What one series must be like; what is left out does not matter.

    Attributes
    ----------
    modality, sop_class
        Patterns, any of which must match the whole code or UID.
    minimum_instances, maximum_instances
        Number of images; the frames of multi-frame objects count.
    image_type
        Looked for in each value of (0008,0008), its parts joined by backslashes; a series is let through by one.
    orientation
        Of the slices; a series of several orientations, or of none that is known, has none of these.
    slice_spacing_mm, slice_thickness_mm
        Mean distance of neighbouring slices; greatest thickness.
    contrast
        Whether contrast was given (0018,0010); nothing said counts as without.
    """

    modality: tuple[Pattern, ...] = ()
    sop_class: tuple[Pattern, ...] = ()
    minimum_instances: int = Field(default=1, ge=1)
    maximum_instances: int | None = Field(default=None, ge=1)
    body_part: TextFilter = TextFilter()
    series_description: TextFilter = TextFilter()
    image_type: TextFilter = TextFilter()
    orientation: tuple[Orientation, ...] = ()
    slice_spacing_mm: Range | None = None
    slice_thickness_mm: Range | None = None
    contrast: Literal["with", "without"] | None = None

    @model_validator(mode="after")
    def _numbers_in_order(self) -> Self:
        if self.maximum_instances is not None and self.maximum_instances < self.minimum_instances:
            raise ValueError("minimum_instances may not exceed maximum_instances")
        return self

    def objections(self, series: SeriesContent) -> list[str]:
        """Every reason why a series is not meant; none when it is."""
        found = [
            self._code(self.modality, series.modality, "modality"),
            self._code(self.sop_class, series.sop_class_uid, "SOP class"),
            self._number(image_count(series)),
            self.body_part.objection(series.body_part_examined, "body part"),
            self.series_description.objection(series.series_description, "series description"),
            self._image_type(series.image_types),
            self._orientation(series.orientation),
            self.slice_spacing_mm
            and self.slice_spacing_mm.objection(series.slice_spacing_mm, "slice spacing in mm"),
            self.slice_thickness_mm
            and self.slice_thickness_mm.objection(series.slice_thickness_mm, "slice thickness in mm"),
            self._contrast(series.has_contrast),
        ]
        return [reason for reason in found if reason]

    def _code(self, patterns: tuple[str, ...], code: str | None, what: str) -> str | None:
        if not patterns:
            return None
        if not code:
            return f"{what} is missing"
        matched = first_match(patterns, (code,), whole=True) is not None
        return None if matched else f"{what} is not {' or '.join(patterns)}"

    def _number(self, images: int) -> str | None:
        if images < self.minimum_instances:
            return f"fewer than {self.minimum_instances} images"
        if self.maximum_instances is not None and images > self.maximum_instances:
            return f"more than {self.maximum_instances} images"
        return None

    def _image_type(self, values: tuple[str, ...]) -> str | None:
        objections = [self.image_type.objection(value, "image type") for value in values or (None,)]
        return None if None in objections else objections[0]

    def _orientation(self, orientation: str | None) -> str | None:
        if not self.orientation or orientation in self.orientation:
            return None
        wanted = " or ".join(self.orientation)
        return (
            f"orientation is not known, {wanted} is wanted"
            if orientation is None
            else f"orientation is not {wanted}"
        )

    def _contrast(self, given: bool | None) -> str | None:
        if self.contrast == "with" and not given:
            return "contrast was not given"
        return "contrast was given" if self.contrast == "without" and given else None

    def words(self) -> str:
        """What is asked for, for a sentence."""
        parts = []
        if self.modality:
            parts.append(f"modality {' or '.join(self.modality)}")
        if self.sop_class:
            parts.append(f"SOP class {' or '.join(self.sop_class)}")
        if self.minimum_instances > 1:
            parts.append(f"at least {self.minimum_instances} images")
        if self.maximum_instances is not None:
            parts.append(f"at most {self.maximum_instances} images")
        parts += self.body_part.words("body part")
        parts += self.series_description.words("description")
        parts += self.image_type.words("image type")
        if self.orientation:
            parts.append(" or ".join(self.orientation))
        for limits, what in ((self.slice_spacing_mm, "spacing"), (self.slice_thickness_mm, "thickness")):
            if limits is not None:
                parts.append(f"{what} of {limits.limits} mm")
        if self.contrast:
            parts.append(f"{self.contrast} contrast")
        return ", ".join(parts)


def image_count(series: SeriesContent) -> int:
    """Number of images of a series, frames of multi-frame objects included."""
    return max(len(series.sop_instance_uids), series.number_of_frames or 0)


class SeriesCondition(SeriesCriteria):
    """There is a series like this."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a condition on a series needs at least one field")
        return self

    def holds(self, series: Sequence[SeriesContent]) -> bool:
        """Whether any series is like this."""
        return any(not self.objections(one) for one in series)

    def sentence(self) -> str:
        """The condition in words."""
        return f"a series ({self.words()})"

    @property
    def may_turn_false(self) -> bool:
        """Whether one more series can make it false that holds now."""
        return False


class All(Part):
    """Every one of these holds."""

    all: tuple[Expression, ...] = Field(min_length=1)

    def holds(self, series: Sequence[SeriesContent]) -> bool:
        """Whether all parts hold."""
        return all(part.holds(series) for part in self.all)

    def sentence(self) -> str:
        """The expression in words."""
        return _joined(self.all, " and ")

    @property
    def may_turn_false(self) -> bool:
        """Whether one more series can make it false that holds now."""
        return any(part.may_turn_false for part in self.all)


class AnyOf(Part):
    """One of these holds."""

    any: tuple[Expression, ...] = Field(min_length=1)

    def holds(self, series: Sequence[SeriesContent]) -> bool:
        """Whether one part holds."""
        return any(part.holds(series) for part in self.any)

    def sentence(self) -> str:
        """The expression in words."""
        return _joined(self.any, " or ")

    @property
    def may_turn_false(self) -> bool:
        """Whether one more series can make it false that holds now."""
        return any(part.may_turn_false for part in self.any)


class Not(Part):
    """This does not hold."""

    negated: Expression = Field(alias="not")

    def holds(self, series: Sequence[SeriesContent]) -> bool:
        """Whether the part does not hold."""
        return not self.negated.holds(series)

    def sentence(self) -> str:
        """The expression in words."""
        return f"not {self.negated.sentence()}"

    @property
    def may_turn_false(self) -> bool:
        """Whether one more series can make it false that holds now."""
        return True


def _kind(value: Any) -> str:
    keys = value.keys() if isinstance(value, dict) else type(value).model_fields
    return next((TAG + key for key in ("all", "any", "not") if key in keys), TAG + "series")


def _joined(parts: Sequence[Expression], word: str) -> str:
    sentences = [part.sentence() for part in parts]
    return sentences[0] if len(sentences) == 1 else f"({word.join(sentences)})"


Expression = Annotated[
    Annotated[All, Tag("?all")]
    | Annotated[AnyOf, Tag("?any")]
    | Annotated[Not, Tag("?not")]
    | Annotated[SeriesCondition, Tag("?series")],
    Discriminator(_kind),
]

All.model_rebuild()
AnyOf.model_rebuild()
Not.model_rebuild()
