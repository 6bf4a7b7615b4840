"""Head CT made of numbers: skull, brain, ventricles, calcium, noise, and lesions whose volume is known.

Everything is drawn in millimetres in patient coordinates (LPS, the middle of the head at 0), sampled several times
over the thickness of a slice, blurred as by a scanner, and given noise. Guarantee: the same seed is the same head.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from scipy import ndimage

from engines.base import Volume32
from schemas import ids
from tests.engines.models.distractors import Shape

AIR, SCALP, BONE, FLUID, GREY, WHITE, FALX = -1000.0, 50.0, 1100.0, 7.0, 38.0, 29.0, 55.0
#: Half axes of the space within the skull: left-right, front-back, up, down.
INNER_MM: Final = (66.0, 82.0, 76.0, 58.0)
SKULL_MM: Final = 7.0
SCALP_MM: Final = 6.0
#: Radius of the foramen magnum, and where it is.
FORAMEN_MM: Final = 16.0
FORAMEN_Y_MM: Final = 28.0

_Grid = tuple[Volume32, Volume32, Volume32]


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid, or with ``crescent`` what of it lies within that distance of the skull."""

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    hu: float
    crescent_mm: float | None = None


@dataclass(frozen=True)
class Head:
    """What a phantom shows."""

    seed: int
    lesions: tuple[Lesion, ...] = ()
    calcium: tuple[Lesion, ...] = ()
    noise_hu: float = 4.0
    hardening_hu: float = 4.0
    turned_degrees: float = 0.0
    rows: int = 256
    pixel_mm: float = 0.9
    slice_mm: float = 5.0
    slices: int = 29
    lowest_mm: float = -62.0
    #: Standard deviation of the reconstruction's blur.
    blur_mm: float = 0.6
    distractors: tuple[Shape, ...] = ()


@dataclass(frozen=True)
class Phantom:
    """HU of shape (slices, rows, columns), lowest slice first, and the truth."""

    head: Head
    hu: Volume32
    lesion: Volume32 = field(repr=False)

    @property
    def volume_ml(self) -> float:
        """Volume of the lesions."""
        voxel_ml = self.head.pixel_mm**2 * self.head.slice_mm / 1000
        return float(self.lesion.sum(dtype=np.float64)) * voxel_ml


def phantom(head: Head, samples: int = 3) -> Phantom:
    """Draw a head."""
    half = (head.rows - 1) / 2
    line = ((np.arange(head.rows) - half) * head.pixel_mm).astype(np.float32)
    hu = np.empty((head.slices, head.rows, head.rows), np.float32)
    lesion = np.empty_like(hu)
    angle = np.radians(head.turned_degrees)
    y, x = np.meshgrid(line, line, indexing="ij")
    x, y = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    for index in range(head.slices):
        middle = head.lowest_mm + index * head.slice_mm
        heights = middle + head.slice_mm * ((np.arange(samples) + 0.5) / samples - 0.5)
        z = np.broadcast_to(heights.astype(np.float32)[:, None, None], (samples, *x.shape))
        values, truth = _draw(head, (x[None], y[None], z))
        hu[index], lesion[index] = values.mean(axis=0), truth.mean(axis=0)
    blur = head.blur_mm / head.pixel_mm
    hu = ndimage.gaussian_filter(hu, (0, blur, blur), output=np.float32)
    return Phantom(head, hu + _noise(head, hu.shape), lesion)


def _draw(head: Head, at: _Grid) -> tuple[Volume32, Volume32]:
    x, y, z = at
    inner = _within(at, 0)
    hu = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), AIR, np.float32)
    hu[_within_head(at)] = SCALP
    bone = (_within(at, SKULL_MM) < 1) & (inner >= 1)
    foramen = (np.hypot(x, y - FORAMEN_Y_MM) < FORAMEN_MM) & (z < -20)
    hu[bone & ~foramen] = BONE
    hu[(inner < 1) | (foramen & (z > -90))] = FLUID
    depth = (1 - np.sqrt(inner)) * 70  # about the distance from the bone, in mm
    brain = depth > 3
    hu[brain] = GREY
    hu[depth > 10] = WHITE
    hu[(np.hypot(np.abs(x) - 12, (y + 2) / 2.4) < 9) & (np.abs(z - 10) < 12) & brain] = FLUID
    hu[(np.abs(x) < 2.5) & (np.abs(y) < 14) & (np.abs(z - 2) < 12)] = FLUID
    hu[(np.hypot(x, y - FORAMEN_Y_MM) < 12) & (z < -30)] = WHITE  # brain stem
    hu[(np.abs(x) < 0.8) & (z > 15) & (inner < 1)] = FALX
    petrous = (np.abs(np.abs(x) - 38) < 20) & (np.abs(y - 12) < 6) & (z < -32) & (inner < 1)
    hu[petrous] = BONE * 0.8
    for sign in (-1, 1):  # orbits, and the air of the paranasal sinuses
        hu[_ellipsoid(at, (sign * 32.0, -82.0, -38.0), (15.0, 15.0, 15.0))] = -80
        hu[_ellipsoid(at, (sign * 32.0, -84.0, -38.0), (12.0, 12.0, 12.0))] = 12
    hu[_ellipsoid(at, (0.0, -84.0, -42.0), (14.0, 9.0, 14.0))] = AIR
    room = (inner < 1) & (hu < 300)
    hu += np.where(room, head.hardening_hu * np.exp(-np.maximum(depth, 0) / 8), 0).astype(np.float32)
    for shape in head.distractors:
        shape.paint(hu, at, room)
    truth = np.zeros_like(hu)
    for lesion in head.lesions:
        filled = _ellipsoid(at, lesion.centre_mm, lesion.radii_mm) & room
        if lesion.crescent_mm is not None:
            filled &= depth < lesion.crescent_mm
        hu[filled] = lesion.hu
        truth[filled] = 1
    for spot in head.calcium:
        hu[_ellipsoid(at, spot.centre_mm, spot.radii_mm) & room] = spot.hu
    return hu, truth


def _within(at: _Grid, margin_mm: float) -> Volume32:
    """Below 1 within the space of the skull, made wider by a margin."""
    x, y, z = at
    wide, long, up, down = (half + margin_mm for half in INNER_MM)
    found: Volume32 = (x / wide) ** 2 + (y / long) ** 2 + (z / np.where(z > 0, up, down)) ** 2
    return found


def _within_head(at: _Grid) -> NDArray[np.bool_]:
    """Skin: the skull's shape above, a cylinder below."""
    x, y, z = at
    margin = SKULL_MM + SCALP_MM
    found: NDArray[np.bool_] = _within((x, y, np.maximum(z, 0)), margin) < 1
    return found


def _ellipsoid(
    at: _Grid, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> NDArray[np.bool_]:
    height = (at[2] - centre[2]) / radii[2]
    if np.abs(height).min() >= 1:
        return np.zeros(np.broadcast_shapes(*(axis.shape for axis in at)), np.bool_)
    x, y, z = ((axis - middle) / radius for axis, middle, radius in zip(at, centre, radii, strict=True))
    found: NDArray[np.bool_] = x**2 + y**2 + z**2 < 1
    return found


def _noise(head: Head, shape: tuple[int, ...]) -> Volume32:
    """Noise of neighbouring pixels is alike, as after reconstruction."""
    white = np.random.default_rng(head.seed).standard_normal(shape, np.float32)
    smooth = ndimage.gaussian_filter(white, (0, 0.6, 0.6), output=np.float32)
    made: Volume32 = smooth * np.float32(head.noise_hu / smooth.std())
    return made


def random_head(seed: int, with_lesion: bool) -> Head:
    """A head of a population: other calcium, noise, beam hardening and position for each; at most two lesions."""
    draw = np.random.default_rng(seed)
    calcium = [
        Lesion((float(draw.normal(0, 1)), 18.0, 4.0), (radius, radius, radius), float(draw.uniform(130, 400)))
        for radius in draw.uniform(1.5, 3.5, draw.integers(0, 2))
    ]
    calcium += [
        Lesion((float(sign * draw.normal(16, 2)), 24.0, 8.0), (r, r, r * 1.5), float(draw.uniform(120, 300)))
        for sign in (-1, 1)
        for r in draw.uniform(1.5, 4.0, draw.integers(0, 2))
    ]
    lesions = tuple(_random_lesion(draw) for _ in range(int(draw.integers(1, 3)) if with_lesion else 0))
    return Head(
        seed,
        lesions,
        tuple(calcium),
        noise_hu=float(draw.uniform(2.5, 7.0)),
        hardening_hu=float(draw.uniform(0, 7)),
        turned_degrees=float(draw.uniform(-12, 12)),
    )


def _random_lesion(draw: np.random.Generator) -> Lesion:
    hu = float(draw.uniform(58, 80))
    if draw.random() < 0.3:  # along the skull
        side, height = draw.choice([-1.0, 1.0]), float(draw.uniform(5, 35))
        return Lesion(
            (side * 58.0, float(draw.uniform(-30, 30)), height),
            (30.0, float(draw.uniform(25, 45)), float(draw.uniform(15, 30))),
            hu,
            float(draw.uniform(7, 14)),
        )
    radius = float(np.exp(draw.uniform(np.log(5), np.log(22))))  # as many small ones as large ones
    ratios = draw.uniform(0.75, 1.3, 2)
    radii = (radius, radius * float(ratios[0]), radius * float(ratios[1]))
    direction = draw.normal(size=3)
    away = direction / np.linalg.norm(direction) * draw.uniform(0, 0.5)
    centre = tuple(float(part * half) for part, half in zip(away, INNER_MM[:3], strict=True))
    return Lesion((centre[0], centre[1], max(centre[2], -18.0)), radii, hu)


def series(made: Phantom, name: str) -> list[Dataset]:
    """A phantom as CT images (PS3.3 A.3): unsigned 12 bits with an intercept of -1024."""
    head = made.head
    corner = -(head.rows - 1) / 2 * head.pixel_mm
    images = []
    for index, plane in enumerate(made.hu):
        image = Dataset()
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = ids.dicom_uid("image", name, index)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta = meta
        image.SpecificCharacterSet = "ISO_IR 192"
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        image.StudyInstanceUID = ids.dicom_uid("study", name)
        image.SeriesInstanceUID = ids.dicom_uid("series", name)
        image.FrameOfReferenceUID = ids.dicom_uid("frame", name)
        image.PatientName, image.PatientID = "Sample^Head", f"P-{name}"[:64]
        image.PatientBirthDate, image.PatientSex = "19600101", "O"
        image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20261122"
        image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "093000"
        image.StudyID, image.AccessionNumber, image.ReferringPhysicianName = "1", f"A-{name}"[:16], ""
        image.StudyDescription, image.SeriesDescription = "CT head", "Head 5 mm soft tissue"
        image.Modality, image.Manufacturer, image.BodyPartExamined = "CT", "Numbers", "HEAD"
        image.PatientPosition, image.PositionReferenceIndicator = "HFS", ""
        image.SeriesNumber, image.AcquisitionNumber, image.InstanceNumber = 2, 1, index + 1
        image.KVP, image.ConvolutionKernel = 120, "H30"
        image.SliceThickness = head.slice_mm
        image.PixelSpacing = [head.pixel_mm, head.pixel_mm]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        place = (corner, corner, head.lowest_mm + index * head.slice_mm)
        image.ImagePositionPatient = [round(value, 4) for value in place]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.Rows, image.Columns = plane.shape
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
        image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
        stored = np.clip(np.rint(plane) + 1024, 0, 4095).astype("<u2")
        image.PixelData = stored.tobytes()
        images.append(image)
    return images
