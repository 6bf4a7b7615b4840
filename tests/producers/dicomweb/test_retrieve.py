"""In which form things are sent, for the Accept fields of real clients."""

from __future__ import annotations

import pytest

from producers.dicomweb.media import parse_accept
from producers.dicomweb.retrieve import FrameForm, InstanceForm, choose_frame_form, choose_instance_form

IMPLICIT, EXPLICIT, BIG, RLE, JPEG = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
)
AS_STORED = InstanceForm("multipart")
DICOM = 'multipart/related; type="application/dicom"'


def decodes(transfer_syntax_uid: str) -> bool:
    return transfer_syntax_uid in (IMPLICIT, EXPLICIT, RLE)


@pytest.mark.parametrize(
    ("accept", "stored", "form"),
    [
        (None, [JPEG], AS_STORED),
        ("*/*", [JPEG, RLE], AS_STORED),
        (DICOM, [IMPLICIT, EXPLICIT, BIG], AS_STORED),
        (DICOM, [EXPLICIT, RLE], InstanceForm("multipart", frozenset({RLE}))),
        (DICOM, [EXPLICIT, JPEG], None),
        (f"{DICOM}; transfer-syntax=*", [EXPLICIT, JPEG], AS_STORED),
        (f"{DICOM}; transfer-syntax={JPEG}", [JPEG], AS_STORED),
        (f"{DICOM}; transfer-syntax={JPEG}", [RLE], None),
        (f"{DICOM}; transfer-syntax={EXPLICIT}", [IMPLICIT], InstanceForm("multipart", frozenset({IMPLICIT}))),
        (f"{DICOM}; transfer-syntax={JPEG}, {DICOM}; transfer-syntax={RLE}; q=0.5", [RLE], AS_STORED),
        ("multipart/related", [EXPLICIT], AS_STORED),
        ('multipart/related; type="image/jpeg"', [JPEG], None),
        ("application/dicom", [EXPLICIT], InstanceForm("single")),
        ("application/dicom", [EXPLICIT, EXPLICIT], None),
        (f"application/dicom, {DICOM}", [EXPLICIT, EXPLICIT], AS_STORED),
        ("text/html", [EXPLICIT], None),
    ],
)
def test_instances(accept: str | None, stored: list[str], form: InstanceForm | None) -> None:
    assert choose_instance_form(parse_accept(accept), stored, decodes) == form


OCTETS = 'multipart/related; type="application/octet-stream"'


@pytest.mark.parametrize(
    ("accept", "stored", "form"),
    [
        (None, JPEG, FrameForm("image/jpeg", JPEG)),
        ('multipart/related; type="*/*"', RLE, FrameForm("image/dicom-rle", RLE)),
        (OCTETS, EXPLICIT, FrameForm("application/octet-stream", EXPLICIT)),
        (OCTETS, IMPLICIT, FrameForm("application/octet-stream", IMPLICIT)),
        (OCTETS, RLE, FrameForm("application/octet-stream", EXPLICIT, decoded=True)),
        (OCTETS, JPEG, None),
        ('multipart/related; type="image/jpeg"', JPEG, FrameForm("image/jpeg", JPEG)),
        (f'multipart/related; type="image/jpeg"; transfer-syntax={RLE}', JPEG, None),
        ('multipart/related; type="image/jp2"', JPEG, None),
        ("image/jpeg", JPEG, None),
    ],
)
def test_frames(accept: str | None, stored: str, form: FrameForm | None) -> None:
    assert choose_frame_form(parse_accept(accept), stored, decodes) == form
