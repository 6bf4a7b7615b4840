"""Data sets of strangers: whatever the bytes are, they are understood or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from producers.dimse import availability, commitment, procedure_step
from producers.dimse.data_sets import TRANSFER_SYNTAXES, Refusal, _read, decode, encode
from tests.producers.store.data import image

UNDERSTAND = (
    commitment.asked_for,
    availability.understand,
    lambda attributes: procedure_step.created("1.2.3", attributes),
)


def answered(data: bytes, syntax: str) -> None:
    for understand in UNDERSTAND:
        with pytest.raises(Refusal) as refused:
            _read(data, syntax, understand, 0x0115)
        assert refused.value.status in (0x0106, 0x0115, 0x0120, 0x0121, 0x0213)
        assert "SECRET" not in refused.value.sentence


@given(st.binary(max_size=200), st.sampled_from(TRANSFER_SYNTAXES))
def test_random_bytes(data: bytes, syntax: str) -> None:
    answered(data, syntax)


@given(st.integers(0, 400), st.binary(max_size=8), st.sampled_from(TRANSFER_SYNTAXES))
def test_a_damaged_data_set(place: int, damage: bytes, syntax: str) -> None:
    whole = encode(image(), syntax)
    answered(whole[:place] + damage + whole[place + len(damage) :], syntax)


def test_sequences_without_end() -> None:
    answered(b"\x08\x00\x99\x11\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 20_000, "1.2.840.10008.1.2")


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_attributes_survive_every_transfer_syntax(syntax: str) -> None:
    data, item = Dataset(), Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    data.SpecificCharacterSet, data.StudyDescription = "ISO_IR 192", "Голова"
    data.ReferencedSOPSequence = [item]
    again = decode(encode(data, syntax), syntax)
    assert again.StudyDescription == "Голова"
    assert again.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3"
