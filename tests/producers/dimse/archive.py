"""A listener with something in its store, and pynetdicom as an independent query/retrieve SCU."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import build_role

from producers.dimse.extended import FIND_CLASSES, GET_CLASSES, MOVE_CLASSES
from producers.dimse.receiving import receive_all
from producers.store import PutKind, Received, Spool, split
from schemas.events import Origin
from tests.producers.listener import Listener
from tests.producers.store.data import EXPLICIT, encoded

_AT_ONCE = 50
UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


async def _put(listener: Listener, data: bytes, syntax: str) -> None:
    outcome = await listener.store.put(Received(Spool.of(data), syntax, Origin.STOW_RS))
    assert outcome.kind is PutKind.STORED, outcome.sentence


def fill(listener: Listener, images: Iterable[Dataset], syntax: str = EXPLICIT) -> None:
    """Store data sets, several at the same time."""
    waiting = list(images)

    async def put_all() -> None:
        for start in range(0, len(waiting), _AT_ONCE):
            part = waiting[start : start + _AT_ONCE]
            await asyncio.gather(*(_put(listener, encoded(image, syntax), syntax) for image in part))

    listener.run(put_all())


def fill_file(listener: Listener, path: Path) -> bytes:
    """Store a Part 10 file; returns its data set."""
    data = path.read_bytes()
    meta, offset = split(data)
    listener.run(_put(listener, data[offset:], meta.transfer_syntax_uid))
    return data[offset:]


@contextmanager
def scu(
    port: int,
    *,
    extended: dict[str, bytes] | None = None,
    storage: Sequence[tuple[str, str]] = (),
    handlers: Sequence[Any] = (),
    title: str = "VIEWER",
) -> Iterator[Association]:
    """Association of pynetdicom with all query/retrieve contexts; ``storage`` ones are for C-GET."""
    entity = AE(title)
    for uid in (*FIND_CLASSES, *GET_CLASSES, *MOVE_CLASSES):
        entity.add_requested_context(uid, list(UNCOMPRESSED))
    negotiation: list[Any] = []
    for sop_class, syntax in storage:
        entity.add_requested_context(sop_class, syntax)
        negotiation.append(build_role(sop_class, scp_role=True))
    for uid, information in (extended or {}).items():
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid, item.service_class_application_information = uid, information
        negotiation.append(item)
    association = entity.associate(
        "127.0.0.1", port, ae_title="SCANSTREAM", ext_neg=negotiation, evt_handlers=list(handlers)
    )
    assert association.is_established
    receive_all(association)
    try:
        yield association
    finally:
        association.release()


def keys(level: str, **values: Any) -> Dataset:
    """Identifier in Unicode; values may be wrong."""
    identifier = Dataset()
    identifier.SpecificCharacterSet = "ISO_IR 192"
    identifier.QueryRetrieveLevel = level
    for keyword, value in values.items():
        vr = dictionary_VR(keyword)
        identifier.add(DataElement(keyword, vr, value, validation_mode=config.IGNORE))
    return identifier
