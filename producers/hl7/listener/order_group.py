"""Segments of ORM^O01 and OMI^O23 → one group per order, and what its fields mean. Pure.

Until 2.4 priority and time stand in ORC-7 and OBR-27 (TQ), from 2.5 on in TQ1, and what a modality is to do in
IPC; systems mix all of them, so each value is taken from wherever it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from producers.hl7.listener.patient import text
from producers.hl7.listener.problem import REQUIRED, SEQUENCE, TABLE_VALUE, Rejected
from producers.hl7.listener.sources import Source
from producers.hl7.listener.times import moment
from producers.hl7.read import Message, Segment

ACTIVE, HELD, CANCELLED, COMPLETED = "active", "held", "cancelled", "completed"

#: ORC-1 (table 0119) → what becomes of the order; ``None``: ORC-5 says.
_CONTROLS: Final[dict[str, str | None]] = {
    **dict.fromkeys(("NW", "XO", "RO", "XX", "XR", "PA", "CH", "RL", "OE", "OR", "AF", "LI"), ACTIVE),
    **dict.fromkeys(("CA", "OC", "CR", "DC", "OD", "DR", "RP", "RQ", "RU"), CANCELLED),
    **dict.fromkeys(("HD", "OH", "HR"), HELD),
    **dict.fromkeys(("SC", "SN", "SR", "SS", "OK", "NA", "RE", "PR", "CN", "RR", "DE"), None),
    **dict.fromkeys(("UA", "UC", "UD", "UF", "UH", "UM", "UN", "UR", "UX"), None),
    # not of the table, but sent
    "CM": COMPLETED,
}
#: ORC-5 (table 0038).
_STATUSES: Final = {"CM": COMPLETED, "CA": CANCELLED, "DC": CANCELLED, "RP": CANCELLED, "HD": HELD}
#: Begins an order anew: what was known of it does not count.
NEW: Final = "NW"
#: Codes of tables 0027 and 0485, and the words that are sent instead.
_PRIORITIES: Final = {
    **dict.fromkeys(("STAT", "EMERGENCY", "CITO", "ЦІТО", "ЦИТО", "УРГЕНТНО", "НЕВІДКЛАДНО"), "S"),
    **dict.fromkeys(("ASAP", "URGENT", "HIGH", "ТЕРМІНОВО"), "A"),
    **dict.fromkeys(("ROUTINE", "NORMAL", "ELECTIVE", "ПЛАНОВО"), "R"),
}
_LONGEST_PRIORITY: Final = 16


@dataclass
class Group:
    """Segments of one order; ``control`` and the methods read them."""

    orc: Segment | None = None
    obr: Segment | None = None
    tq1: Segment | None = None
    zds: Segment | None = None
    ipcs: list[Segment] = field(default_factory=list)

    @property
    def control(self) -> str:
        """ORC-1; without an ORC the order is new."""
        return text(self.orc, 1).upper() if self.orc else NEW

    def status(self) -> str | None:
        """Active, held, cancelled or completed; ``None`` where the message leaves it as it was.

        Raises
        ------
        Rejected
            ORC-1 is missing, or none that we know.
        """
        control = self.control
        if not control:
            raise Rejected(REQUIRED, "ORC-1", "ORC-1 says no order control: send one such as NW")
        if control not in _CONTROLS:
            raise Rejected(TABLE_VALUE, "ORC-1", "ORC-1 is no order control that is known: see docs/hl7-orders.md")
        said, stands = _CONTROLS[control], text(self.orc, 5).upper()
        if said in (None, ACTIVE) and stands:
            # a change of an order that is done or held by now says so here
            return _STATUSES.get(stands, ACTIVE)
        return said

    def priority(self) -> str | None:
        """Code of table 0485 or 0027; another one as it is."""
        places = (text(self.tq1, 9), text(self.orc, 7, 6), text(self.obr, 27, 6), text(self.obr, 5))
        said = next((value.upper() for value in places if value), "")
        return _PRIORITIES.get(said, said[:_LONGEST_PRIORITY]) or None

    def start(self, source: Source) -> datetime | None:
        """When it is to be done."""
        places = (text(self.tq1, 7), text(self.orc, 7, 4), text(self.obr, 27, 4), text(self.obr, 36))
        return next((found for value in places if value and (found := moment(value, source.zone))), None)

    def accession(self, source: Source) -> str:
        """Accession number, from the first field of the source's list that has one.

        Raises
        ------
        Rejected
            None of them has.
        """
        for place in source.accession:
            name, _, number = place.partition("-")
            holders = self.ipcs if name == "IPC" else [self.orc if name == "ORC" else self.obr]
            for holder in holders:
                value = text(holder, int(number))
                if value:
                    return value
        wanted = source.accession[0] if source.accession != Source.model_fields["accession"].default else "OBR-18"
        raise Rejected(
            REQUIRED,
            wanted,
            f"no accession number in {', '.join(source.accession)}: send one in one of these fields",
        )

    def accession_issuer(self, source: Source) -> str | None:
        """Who issued the accession number: as agreed on, else IPC-1.2 or IPC-1.3 (IHE RAD TF-2 4.2)."""
        named = (text(ipc, 1, part) for ipc in self.ipcs for part in (2, 3))
        return source.accession_issuer or next((issuer for issuer in named if issuer), None)

    def study_instance_uid(self) -> str | None:
        """IPC-3, or ZDS-1 (IHE RAD-4)."""
        return next((uid for one in self.ipcs if (uid := text(one, 3))), "") or text(self.zds, 1) or None


def groups_of(message: Message) -> list[Group]:
    """Orders of a message, in order.

    Raises
    ------
    Rejected
        It has none.
    """
    found = list(_groups(message))
    if not found:
        raise Rejected(SEQUENCE, "ORC", "the message has neither ORC nor OBR: send the order")
    return found


def _groups(message: Message) -> Iterator[Group]:
    group: Group | None = None
    for segment in message.segments:
        if segment.name == "ORC" or (segment.name == "OBR" and (group is None or group.obr is not None)):
            if group is not None:
                yield group
            group = Group()
        if group is None:
            continue
        match segment.name:
            case "ORC":
                group.orc = segment
            case "OBR":
                group.obr = segment
            case "TQ1":
                group.tq1 = group.tq1 or segment
            case "ZDS":
                group.zds = group.zds or segment
            case "IPC":
                group.ipcs.append(segment)
    if group is not None:
        yield group
