from __future__ import annotations

from io import BytesIO

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.store import FileMeta, Refused, encode_header, split
from tests.producers.store.data import EXPLICIT, MR, encoded, image

META = FileMeta(EXPLICIT, MR, "1.2.3.4", "SENDER", "SCANSTREAM")


def test_pydicom_reads_what_we_write() -> None:
    ds = pydicom.dcmread(BytesIO(encode_header(META) + encoded(image())))
    assert ds.file_meta.TransferSyntaxUID == EXPLICIT
    assert ds.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert ds.file_meta.SendingApplicationEntityTitle == "SENDER"
    assert ds.SOPInstanceUID == "1.2.3.4"


def test_round_trip() -> None:
    header = encode_header(META)
    assert split(header + b"data set") == (META, len(header))
    bare = FileMeta(EXPLICIT, MR, "1.2")
    assert split(encode_header(bare)) == (bare, len(encode_header(bare)))


def test_wrong_group_length_does_not_matter() -> None:
    header = bytearray(encode_header(META))
    header[140:144] = (9999).to_bytes(4, "little")
    assert split(bytes(header)) == (META, len(header))


@given(st.binary(max_size=400))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        split(data)
    with pytest.raises(Refused):
        split(bytes(128) + b"DICM" + data)
