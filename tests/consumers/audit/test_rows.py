"""What a row of the audit store shows of a message, and what it keeps to itself."""

from __future__ import annotations

import dataclasses
import json

from consumers.audit.rows import WITHHELD, RawMessage, rows_of
from schemas.codec import Codec
from schemas.events import ClinicalContext, WorklistItem
from schemas.topics import Topic
from tests.schemas.test_contract import example

CODEC = Codec()


def ordered() -> tuple[ClinicalContext, WorklistItem]:
    event = example("ClinicalContext")
    assert isinstance(event, ClinicalContext)
    assert event.worklist is not None
    return event, event.worklist


def test_the_identity_in_a_worklist_item_does_not_get_into_a_row() -> None:
    event, item = ordered()
    value = CODEC.encode(event)
    whole = RawMessage(Topic.CONTEXT, 0, 0, b"A-2026-0117", value, [], 1000)
    broken = RawMessage(Topic.CONTEXT, 0, 1, b"A-2026-0117", b"\0" + value, [], 1000)
    rows, _ = rows_of([whole, broken], CODEC, {})
    assert json.loads(rows[0].body)["worklist"] == WITHHELD
    assert json.loads(rows[0].body)["order_priority"] == "S"
    assert rows[1].problem
    assert rows[1].body.startswith("sha256:")
    for row in rows:
        shown = "".join(map(str, dataclasses.astuple(row)))
        for identity in (item.patient_name, item.patient_id, item.patient_birth_date, "P-0117"):
            assert str(identity) not in shown


def test_a_worklist_item_does_not_show_what_it_holds_when_it_is_printed() -> None:
    event, item = ordered()
    assert item.patient_name not in repr(event)
