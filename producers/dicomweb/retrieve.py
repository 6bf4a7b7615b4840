"""``Accept`` → in which form instances and frames are sent (PS3.18 8.7.3 and 10.4). Pure.

Without a ``transfer-syntax`` parameter the default is Explicit VR Little Endian; uncompressed objects are sent as
they are stored. ``transfer-syntax=*`` takes everything as it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from producers.dicomweb.frames import media_type_of
from producers.dicomweb.image_files import RENDERED_TYPES
from producers.dicomweb.media import DICOM, DICOM_JSON, DICOM_XML, JSON, MULTIPART_RELATED, OCTET_STREAM, MediaType
from producers.store.transcode import EXPLICIT_LITTLE, UNCOMPRESSED

CanDecode = Callable[[str], bool]


@dataclass(frozen=True)
class InstanceForm:
    """How instances are sent: wrapped in multipart or alone, and which are decoded first."""

    wrapping: Literal["multipart", "single"]
    decoded: frozenset[str] = frozenset()


def choose_instance_form(
    accepted: Iterable[MediaType], transfer_syntaxes: Sequence[str], can_decode: CanDecode
) -> InstanceForm | None:
    """Form in which all instances of these transfer syntaxes are sent; ``None`` when no range allows one.

    Parameters
    ----------
    accepted
        Media ranges, best first.
    transfer_syntaxes
        Of each instance to send.
    can_decode
        Whether a transfer syntax can be turned into Explicit VR Little Endian here.
    """
    for media_range in accepted:
        wrapping = _wrapping(media_range, len(transfer_syntaxes))
        if wrapping is None:
            continue
        wanted = media_range.parameters.get("transfer-syntax")
        if media_range.name == "*/*":
            wanted = "*"
        changed = frozenset(uid for uid in transfer_syntaxes if not _as_stored(uid, wanted))
        if not changed:
            return InstanceForm(wrapping)
        if wanted in (None, EXPLICIT_LITTLE) and all(can_decode(uid) for uid in changed):
            return InstanceForm(wrapping, changed)
    return None


def _wrapping(media_range: MediaType, count: int) -> Literal["multipart", "single"] | None:
    if media_range.matches(MULTIPART_RELATED) and media_range.parameters.get("type", DICOM) in (
        DICOM,
        "application/*",
        "*/*",
    ):
        return "multipart"
    return "single" if media_range.name == DICOM and count == 1 else None


def _as_stored(transfer_syntax_uid: str, wanted: str | None) -> bool:
    if wanted is None:
        return transfer_syntax_uid in UNCOMPRESSED
    return wanted in ("*", transfer_syntax_uid)


@dataclass(frozen=True)
class FrameForm:
    """How frames are sent.

    Attributes
    ----------
    media_type, transfer_syntax_uid
        Of each frame.
    decoded
        Whether they are decoded for it.
    alone
        Whether the one frame is the response, without multipart.
    """

    media_type: str
    transfer_syntax_uid: str
    decoded: bool = False
    alone: bool = False

    @property
    def content_type(self) -> str:
        """``Content-Type`` of one frame."""
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax_uid}"


def choose_frame_form(
    accepted: Iterable[MediaType], transfer_syntax_uid: str, can_decode: CanDecode, *, one: bool = False
) -> FrameForm | None:
    """Form in which the frames of an instance are sent; ``None`` when no range allows one.

    Parameters
    ----------
    accepted
        Media ranges, best first.
    transfer_syntax_uid
        In which they are stored.
    can_decode
        Whether a transfer syntax can be decoded here.
    one
        Whether there is one frame only, which may stand alone where its very type is asked for.
    """
    stored = media_type_of(transfer_syntax_uid)
    for media_range in accepted:
        alone = one and media_range.name != "*/*" and not media_range.matches(MULTIPART_RELATED)
        if not alone and not media_range.matches(MULTIPART_RELATED):
            continue
        inner = media_range if alone else MediaType(media_range.parameters.get("type", "*/*").lower())
        wanted = media_range.parameters.get("transfer-syntax", "*")
        if inner.matches(stored) and wanted in ("*", transfer_syntax_uid):
            return FrameForm(stored, transfer_syntax_uid, alone=alone)
        if inner.matches(OCTET_STREAM) and wanted in ("*", EXPLICIT_LITTLE) and can_decode(transfer_syntax_uid):
            return FrameForm(OCTET_STREAM, EXPLICIT_LITTLE, decoded=stored != OCTET_STREAM, alone=alone)
    return None


def choose_data_set_form(accepted: Iterable[MediaType]) -> str | None:
    """Media type in which data sets are sent: one of the two of JSON, or XML in parts; ``None`` when none is."""
    for media_range in accepted:
        json = next((name for name in (DICOM_JSON, JSON) if media_range.matches(name)), None)
        if json is not None:
            return json
        inner = MediaType(media_range.parameters.get("type", "*/*").lower())
        if media_range.matches(MULTIPART_RELATED) and inner.matches(DICOM_XML):
            return DICOM_XML
    return None


def choose_bulk_form(accepted: Iterable[MediaType]) -> Literal["multipart", "single"] | None:
    """How bulk data is sent; ``None`` when no range allows it."""
    for media_range in accepted:
        inner = MediaType(media_range.parameters.get("type", "*/*").lower())
        if media_range.matches(MULTIPART_RELATED) and inner.matches(OCTET_STREAM):
            return "multipart"
        if media_range.matches(OCTET_STREAM):
            return "single"
    return None


@dataclass(frozen=True)
class RenderedForm:
    """How rendered images are sent: their media type, alone or as parts."""

    media_type: str
    multipart: bool


def choose_rendered_form(accepted: Iterable[MediaType], *, one: bool) -> RenderedForm | None:
    """Form in which images are sent; ``None`` when no range allows one.

    Parameters
    ----------
    accepted
        Media ranges, best first.
    one
        Whether there is one image only, which may stand alone.
    """
    for media_range in accepted:
        alone = next((name for name in RENDERED_TYPES if media_range.matches(name)), None)
        if alone is not None and one:
            return RenderedForm(alone, multipart=False)
        if not media_range.matches(MULTIPART_RELATED):
            continue
        inner = MediaType(media_range.parameters.get("type", "*/*").lower())
        within = next((name for name in RENDERED_TYPES if inner.matches(name)), None)
        if within is not None:
            return RenderedForm(within, multipart=True)
    return None
