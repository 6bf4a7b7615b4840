from __future__ import annotations

import contextlib
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    UserIdentityNegotiation,
)

from producers.dimse.acse import AssociationRequest, decode_request, encode_accept
from producers.dimse.items import MAX_ITEMS
from producers.dimse.negotiation import Acceptance, Policy, Rejection, negotiate
from producers.dimse.pdu import HEADER, BadPdu
from producers.dimse.storage import STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES
from producers.dimse.user_information import Role, Window
from tests.producers.dimse.peer import EXPLICIT, MR, VERIFICATION, request

#: Length of what comes before the items.
FIXED = 68
JPEG2000 = "1.2.840.10008.1.2.4.90"
POLICY = Policy(
    "SCANSTREAM",
    False,
    {VERIFICATION: frozenset({EXPLICIT})} | dict.fromkeys(STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES),
)


def decoded(pdu: bytes) -> AssociationRequest:
    return decode_request(pdu[HEADER.size :])


def test_reads_what_pynetdicom_writes() -> None:
    found = decoded(request([(VERIFICATION, [EXPLICIT]), (MR, [JPEG2000, EXPLICIT])], "OTHER", 4096))
    assert (found.calling_ae_title, found.called_ae_title, found.user.max_length) == ("PEER", "OTHER", 4096)
    assert [context.context_id for context in found.contexts] == [1, 3]
    assert found.contexts[1].abstract_syntax == MR
    assert found.contexts[1].transfer_syntaxes == (JPEG2000, EXPLICIT)


def test_each_context_gets_its_own_answer_and_pynetdicom_reads_it() -> None:
    asked = decoded(
        request([(VERIFICATION, [EXPLICIT]), (MR, ["1.2.3", JPEG2000]), (MR, ["1.2.3"]), ("1.2.4", [EXPLICIT])])
    )
    answer = negotiate(asked, POLICY)
    assert isinstance(answer, Acceptance)
    assert {number: context.transfer_syntax for number, context in answer.contexts.items()} == {
        1: EXPLICIT,
        3: JPEG2000,
    }
    pdu = A_ASSOCIATE_AC()
    pdu.decode(encode_accept(asked, answer.answers, answer.user, 65536))
    assert [(context.context_id, context.result) for context in pdu.presentation_context] == [
        (1, 0),
        (3, 0),
        (5, 4),
        (7, 3),
    ]
    assert pdu.presentation_context[1].transfer_syntax == JPEG2000
    assert pdu.user_information.maximum_length == 65536
    assert pdu.application_context_name == "1.2.840.10008.3.1.1.1"


def test_the_senders_order_of_transfer_syntaxes_decides() -> None:
    for order in ([JPEG2000, EXPLICIT], [EXPLICIT, JPEG2000]):
        answer = negotiate(decoded(request([(MR, order)])), POLICY)
        assert isinstance(answer, Acceptance)
        assert answer.contexts[1].transfer_syntax == order[0]


def test_role_selection_is_answered_for_what_we_offer() -> None:
    notifications = []
    for uid in (MR, "1.2.3"):
        notification = SCP_SCU_RoleSelectionNegotiation()
        notification.sop_class_uid, notification.scu_role, notification.scp_role = uid, True, True
        notifications.append(notification)
    asked = decoded(request([(MR, [EXPLICIT])], user=notifications))
    answer = negotiate(asked, POLICY)
    assert isinstance(answer, Acceptance)
    assert answer.user.roles == (Role(MR, scu=True, scp=False),)
    pdu = A_ASSOCIATE_AC()
    pdu.decode(encode_accept(asked, answer.answers, answer.user, 65536))
    assert pdu.user_information.role_selection[MR].scp_role == 0


def test_rejections_name_source_and_reason() -> None:
    asked = decoded(request(called="ELSEWHERE"))
    strict = replace(POLICY, require_called_ae_title=True)
    cases = [
        (asked, strict, (1, 1, 7)),
        (replace(asked, application_context="1.2.3"), POLICY, (1, 1, 2)),
        (replace(asked, protocol_version=2), POLICY, (1, 2, 2)),
        (replace(asked, calling_ae_title=""), POLICY, (1, 1, 3)),
        (replace(asked, called_ae_title=""), POLICY, (1, 1, 7)),
    ]
    for what, policy, expected in cases:
        answer = negotiate(what, policy)
        assert isinstance(answer, Rejection)
        assert (answer.result, answer.source, answer.reason) == expected
    assert isinstance(negotiate(asked, POLICY), Acceptance)


@pytest.mark.parametrize("number", range(1, 7))
def test_truncated_requests_are_bad(number: int) -> None:
    whole = request()[HEADER.size :]
    with pytest.raises(BadPdu):
        decode_request(whole[: 68 if number == 1 else len(whole) - number] + (b"\x10" if number == 1 else b""))


def test_context_ids_must_be_odd_and_unique() -> None:
    whole = bytearray(request([(MR, [EXPLICIT]), (VERIFICATION, [EXPLICIT])])[HEADER.size :])
    second = whole.index(b"\x03\x00\x00\x00\x30")
    for number in (2, 1):
        whole[second] = number
        with pytest.raises(BadPdu, match="presentation context id"):
            decode_request(bytes(whole))


@given(st.data())
def test_damaged_requests_are_read_or_bad(data: st.DataObject) -> None:
    whole = bytearray(request()[HEADER.size :])
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        asked = decode_request(bytes(whole))
        negotiate(asked, POLICY)
    except BadPdu:
        pass


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def with_user_item(kind: int, value: bytes) -> bytes:
    """Body of a good request with one more item at the end of its user information."""
    whole = request()[HEADER.size :]
    start = whole.index(b"\x50\x00", FIXED)
    user = whole[start + 4 :] + item(kind, value)
    return whole[:start] + item(0x50, user)


@pytest.mark.parametrize(
    ("title", "read"),
    [
        (b" SCANNER        ", "SCANNER"),
        (b"SCANNER".ljust(16, b"\0"), "SCANNER"),
        ("СКАНЕР".encode().ljust(16), ""),
        (b" " * 16, ""),
        (b"A\nB".ljust(16), ""),
        (b"A\\B".ljust(16), ""),
    ],
)
def test_titles_are_read_without_padding_or_not_at_all(title: bytes, read: str) -> None:
    whole = request()[HEADER.size :]
    found = decode_request(whole[:4] + title + title + whole[36:])
    assert (found.called_ae_title, found.calling_ae_title) == (read, read)


def test_items_of_other_types_are_skipped() -> None:
    whole = request()[HEADER.size :]
    nested = item(0x50, item(0x50, item(0x20, b"\x09\0\0\0")))
    found = decode_request(whole[:FIXED] + item(0x7F, b"new") + nested[4:] + item(0x52, b"1.2") + whole[FIXED:])
    assert found.contexts == decode_request(whole).contexts
    assert decode_request(with_user_item(0x6F, b"new")).user.max_length == 16382


@pytest.mark.parametrize(
    ("name", "read"), [(b"MADE_BY\0", "MADE_BY"), (b"x" * 40, "x" * 16), ("Ґ1".encode(), "1"), (b"\xff", None)]
)
def test_a_name_of_the_implementation_is_no_reason_to_abort(name: bytes, read: str | None) -> None:
    assert decode_request(with_user_item(0x55, name)).user.implementation_version == read


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (0x54, b"\x00\x03\x31\x2e\x32\x01"),
        (0x54, b"\x00\x03\x31\x2e\x32\x07\x00"),
        (0x54, b"\x00\x41" + b"1" * 65 + b"\x01\x01"),
        (0x52, b"1.2.\xff"),
        (0x53, b"\x00"),
        (0x57, b"\x00\x01\x31\x00\x01\x31\x00\x09\x31"),
        (0x58, b"\x01\x00\x00\xffname"),
        (0x58, b"\x01"),
    ],
    ids=[
        "role-cut",
        "role-7",
        "uid-65",
        "uid-not-ascii",
        "window-cut",
        "common-cut",
        "identity-cut",
        "identity-empty",
    ],
)
def test_user_information_that_cannot_be_is_bad(kind: int, value: bytes) -> None:
    with pytest.raises(BadPdu) as bad:
        decode_request(with_user_item(kind, value))
    assert "name" not in bad.value.sentence


def test_all_of_the_user_information_can_be_read() -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.secondary_field = 2, b"somebody", b"secret"
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    identity.positive_response_requested = True
    found = decoded(request(user=[identity, window]))
    assert found.user.identity_to_confirm == 2
    assert found.user.window == Window(5, 1)
    assert "secret" not in repr(found)
    assert "somebody" not in repr(found)


def test_too_many_items_are_bad() -> None:
    whole = request()[HEADER.size :]
    with pytest.raises(BadPdu, match=str(MAX_ITEMS)):
        decode_request(whole + item(0x7F, b"") * MAX_ITEMS)


@given(st.binary(max_size=300))
def test_any_items_are_read_or_bad(data: bytes) -> None:
    with contextlib.suppress(BadPdu):
        decode_request(request()[HEADER.size :][:FIXED] + data)


def test_what_hospitals_send_is_offered() -> None:
    storage = "1.2.840.10008.5.1.4.1.1."
    named = ["1", "1.1", "1.1.1", "1.2", "1.2.1", "2", "2.1", "3.1", "4", "4.1", "6.1", "7", "12.1", "13.1.3"]
    named += ["20", "30", "128", "104.1", "66.4", "88.33", "11.1"]
    assert {storage + end for end in named} <= STORAGE_CLASSES
    syntax = "1.2.840.10008.1.2"
    ends = ["", ".1", ".1.99", ".2", ".5", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81"]
    ends += [".4.90", ".4.91", ".4.201", ".4.202", ".4.203"]
    assert {syntax + end for end in ends} <= STORAGE_TRANSFER_SYNTAXES
    assert syntax + ".4.110" not in STORAGE_TRANSFER_SYNTAXES, "the same, whoever imported pynetdicom before"
