"""Masks on the source images → locations as events carry them: points in the patient, boxes on images."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from engines.volume import Volume
from schemas.events import Location, LocationKind

#: Boxes of one finding; the largest components get them.
MOST_BOXES: Final = 10


def frame_of_reference(volume: Volume) -> str | None:
    """UID of the space of the patient that coordinates are in, if the images have one."""
    return str(volume.frames[0].value("FrameOfReferenceUID") or "") or None


def point_in_patient(volume: Volume, voxel: tuple[float, float, float]) -> tuple[float, float, float]:
    """Patient coordinates in mm of (slice, row, column), whose whole numbers are centres of voxels."""
    x, y, z, _ = volume.geometry @ np.array([*voxel, 1.0])
    return (round(float(x), 3), round(float(y), 3), round(float(z), 3))


def centre_location(volume: Volume, mask: NDArray[np.bool_]) -> tuple[Location, ...]:
    """Voxel of the mask that is nearest to its centre of mass, as a point in the patient or on its image."""
    voxels = np.argwhere(mask)
    if not len(voxels):
        return ()
    nearest = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
    slice_, row, column = (int(value) for value in nearest)
    space = frame_of_reference(volume)
    if volume.affine is not None and space is not None:
        point = point_in_patient(volume, (slice_, row, column))
        return (Location(LocationKind.POINT_3D, point, frame_of_reference_uid=space),)
    return (on_image(volume, LocationKind.POINT, slice_, (column + 0.5, row + 0.5)),)


def box_locations(volume: Volume, mask: NDArray[np.bool_]) -> tuple[Location, ...]:
    """Box around each of the largest connected components, on the image that shows most of it."""
    labels, count = ndimage.label(mask)
    if not count:
        return ()
    sizes = np.bincount(labels.ravel())[1:]
    found = []
    boxes = ndimage.find_objects(labels)
    for label in np.argsort(-sizes, kind="stable")[:MOST_BOXES].tolist():
        box = boxes[label]
        part = labels[box] == label + 1
        index = int(part.sum(axis=(1, 2)).argmax())
        rows, columns = np.flatnonzero(part[index].any(axis=1)), np.flatnonzero(part[index].any(axis=0))
        top, left = box[1].start, box[2].start
        corners = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
        found.append(
            on_image(volume, LocationKind.BOX, box[0].start + index, tuple(float(value) for value in corners))
        )
    return tuple(found)


def on_image(volume: Volume, kind: LocationKind, index: int, points: tuple[float, ...]) -> Location:
    """Location on a frame; points are column, row, with (0, 0) the outer corner of the first pixel."""
    frame = volume.frames[index]
    return Location(kind, points, frame.sop_instance_uid, frame.number)
