"""Instances that a C-GET will bring → presentation contexts under which the PACS can send them. Pure.

Each context holds one transfer syntax, so that an object comes as it is stored and the PACS has nothing to choose.
Without known SOP classes every common one is proposed, with all transfer syntaxes together, as there is room for
128 contexts only (PS3.8 9.3.2.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pynetdicom.presentation import StoragePresentationContexts

from producers.dimse.proposals import MAX_CONTEXTS, Context
from producers.poller.identifier import STUDY_ROOT_GET
from producers.poller.plan import Instance

#: Of PS3.5 annex A, the frequent ones first: with many SOP classes there is no room for the last.
TRANSFER_SYNTAXES: Final = tuple(
    f"1.2.840.10008.1.2{end}"
    for end in (
        *(".1", "", ".4.70", ".4.90", ".4.80", ".4.50", ".4.91", ".5", ".4.81", ".4.51", ".4.57"),
        *(".1.99", ".4.201", ".4.202", ".4.203", ".2", ".4.102", ".4.103", ".4.100", ".4.101"),
    )
)
_GET_SYNTAXES: Final = TRANSFER_SYNTAXES[:2]


def contexts_for(instances: Iterable[Instance]) -> list[Context]:
    """Contexts of one association: that of C-GET, and of storage with us as its provider (PS3.7 D.3.3.4)."""
    classes = {one.sop_class_uid for one in instances}
    retrieval = Context(STUDY_ROOT_GET, _GET_SYNTAXES)
    room = MAX_CONTEXTS - 1
    if "" in classes or len(classes) > room:
        common = [str(context.abstract_syntax) for context in StoragePresentationContexts][:room]
        return [retrieval, *(Context(uid, TRANSFER_SYNTAXES, as_scp=True) for uid in common)]
    each = max(1, room // max(1, len(classes)))
    return [
        retrieval,
        *(Context(uid, (syntax,), as_scp=True) for uid in sorted(classes) for syntax in TRANSFER_SYNTAXES[:each]),
    ]
