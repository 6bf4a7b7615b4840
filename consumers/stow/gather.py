"""A result's claim checks → the material that DICOM objects are made of: headers, arrays, and pixels when needed.

Guarantee: material belongs to exactly the instances that the result names. What the gateway holds no more does not
come back by waiting, so such a result is refused at once, and what is missing is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

from pydicom import Dataset

from consumers.destination import from_source
from consumers.dicom.material import Heatmap, Material
from consumers.dicom.plan import ObjectKind, Plan
from consumers.dicom.source import prepare
from producers.artifacts import (
    HEATMAP_MEDIA_TYPE,
    MASK_MEDIA_TYPE,
    PROBABILITY_MEDIA_TYPE,
    unpack_heatmap,
    unpack_mask,
    unpack_probability,
)
from producers.claim_check import NotHeld
from schemas.errors import DestinationUnavailable, InvalidMessage, TransientFailure
from schemas.events import Artifact, InferenceResult

MASK: Final = "mask"
PROBABILITY: Final = "probability"
HEATMAP: Final = "heatmap"

#: Images with pixels that are kept while one result is rendered: several objects are drawn on the same few.
_KEPT_IMAGES: Final = 4

T = TypeVar("T")


class Source(Protocol):
    """Where headers, images and arrays come from; see :class:`producers.claim_check.ClaimCheck`."""

    def fetch_headers(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        """Headers, without pixels, of these instances."""
        ...

    def fetch_series(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        """These instances with their pixels."""
        ...

    def get_artifact(self, artifact: Artifact) -> bytes:
        """Verified bytes of an artifact."""
        ...


def gather(result: InferenceResult, source: Source, plan: Plan) -> Material:
    """Material of a result, as far as a plan needs it.

    Parameters
    ----------
    result
        Outcome ``FINDINGS`` or ``NO_FINDINGS``.
    source
        Asked for headers and arrays now, and for pixels when they are needed.
    plan
        Probabilities and heatmaps are large, and fetched only for the objects that hold them.

    Raises
    ------
    InvalidMessage
        The gateway holds an instance or array no more, or one is packed in a way that is not known here.
    SourceUnavailable
        The gateway is away.
    TransientFailure
        What it sent cannot be read, or an array lies at another host, which is away.
    """
    with _held():
        headers = source.fetch_headers(result.retrieve_url, result.series_instance_uid, result.sop_instance_uids)
        masks = _unpacked(result, source, MASK, MASK_MEDIA_TYPE, unpack_mask)
        probabilities = (
            _unpacked(result, source, PROBABILITY, PROBABILITY_MEDIA_TYPE, unpack_probability)
            if ObjectKind.FRACTIONAL in plan.kinds
            else []
        )
        heatmaps = _heatmaps(result, source) if ObjectKind.PM in plan.kinds else []

    @lru_cache(_KEPT_IMAGES)
    def image(sop_instance_uid: str) -> Dataset:
        with _held():
            (found,) = source.fetch_series(result.retrieve_url, result.series_instance_uid, (sop_instance_uid,))
        return found

    return Material(prepare(result, headers), image, masks, probabilities, heatmaps)


def _heatmaps(result: InferenceResult, source: Source) -> list[Heatmap]:
    volumes = _unpacked(result, source, HEATMAP, HEATMAP_MEDIA_TYPE, unpack_heatmap)
    made = []
    for artifact, values in zip(_of_kind(result, HEATMAP), volumes, strict=True):
        if artifact.quantity is None or artifact.unit is None:
            raise InvalidMessage(
                "a heatmap of the result does not say what its numbers are: correct the model's manifest"
            )
        made.append(Heatmap(values, artifact.quantity, artifact.unit))
    return made


def _unpacked(
    result: InferenceResult,
    source: Source,
    kind: str,
    media_type: str,
    unpack: Callable[[bytes, tuple[int, ...]], T],
) -> list[T]:
    artifacts = _of_kind(result, kind)
    for artifact in artifacts:
        if artifact.media_type != media_type or len(artifact.shape) != 3:
            raise InvalidMessage(
                f"a {kind} of media type {artifact.media_type} and shape {artifact.shape} cannot be read: "
                "update this writer to the release of the worker"
            )
    return [unpack(_bytes_of(artifact, result, source), artifact.shape) for artifact in artifacts]


def _bytes_of(artifact: Artifact, result: InferenceResult, source: Source) -> bytes:
    """Bytes of an artifact; the gateway of the images is not away because another host is that this one names."""
    try:
        return source.get_artifact(artifact)
    except DestinationUnavailable as error:
        if urlsplit(artifact.retrieve_url).netloc == urlsplit(result.retrieve_url).netloc:
            raise
        raise TransientFailure(
            f"{error}; a {artifact.kind} of the result lies there, and its images do not"
        ) from error


def _of_kind(result: InferenceResult, kind: str) -> list[Artifact]:
    return [artifact for artifact in result.artifacts if artifact.kind == kind]


@contextmanager
def _held() -> Iterator[None]:
    """Calls to the gateway; what it holds no more is no reason to wait."""
    with from_source():
        try:
            yield
        except NotHeld as error:
            raise InvalidMessage(f"{error}; the result is about what is gone, so run the model again") from error
