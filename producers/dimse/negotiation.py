"""Association request → accept or reject, context by context (PS3.7 D.3, PS3.8 7.1.1). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from producers.dimse.acse import APPLICATION_CONTEXT, AssociationRequest, ContextAnswer, ProposedContext, Role

ACCEPTANCE: Final = 0
ABSTRACT_SYNTAX_NOT_SUPPORTED: Final = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED: Final = 4

_IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
_DEFAULT_ROLE: Final = Role("", True, False)


@dataclass(frozen=True)
class Rejection:
    """A-ASSOCIATE-RJ: result 1 permanent or 2 transient, source and reason (PS3.8 9.3.4), and a sentence."""

    result: int
    source: int
    reason: int
    sentence: str


TOO_MANY: Final = Rejection(2, 3, 2, "the local limit of associations is reached: raise the limit or try later")
CONGESTED: Final = Rejection(2, 3, 1, "the gateway is stopping: try later")


@dataclass(frozen=True)
class AcceptedContext:
    """A context that messages may use, and the roles that the peer has on it (PS3.7 D.3.3.4)."""

    abstract_syntax: str
    transfer_syntax: str
    peer_is_scu: bool = True
    peer_is_scp: bool = False


@dataclass(frozen=True)
class Acceptance:
    """Answers to all proposed contexts, and the accepted ones by id."""

    answers: tuple[ContextAnswer, ...]
    roles: tuple[Role, ...]
    contexts: Mapping[int, AcceptedContext]


@dataclass(frozen=True)
class Policy:
    """What this acceptor takes.

    Attributes
    ----------
    ae_title
        Our AE title.
    require_called_ae_title
        Whether a peer must address us by it.
    offers
        Abstract syntax → transfer syntaxes.
    we_use
        Abstract syntaxes of which we can be the SCU: the peer may be the SCP.
    """

    ae_title: str
    require_called_ae_title: bool
    offers: Mapping[str, frozenset[str]]
    we_use: Collection[str] = frozenset()


def negotiate(request: AssociationRequest, policy: Policy) -> Acceptance | Rejection:
    """Answer to a request. Of the transfer syntaxes of a context, the first that we know is taken."""
    if not request.protocol_version & 1:
        return Rejection(1, 2, 2, "the protocol version is not supported: the peer must speak DICOM 3.0")
    if request.application_context != APPLICATION_CONTEXT:
        return Rejection(1, 1, 2, "the application context is not DICOM's")
    if not request.calling_ae_title:
        return Rejection(1, 1, 3, "the calling AE title is blank or not ASCII: correct it at the sender")
    if not request.called_ae_title:
        return Rejection(1, 1, 7, "the called AE title is blank or not ASCII: correct it at the sender")
    if policy.require_called_ae_title and request.called_ae_title != policy.ae_title:
        return Rejection(1, 1, 7, f"the called AE title is not {policy.ae_title}: correct it at the sender")
    roles = {
        # We are SCP of every service that we offer, and SCU of those that we use.
        role.sop_class_uid: Role(role.sop_class_uid, role.scu, role.scp and role.sop_class_uid in policy.we_use)
        for role in request.roles
        if role.sop_class_uid in policy.offers
    }
    answers: list[ContextAnswer] = []
    accepted: dict[int, AcceptedContext] = {}
    for context in request.contexts:
        answer = _answer(context, policy)
        answers.append(answer)
        if answer.result == ACCEPTANCE:
            role = roles.get(context.abstract_syntax, _DEFAULT_ROLE)
            accepted[context.context_id] = AcceptedContext(
                context.abstract_syntax, answer.transfer_syntax, role.scu, role.scp
            )
    return Acceptance(tuple(answers), tuple(roles.values()), accepted)


def _answer(context: ProposedContext, policy: Policy) -> ContextAnswer:
    known = policy.offers.get(context.abstract_syntax)
    if known is None:
        return ContextAnswer(context.context_id, ABSTRACT_SYNTAX_NOT_SUPPORTED, _IMPLICIT_VR_LITTLE_ENDIAN)
    for transfer_syntax in context.transfer_syntaxes:
        if transfer_syntax in known:
            return ContextAnswer(context.context_id, ACCEPTANCE, transfer_syntax)
    return ContextAnswer(context.context_id, TRANSFER_SYNTAXES_NOT_SUPPORTED, _IMPLICIT_VR_LITTLE_ENDIAN)
