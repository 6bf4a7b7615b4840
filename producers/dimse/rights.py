"""Operation of a SOP class → the right that a peer needs for it, as the peers file names it. Pure."""

from __future__ import annotations

from typing import Final, Literal, get_args

from producers.dimse.command import CommandField

Right = Literal["store", "find", "move", "get", "worklist", "commit", "procedure-step", "availability"]
RIGHTS: Final[frozenset[Right]] = frozenset(get_args(Right))

MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"
STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
PROCEDURE_STEP: Final = "1.2.840.10008.3.1.2.3."
INSTANCE_AVAILABILITY: Final = "1.2.840.10008.5.1.4.33"

_BY_COMMAND: Final[dict[int, Right]] = {
    CommandField.C_STORE_RQ: "store",
    CommandField.C_FIND_RQ: "find",
    CommandField.C_MOVE_RQ: "move",
    CommandField.C_GET_RQ: "get",
}


def right_of(abstract_syntax: str, command: int) -> Right | None:
    """Right that an operation needs; ``None`` when everyone may (C-ECHO).

    Raises
    ------
    ValueError
        The operation has no right yet: name one here before it is offered.
    """
    if command == CommandField.C_ECHO_RQ:
        return None
    if abstract_syntax == MODALITY_WORKLIST:
        return "worklist"
    if abstract_syntax == STORAGE_COMMITMENT:
        return "commit"
    if abstract_syntax.startswith(PROCEDURE_STEP):
        return "procedure-step"
    if abstract_syntax == INSTANCE_AVAILABILITY:
        return "availability"
    right = _BY_COMMAND.get(command)
    if right is None:
        raise ValueError(f"command {command:04X}H of {abstract_syntax} needs a right of its own")
    return right
