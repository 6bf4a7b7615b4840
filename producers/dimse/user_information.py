"""User information of an A-ASSOCIATE-RQ → what negotiation uses of it, and our answers → sub-items (PS3.7 D.3.3).

Over pynetdicom's items. Pure. Who the user is does not leave this module: only whether an answer is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pynetdicom.pdu_items import (
    AsynchronousOperationsWindowSubItem,
    SCP_SCU_RoleSelectionSubItem,
    SOPClassExtendedNegotiationSubItem,
    UserIdentitySubItemAC,
    UserInformationItem,
)

#: User identity by name alone: there is nothing to verify, so to take it is to accept it (PS3.7 D.3.3.7).
USERNAME: Final = 1


@dataclass(frozen=True)
class Role:
    """SCP/SCU role selection of one SOP class (PS3.7 D.3.3.4)."""

    sop_class_uid: str
    scu: bool
    scp: bool


@dataclass(frozen=True)
class Window:
    """Asynchronous operations window (PS3.7 D.3.3.3): what the requestor may have under way; 0 is any number."""

    invoked: int
    performed: int


@dataclass(frozen=True)
class UserInformation:
    """What a peer proposes beside presentation contexts.

    Attributes
    ----------
    max_length
        Longest P-DATA-TF that the peer takes, in bytes; 0 is any.
    implementation_version
        ``None`` when the peer does not say it.
    roles
        One per SOP class.
    window
        ``None`` when it is not negotiated, which is 1, 1.
    extended
        SOP class → service class application information (D.3.3.5).
    service_classes
        SOP class → service class that it belongs to (D.3.3.6).
    identity_to_confirm
        Kind of user identity that the peer wants an answer for, ``None`` when there is none (D.3.3.7).
    """

    max_length: int = 0
    implementation_version: str | None = None
    roles: tuple[Role, ...] = ()
    window: Window | None = None
    extended: Mapping[str, bytes] = field(default_factory=dict)
    service_classes: Mapping[str, str] = field(default_factory=dict)
    identity_to_confirm: int | None = None


@dataclass(frozen=True)
class UserAnswer:
    """Our side of the same; ``confirms_identity`` is sent only to a peer that asks for it."""

    roles: tuple[Role, ...] = ()
    window: Window | None = None
    extended: Mapping[str, bytes] = field(default_factory=dict)
    confirms_identity: bool = False


AnswerItem = (
    SCP_SCU_RoleSelectionSubItem
    | AsynchronousOperationsWindowSubItem
    | SOPClassExtendedNegotiationSubItem
    | UserIdentitySubItemAC
)


def read(user: UserInformationItem) -> UserInformation:
    """What negotiation uses."""
    window, identity = user.async_ops_window, user.user_identity
    wants_answer = identity is not None and bool(getattr(identity, "positive_response_requested", 0))
    return UserInformation(
        max_length=user.maximum_length or 0,
        implementation_version=user.implementation_version_name or None,
        roles=tuple(Role(uid, item.scu == 1, item.scp == 1) for uid, item in user.role_selection.items()),
        window=None
        if window is None
        else Window(
            window.maximum_number_operations_invoked or 0, window.maximum_number_operations_performed or 0
        ),
        extended={str(item.sop_class_uid): item.app_info or b"" for item in user.ext_neg},
        service_classes={str(item.sop_class_uid): str(item.service_class_uid) for item in user.common_ext_neg},
        identity_to_confirm=getattr(identity, "user_identity_type", None) if wants_answer else None,
    )


def items(answer: UserAnswer) -> list[AnswerItem]:
    """Sub-items of an A-ASSOCIATE-AC, in the order of their types."""
    found: list[AnswerItem] = []
    if answer.window is not None:
        window = AsynchronousOperationsWindowSubItem()
        window.maximum_number_operations_invoked = answer.window.invoked
        window.maximum_number_operations_performed = answer.window.performed
        found.append(window)
    for role in answer.roles:
        selection = SCP_SCU_RoleSelectionSubItem()
        selection.sop_class_uid, selection.scu_role, selection.scp_role = (
            role.sop_class_uid,
            int(role.scu),
            int(role.scp),
        )
        found.append(selection)
    for uid, information in answer.extended.items():
        extended = SOPClassExtendedNegotiationSubItem()
        extended.sop_class_uid, extended.service_class_application_information = uid, information
        found.append(extended)
    if answer.confirms_identity:
        identity = UserIdentitySubItemAC()
        identity.server_response = b""
        found.append(identity)
    return found
