"""Association request → accept or reject, context by context (PS3.7 D.3, PS3.8 7.1.1). Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from producers.dimse.acse import APPLICATION_CONTEXT, AssociationRequest, ContextAnswer, ProposedContext
from producers.dimse.rights import RIGHTS, Right
from producers.dimse.user_information import USERNAME, Role, UserAnswer, Window

ACCEPTANCE: Final = 0
USER_REJECTION: Final = 1
ABSTRACT_SYNTAX_NOT_SUPPORTED: Final = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED: Final = 4

#: Operations of one association that are performed at the same time, for a peer that asks for so many.
MAX_OPERATIONS: Final = 16

_IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
_DEFAULT_ROLE: Final = Role("", True, False)

#: Service class application information: proposed → accepted, ``None`` for no answer (PS3.7 D.3.3.5).
Information = Callable[[bytes], bytes | None]


@dataclass(frozen=True)
class Rejection:
    """A-ASSOCIATE-RJ: result 1 permanent or 2 transient, source and reason (PS3.8 9.3.4), and a sentence."""

    result: int
    source: int
    reason: int
    sentence: str


@dataclass(frozen=True)
class AcceptedContext:
    """A context that messages may use, and the roles that the peer has on it (PS3.7 D.3.3.4).

    Attributes
    ----------
    abstract_syntax, transfer_syntax
        As negotiated.
    peer_is_scu, peer_is_scp
        Roles of the peer.
    general
        Abstract syntax whose services take its messages, when it is one that we do not know by itself.
    """

    abstract_syntax: str
    transfer_syntax: str
    peer_is_scu: bool = True
    peer_is_scp: bool = False
    general: str | None = None

    @property
    def served_as(self) -> str:
        """Abstract syntax that services are registered with."""
        return self.general or self.abstract_syntax


@dataclass(frozen=True)
class Acceptance:
    """Answers to all proposed contexts, the accepted ones by id, and the answer to the user information."""

    answers: tuple[ContextAnswer, ...]
    contexts: Mapping[int, AcceptedContext]
    user: UserAnswer = UserAnswer()  # noqa: RUF009 - immutable
    operations: int = 1


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
    needs
        Abstract syntax → rights of which a peer needs one; those of which everyone may use something are left out.
    information
        Abstract syntax → what is answered to its application information.
    service_classes
        Service class → abstract syntax that stands for SOP classes of it that we do not know (PS3.7 D.3.3.6).
    """

    ae_title: str
    require_called_ae_title: bool
    offers: Mapping[str, frozenset[str]]
    we_use: Collection[str] = frozenset()
    needs: Mapping[str, frozenset[Right]] = field(default_factory=dict)
    information: Mapping[str, Information] = field(default_factory=dict)
    service_classes: Mapping[str, str] = field(default_factory=dict)


def negotiate(
    request: AssociationRequest, policy: Policy, may: Collection[Right] = RIGHTS
) -> Acceptance | Rejection:
    """Answer to a request. Of the transfer syntaxes of a context, the first that we know is taken.

    Parameters
    ----------
    request
        What the peer proposes.
    policy
        What we take.
    may
        Rights of the peer.
    """
    rejection = _refuse(request, policy)
    if rejection is not None:
        return rejection
    generals = {
        uid: policy.service_classes[service]
        for uid, service in request.user.service_classes.items()
        if uid not in policy.offers and service in policy.service_classes
    }
    # Sub-operations of C-GET are the only use of a peer as SCP of what it does not serve to others.
    we_use = policy.we_use if "get" in may else ()
    roles = {
        # We are SCP of every service that we offer, and SCU of those that we use.
        role.sop_class_uid: Role(role.sop_class_uid, role.scu, role.scp and role.sop_class_uid in we_use)
        for role in request.user.roles
        if role.sop_class_uid in policy.offers
    }
    answers: list[ContextAnswer] = []
    accepted: dict[int, AcceptedContext] = {}
    for context in request.contexts:
        uid = context.abstract_syntax
        general, role = generals.get(uid), roles.get(uid, _DEFAULT_ROLE)
        answer = _answer(context, policy, general or uid, may, role)
        answers.append(answer)
        if answer.result == ACCEPTANCE:
            accepted[context.context_id] = AcceptedContext(
                uid, answer.transfer_syntax, role.scu, role.scp, general
            )
    window = None if request.user.window is None else _window(request.user.window)
    user = UserAnswer(
        roles=tuple(roles.values()),
        window=window,
        extended=_information(request, policy, {context.abstract_syntax for context in accepted.values()}),
        confirms_identity=request.user.identity_to_confirm == USERNAME,
    )
    return Acceptance(tuple(answers), accepted, user, 1 if window is None else window.invoked)


def _refuse(request: AssociationRequest, policy: Policy) -> Rejection | None:
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
    return None


def _answer(
    context: ProposedContext, policy: Policy, served_as: str, may: Collection[Right], role: Role
) -> ContextAnswer:
    known = policy.offers.get(served_as)
    if known is None:
        return ContextAnswer(context.context_id, ABSTRACT_SYNTAX_NOT_SUPPORTED, _IMPLICIT_VR_LITTLE_ENDIAN)
    needed = policy.needs.get(served_as, frozenset())
    if needed and not role.scp and needed.isdisjoint(may):
        return ContextAnswer(context.context_id, USER_REJECTION, _IMPLICIT_VR_LITTLE_ENDIAN)
    for transfer_syntax in context.transfer_syntaxes:
        if transfer_syntax in known:
            return ContextAnswer(context.context_id, ACCEPTANCE, transfer_syntax)
    return ContextAnswer(context.context_id, TRANSFER_SYNTAXES_NOT_SUPPORTED, _IMPLICIT_VR_LITTLE_ENDIAN)


def _window(asked: Window) -> Window:
    """What the peer may have under way; of our own requests there is one at a time."""
    return Window(min(asked.invoked or MAX_OPERATIONS, MAX_OPERATIONS), 1)


def _information(request: AssociationRequest, policy: Policy, accepted: Collection[str]) -> dict[str, bytes]:
    """Answers to what is proposed for accepted contexts."""
    found = {}
    for uid, proposed in request.user.extended.items():
        answer = policy.information[uid](proposed) if uid in accepted and uid in policy.information else None
        if answer is not None:
            found[uid] = answer
    return found
