from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.dimse.acse import abort, reject, release
from producers.dimse.pdu import AbortReason, AbortSource, BadPdu, PduStream, PduType, encode

LIMIT = 4096
PDUS = st.lists(
    st.one_of(
        st.tuples(st.just(PduType.P_DATA_TF), st.binary(min_size=4, max_size=500)),
        st.tuples(st.just(PduType.ASSOCIATE_RQ), st.binary(min_size=68, max_size=500)),
        st.tuples(st.sampled_from([PduType.RELEASE_RQ, PduType.ABORT]), st.binary(min_size=4, max_size=4)),
    ),
    max_size=8,
)


@given(PDUS, st.data())
def test_any_split_gives_the_same_pdus(pdus: list[tuple[PduType, bytes]], data: st.DataObject) -> None:
    wire = b"".join(encode(kind, body) for kind, body in pdus)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    stream = PduStream(LIMIT)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += list(stream.feed(wire[start:end]))
    assert found == pdus
    assert not stream.in_the_middle


@given(st.binary(max_size=2000))
def test_garbage_is_bad_or_waits_for_more(data: bytes) -> None:
    stream = PduStream(LIMIT)
    try:
        list(stream.feed(data))
    except BadPdu as bad:
        assert bad.reason in (AbortReason.UNRECOGNIZED_PDU, AbortReason.INVALID_PARAMETER)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\x08\x00\x00\x00\x00\x04", AbortReason.UNRECOGNIZED_PDU),
        (b"\x00\x00\x00\x00\x00\x04", AbortReason.UNRECOGNIZED_PDU),
        (b"\x04\x00\x00\x00\x10\x01", AbortReason.INVALID_PARAMETER),
        (b"\x04\x00\xff\xff\xff\xff", AbortReason.INVALID_PARAMETER),
        (b"\x01\x00\x7f\xff\xff\xff", AbortReason.INVALID_PARAMETER),
        (b"\x05\x00\x00\x00\x00\x05", AbortReason.INVALID_PARAMETER),
        (b"\x07\x00\x00\x00\x00\x00", AbortReason.INVALID_PARAMETER),
    ],
)
def test_the_head_alone_is_enough_to_refuse(head: bytes, reason: AbortReason) -> None:
    with pytest.raises(BadPdu) as bad:
        list(PduStream(LIMIT).feed(head))
    assert bad.value.reason is reason


def test_short_pdus_by_the_letter() -> None:
    assert abort(AbortSource.PROVIDER, AbortReason.UNEXPECTED_PDU) == bytes.fromhex("07 00 00000004 00 00 02 02")
    assert abort(AbortSource.USER, AbortReason.UNEXPECTED_PDU) == bytes.fromhex("07 00 00000004 00 00 00 00")
    assert reject(1, 1, 7) == bytes.fromhex("03 00 00000004 00 01 01 07")
    assert release() == bytes.fromhex("06 00 00000004 00 00 00 00")


def test_a_body_stays_as_it_was_when_more_comes() -> None:
    stream = PduStream(LIMIT)
    wire = encode(PduType.P_DATA_TF, b"first" * 100)
    list(stream.feed(wire[:200]))
    ((_, body),) = stream.feed(wire[200:])
    list(stream.feed(encode(PduType.P_DATA_TF, b"other" * 100)[:-1]))
    assert stream.in_the_middle
    assert body == b"first" * 100


def test_clearing_forgets_half_a_pdu() -> None:
    stream = PduStream(LIMIT)
    list(stream.feed(encode(PduType.P_DATA_TF, b"first" * 100)[:-1]))
    stream.clear()
    assert list(stream.feed(encode(PduType.RELEASE_RQ, bytes(4)))) == [(PduType.RELEASE_RQ, bytes(4))]
