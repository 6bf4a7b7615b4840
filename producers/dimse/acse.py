"""A-ASSOCIATE-RQ bytes → request; answers → A-ASSOCIATE-AC, -RJ, A-RELEASE-RP and A-ABORT bytes (PS3.8 9.3).

Over pynetdicom's PDU classes, which know every item of PS3.8 annex D and PS3.7 D.3.3. Pure. Guarantee: a request
that breaks the rules is a :class:`BadPdu`, whose sentence quotes nothing of it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, A_RELEASE_RP
from pynetdicom.pdu_items import (
    ApplicationContextItem,
    ImplementationClassUIDSubItem,
    ImplementationVersionNameSubItem,
    MaximumLengthSubItem,
    PresentationContextItemAC,
    TransferSyntaxSubItem,
    UserInformationItem,
)

from producers.dimse.items import recognized
from producers.dimse.pdu import AbortReason, AbortSource, BadPdu, PduType, encode
from producers.dimse.user_information import UserAnswer, UserInformation, items, read
from producers.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"

_FIXED: Final = struct.Struct(">H2x16s16s32x")
_NO_TITLE: Final = "?"


@dataclass(frozen=True)
class ProposedContext:
    """One presentation context as it was proposed."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True)
class AssociationRequest:
    """What a peer proposes.

    Attributes
    ----------
    protocol_version
        Bit 0 is DICOM 3.0.
    application_context
        Empty when there is none.
    called_ae_title, calling_ae_title
        Without padding; empty when it is none by PS3.5 6.2 (blank, not ASCII, control characters, backslash).
    contexts
        In the peer's order; ids are odd and unique.
    user
        Everything else.
    """

    protocol_version: int
    application_context: str
    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation = field(default_factory=UserInformation)


@dataclass(frozen=True)
class ContextAnswer:
    """Result of one presentation context: 0 accepted, 1 refused, 3 abstract, 4 transfer syntaxes not supported."""

    context_id: int
    result: int
    transfer_syntax: str


def decode_request(body: bytes) -> AssociationRequest:
    """Request of an A-ASSOCIATE-RQ, given without its PDU header (PS3.8 9.3.2).

    Raises
    ------
    BadPdu
        Lengths do not fit, a value is not allowed, or a presentation context id is even or appears twice.
    """
    if len(body) < _FIXED.size:
        raise BadPdu(AbortReason.INVALID_PARAMETER, "A-ASSOCIATE-RQ is too short")
    version, *titles = _FIXED.unpack_from(body)
    called, calling = map(_title, titles)
    fixed = _FIXED.pack(version, *((title or _NO_TITLE).ljust(16).encode() for title in (called, calling)))
    pdu = A_ASSOCIATE_RQ()
    try:
        pdu.decode(encode(PduType.ASSOCIATE_RQ, fixed + recognized(body[_FIXED.size :])))
        user = pdu.user_information or UserInformationItem()
        information = read(user)
    except (AssertionError, ValueError, struct.error):
        # What pynetdicom says quotes the value, of any length and content.
        raise BadPdu(
            AbortReason.INVALID_PARAMETER, "the A-ASSOCIATE-RQ holds a UID, role or length that cannot be"
        ) from None
    if user.user_identity is not None and user.user_identity.encode()[4:] not in body:
        # pynetdicom cuts its fields where the item ends, whatever their lengths say.
        raise BadPdu(AbortReason.INVALID_PARAMETER, "the lengths of the user identity do not fit")
    return AssociationRequest(
        protocol_version=version,
        application_context=pdu.application_context_name or "",
        called_ae_title=called,
        calling_ae_title=calling,
        contexts=_contexts(pdu),
        user=information,
    )


def encode_accept(
    request: AssociationRequest, answers: Sequence[ContextAnswer], user: UserAnswer, max_length: int
) -> bytes:
    """A-ASSOCIATE-AC PDU (PS3.8 9.3.3).

    Parameters
    ----------
    request
        What is answered; its AE titles are sent back.
    answers
        One per proposed context.
    user
        What is answered to the user information.
    max_length
        Longest P-DATA-TF that we take, in bytes.
    """
    pdu = A_ASSOCIATE_AC()
    pdu.reserved_aet, pdu.reserved_aec = request.called_ae_title, request.calling_ae_title
    length, implementation = MaximumLengthSubItem(), ImplementationClassUIDSubItem()
    length.maximum_length_received = max_length
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    name = ImplementationVersionNameSubItem()
    name.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    information = UserInformationItem()
    information.user_data = [length, implementation, name, *items(user)]
    pdu.variable_items = [ApplicationContextItem(), *map(_context_item, answers), information]
    return pdu.encode()


def reject(result: int, source: int, reason: int) -> bytes:
    """A-ASSOCIATE-RJ PDU (PS3.8 9.3.4)."""
    pdu = A_ASSOCIATE_RJ()
    pdu.result, pdu.source, pdu.reason_diagnostic = result, source, reason
    return pdu.encode()


def release() -> bytes:
    """A-RELEASE-RP PDU (PS3.8 9.3.7)."""
    return A_RELEASE_RP().encode()


def abort(source: AbortSource, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> bytes:
    """A-ABORT PDU (PS3.8 9.3.8); the reason counts only for the provider."""
    pdu = A_ABORT_RQ()
    pdu.source = int(source)
    pdu.reason_diagnostic = int(reason) if source is AbortSource.PROVIDER else 0
    return pdu.encode()


def _title(value: bytes) -> str:
    """Title without its padding, which some devices make of zeros."""
    text = value.decode("ascii", "replace").strip(" \0")
    return text if text.isascii() and text.isprintable() and "\\" not in text else ""


def _contexts(pdu: A_ASSOCIATE_RQ) -> tuple[ProposedContext, ...]:
    found: dict[int, ProposedContext] = {}
    for item in pdu.presentation_context:
        number = item.context_id or 0
        if number % 2 == 0 or number in found:
            raise BadPdu(AbortReason.INVALID_PARAMETER, f"presentation context id {number}")
        found[number] = ProposedContext(
            number, item.abstract_syntax or "", tuple(filter(None, item.transfer_syntax))
        )
    return tuple(found.values())


def _context_item(answer: ContextAnswer) -> PresentationContextItemAC:
    syntax = TransferSyntaxSubItem()
    syntax.transfer_syntax_name = answer.transfer_syntax
    item = PresentationContextItemAC()
    item.presentation_context_id, item.result_reason = answer.context_id, answer.result
    item.transfer_syntax_sub_item = [syntax]
    return item
