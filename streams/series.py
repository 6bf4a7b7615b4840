"""Instances of one series, in any order and however often → what the series holds. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Final

from schemas.errors import InvalidMessage
from schemas.events import InstanceStored, SeriesContent, SeriesGeometry
from streams import geometry
from streams.sop_classes import is_image

#: More than (0028,0008) Number of Frames, an IS, can say of one image; a sum has no other end.
_MOST_FRAMES: Final = 2**31 - 1

#: What one study may hold: its record and its revisions have to fit one message each.
MOST_INSTANCES: Final = 50_000
MOST_SERIES: Final = 5_000
#: Values of (0008,0008) that are told of a series; the first ones by their letters.
MOST_IMAGE_TYPES: Final = 20


class Series:
    """What is known of one series.

    Attributes
    ----------
    active
        Monotonic seconds of the last instance that was new.
    considered
        Whether it has been looked at since then as something that could start before its study is complete.
    """

    def __init__(self) -> None:
        self.instances: set[str] = set()
        self.modality: str | None = None
        self.sop_class_uid = ""
        self.body_part: str | None = None
        self.active = 0.0
        self.considered = False
        self._description: str | None = None
        self._orientation: str | None = None
        self._places: set[int] = set()
        self._thickness_mm: float | None = None
        self._has_contrast: bool | None = None
        self._image_types: set[str] = set()
        self._frames: int | None = None

    @classmethod
    def restore(cls, content: SeriesContent, shape: SeriesGeometry | None, active: float) -> Series:
        """Series of a changelog record, also of one that knew nothing of geometry."""
        series = cls()
        series.active = active
        series.instances = set(content.sop_instance_uids)
        series.modality, series.sop_class_uid = content.modality, content.sop_class_uid
        series.body_part, series._description = content.body_part_examined, content.series_description
        series._orientation, series._thickness_mm = content.orientation, content.slice_thickness_mm
        series._has_contrast, series._frames = content.has_contrast, content.number_of_frames
        series._image_types = set(content.image_types)
        series._places = set() if shape is None else set(shape.positions)
        return series

    @property
    def is_image(self) -> bool:
        """Whether it holds images."""
        return is_image(self.sop_class_uid)

    def add(self, instance: InstanceStored, now: float) -> None:
        """Take in an instance that is new, or whose content is."""
        is_new = instance.sop_instance_uid not in self.instances
        self.instances.add(instance.sop_instance_uid)
        self.active, self.considered = now, False
        self.modality = either(self.modality, instance.modality)
        self._description = either(self._description, instance.series_description)
        self.body_part = either(self.body_part, instance.body_part_examined)
        self.sop_class_uid = min(
            filter(None, (self.sop_class_uid, instance.sop_class_uid)),
            key=lambda uid: (not is_image(uid), uid),
            default="",
        )
        if instance.image_type and instance.image_type not in self._image_types:
            self._image_types = set(sorted(self._image_types | {instance.image_type})[:MOST_IMAGE_TYPES])
        if instance.has_contrast is not None:
            self._has_contrast = bool(self._has_contrast) or instance.has_contrast
        if instance.number_of_frames is not None and is_new:
            self._frames = min((self._frames or 0) + max(instance.number_of_frames, 0), _MOST_FRAMES)
        thickness = instance.slice_thickness_mm
        if thickness is not None and math.isfinite(thickness) and thickness > 0:
            self._thickness_mm = max(self._thickness_mm or 0.0, thickness)
        self._place(instance)

    def _place(self, instance: InstanceStored) -> None:
        normal = geometry.normal_of(instance.image_orientation)
        if normal is None:
            return
        name = geometry.orientation_name(normal)
        self._orientation = name if self._orientation in (None, name) else geometry.MIXED
        place = geometry.place_along(normal, instance.image_position)
        if place is not None:
            self._places.add(place)

    def content(self, uid: str) -> SeriesContent:
        """What the series holds now."""
        # places along different normals say nothing about each other
        places = () if self._orientation == geometry.MIXED else self._places
        return SeriesContent(
            series_instance_uid=uid,
            modality=self.modality,
            sop_class_uid=self.sop_class_uid,
            series_description=self._description,
            body_part_examined=self.body_part,
            sop_instance_uids=tuple(sorted(self.instances)),
            orientation=self._orientation,
            slice_spacing_mm=geometry.spacing_mm(places),
            slice_thickness_mm=self._thickness_mm,
            has_contrast=self._has_contrast,
            image_types=tuple(sorted(self._image_types)),
            position_range_mm=geometry.range_mm(places),
            number_of_frames=self._frames,
        )

    def shape(self, uid: str) -> SeriesGeometry | None:
        """What a changelog must keep beside the content; ``None`` when that is nothing."""
        return SeriesGeometry(uid, tuple(sorted(self._places))) if self._places else None


def require_room(study: Mapping[str, Series], count: int, instance: InstanceStored) -> None:
    """Make sure that a study, its series by their UIDs and the number of its instances, has room for one.

    Raises
    ------
    InvalidMessage
        It would be larger than can be told of: no change of it could be written any more.
    """
    series = study.get(instance.series_instance_uid)
    if series is not None and instance.sop_instance_uid in series.instances:
        return
    if series is None and len(study) >= MOST_SERIES:
        raise InvalidMessage(f"the study has {MOST_SERIES} series already, and no room for another: {_REMEDY}")
    if count >= MOST_INSTANCES:
        raise InvalidMessage(f"the study has {MOST_INSTANCES} images already, and no room for another: {_REMEDY}")


_REMEDY: Final = "see whether its sender gives one Study Instance UID to many studies"


def content_id(*series: SeriesContent) -> str:
    """The same for the same images of the same series, whatever else is known of them."""
    images = [one for one in series if is_image(one.sop_class_uid)]
    uids = [uid for one in images for uid in (one.series_instance_uid, *one.sop_instance_uids)]
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()


def either(one: str | None, other: str | None) -> str | None:
    """The text that is there; of two, the lower, so that the order of arrival does not matter."""
    return min(filter(None, (one, other)), default=None)
