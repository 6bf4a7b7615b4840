"""Instances to send → associations that can carry them: contexts by SOP class and transfer syntax. Pure.

A context holds one transfer syntax only, so that the peer's choice is no surprise. For an instance that the peer
might not take as it is stored, contexts of the uncompressed transfer syntaxes are proposed besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

#: Contexts that fit into one association: their ids are the odd numbers of a byte (PS3.8 9.3.2.2).
MAX_CONTEXTS: Final = 128

EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"

#: Default transfer syntax, which every peer takes (PS3.5 10.1), and the one that keeps value representations.
FALLBACKS: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)


@dataclass(frozen=True)
class Context:
    """One presentation context to propose; with ``as_scp`` we take instances of it (C-GET)."""

    abstract_syntax: str
    transfer_syntaxes: Sequence[str]
    as_scp: bool = False


class Sendable(Protocol):
    """What is known of an instance before it is sent."""

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID."""
        ...

    @property
    def transfer_syntax_uid(self) -> str:
        """Transfer syntax that it is stored in."""
        ...


S = TypeVar("S", bound=Sendable)


def batches(instances: Iterable[S], limit: int = MAX_CONTEXTS) -> Iterator[tuple[list[Context], list[S]]]:
    """Contexts and instances of one association after the other; instances keep their order.

    Parameters
    ----------
    instances
        What is to be sent.
    limit
        Contexts that one association may have; at least 3.
    """
    pairs: dict[tuple[str, str], None] = {}
    waiting: list[S] = []
    for instance in instances:
        needed = [(instance.sop_class_uid, uid) for uid in (instance.transfer_syntax_uid, *FALLBACKS)]
        if waiting and len(pairs.keys() | set(needed)) > limit:
            yield _contexts(pairs), waiting
            pairs, waiting = {}, []
        pairs.update(dict.fromkeys(needed))
        waiting.append(instance)
    if waiting:
        yield _contexts(pairs), waiting


def _contexts(pairs: Iterable[tuple[str, str]]) -> list[Context]:
    return [Context(abstract_syntax, (transfer_syntax,)) for abstract_syntax, transfer_syntax in pairs]
