"""What is negotiated beside presentation contexts, read back by pynetdicom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

from producers.dimse.acse import decode_request, encode_accept
from producers.dimse.negotiation import Acceptance, AcceptedContext, Policy, negotiate
from producers.dimse.pdu import HEADER
from producers.dimse.rights import RIGHTS, Right
from tests.producers.dimse.peer import EXPLICIT, MR, VERIFICATION, request

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
NEWER = "1.2.840.10008.5.1.4.1.1.9999"
STORAGE_SERVICE = "1.2.840.10008.4.2"
POLICY = Policy(
    "SCANSTREAM",
    False,
    dict.fromkeys((VERIFICATION, FIND, GET, MR), frozenset({EXPLICIT})),
    we_use={MR},
    needs={FIND: frozenset({"find"}), GET: frozenset({"get"}), MR: frozenset({"store"})},
    information={FIND: lambda proposed: bytes(byte & 1 for byte in proposed[:3])},
    service_classes={STORAGE_SERVICE: MR},
)


def answered(
    *user: Any, contexts: tuple[str, ...] = (VERIFICATION, MR), may: frozenset[Right] = RIGHTS
) -> tuple[Acceptance, Any]:
    asked = decode_request(request([(uid, (EXPLICIT,)) for uid in contexts], user=user)[HEADER.size :])
    answer = negotiate(asked, POLICY, may)
    assert isinstance(answer, Acceptance)
    pdu = A_ASSOCIATE_AC()
    pdu.decode(encode_accept(asked, answer.answers, answer.user, 65536))
    return answer, pdu


@pytest.mark.parametrize(
    ("asked", "answer"),
    [((1, 1), (1, 1)), ((5, 1), (5, 1)), ((100, 50), (16, 1)), ((0, 0), (16, 1))],
)
def test_the_window_is_never_more_than_was_asked_for(asked: tuple[int, int], answer: tuple[int, int]) -> None:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked, window.maximum_number_operations_performed = asked
    accepted, pdu = answered(window)
    found = pdu.user_information.async_ops_window
    assert found is not None
    assert (found.max_operations_invoked, found.max_operations_performed) == answer
    assert accepted.operations == answer[0]


def test_what_is_not_asked_for_is_not_answered() -> None:
    accepted, pdu = answered()
    user = pdu.user_information
    assert user.async_ops_window is None
    assert user.user_identity is None
    assert not user.role_selection
    assert not user.ext_neg
    assert accepted.operations == 1


def extended(uid: str, information: bytes) -> SOPClassExtendedNegotiation:
    asked = SOPClassExtendedNegotiation()
    asked.sop_class_uid, asked.service_class_application_information = uid, information
    return asked


def test_application_information_is_answered_for_accepted_classes_that_have_an_answer() -> None:
    asked = [extended(FIND, b"\1\0\1\1\1"), extended(MR, b"\2"), extended(GET, b"\1"), extended("1.2.3", b"\1")]
    accepted, pdu = answered(*asked, contexts=(FIND, MR))
    assert accepted.user.extended == {FIND: b"\1\0\1"}
    assert [(item.sop_class_uid, item.app_info) for item in pdu.user_information.ext_neg] == [(FIND, b"\1\0\1")]


def common(uid: str, service: str) -> SOPClassCommonExtendedNegotiation:
    asked = SOPClassCommonExtendedNegotiation()
    asked.sop_class_uid, asked.service_class_uid = uid, service
    asked.related_general_sop_class_identification = [MR]
    return asked


def test_a_storage_class_newer_than_this_release_is_taken_as_storage() -> None:
    accepted, _ = answered(
        common(NEWER, STORAGE_SERVICE), common("1.2.3", "1.2.840.10008.4.9"), contexts=(NEWER, "1.2.3")
    )
    assert accepted.contexts == {1: AcceptedContext(NEWER, EXPLICIT, general=MR)}
    assert accepted.contexts[1].served_as == MR
    accepted, _ = answered(common(NEWER, STORAGE_SERVICE), contexts=(NEWER,), may=frozenset({"find"}))
    assert [answer.result for answer in accepted.answers] == [1]


def identity(kind: int, wants_answer: bool) -> UserIdentityNegotiation:
    asked = UserIdentityNegotiation()
    asked.user_identity_type, asked.primary_field = kind, b"somebody"
    if kind == 2:
        asked.secondary_field = b"secret"
    asked.positive_response_requested = wants_answer
    return asked


@pytest.mark.parametrize(
    ("kind", "wants_answer", "is_confirmed"),
    [(1, True, True), (1, False, False), (2, True, False), (3, True, False), (4, True, False)],
    ids=["name", "name without answer", "passcode", "kerberos", "saml"],
)
def test_only_an_identity_without_proof_is_confirmed_and_only_when_asked(
    kind: int, wants_answer: bool, is_confirmed: bool
) -> None:
    """No passcode or ticket is verified here, so that it is right is never said."""
    _, pdu = answered(identity(kind, wants_answer))
    assert (pdu.user_information.user_identity is not None) == is_confirmed


def role(uid: str, scu: bool, scp: bool) -> SCP_SCU_RoleSelectionNegotiation:
    asked = SCP_SCU_RoleSelectionNegotiation()
    asked.sop_class_uid, asked.scu_role, asked.scp_role = uid, scu, scp
    return asked


@pytest.mark.parametrize(
    ("may", "roles", "results"),
    [
        (RIGHTS, (), [0, 0, 0, 0]),
        (frozenset({"store"}), (), [0, 0, 1, 1]),
        (frozenset({"find"}), (), [0, 1, 0, 1]),
        (frozenset[Right](), (), [0, 1, 1, 1]),
        (frozenset({"get"}), (), [0, 1, 1, 0]),
        (frozenset({"get"}), (role(MR, False, True),), [0, 0, 1, 0]),
        (frozenset({"find"}), (role(MR, False, True),), [0, 1, 0, 1]),
    ],
)
def test_contexts_of_what_a_peer_may_not_do_are_refused_by_the_user(
    may: frozenset[Right], roles: tuple[Any, ...], results: list[int]
) -> None:
    _, pdu = answered(*roles, contexts=(VERIFICATION, MR, FIND, GET), may=may)
    assert [context.result for context in pdu.presentation_context] == results


def test_roles_are_those_of_both_sides() -> None:
    accepted, pdu = answered(role(MR, True, True), role(VERIFICATION, True, True))
    assert accepted.contexts[1] == AcceptedContext(VERIFICATION, EXPLICIT, True, False)
    assert accepted.contexts[3] == AcceptedContext(MR, EXPLICIT, True, True)
    assert pdu.user_information.role_selection[MR].scp_role == 1
    assert negotiate(replace(decode_request(request()[HEADER.size :]), contexts=()), POLICY) == Acceptance((), {})
