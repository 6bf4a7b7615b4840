from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.audit_events import AuditEvents
from producers.store import ConflictPolicy, InstanceStore, PutKind, Status
from producers.telemetry import Telemetry
from schemas.codec import Codec
from schemas.events import AuditEvent, InstanceStored
from tests.producers.listener import ARRIVALS, data_set_of
from tests.producers.store.data import encoded, image, put, received

AUDIT = AuditEvents("site-1", "node-1", "/site-1/node-1/gateway")


class Stores:
    """Opens the store of a test under a policy, again and again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store: InstanceStore | None = None

    def open(self, policy: ConflictPolicy) -> InstanceStore:
        self.close()
        self.store = InstanceStore.open(
            self.root, ARRIVALS.stored, Telemetry(), conflict_policy=policy, audit=AUDIT
        )
        return self.store

    def close(self) -> None:
        if self.store is not None:
            self.store.close()


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    found = Stores(tmp_path / "store")
    yield found
    found.close()


def outbox_of(store: InstanceStore) -> list[InstanceStored | AuditEvent]:
    events = [Codec().decode(row.message.value) for row in store.outbox.read(0, 10_000, 1 << 30)]
    return [event for event in events if isinstance(event, InstanceStored | AuditEvent)]


async def content(store: InstanceStore, study: str = "1.2.3") -> list[bytes]:
    return [data_set_of(one) for one in await store.instances_of(study)]


FIRST, OTHER = image(), image(StudyDescription="other", PatientID="SECRET-2", SeriesDescription="new")


@pytest.mark.parametrize(
    ("policy", "kind", "status", "stays"),
    [
        (ConflictPolicy.REJECT, PutKind.CONFLICT, Status.DUPLICATE_SOP_INSTANCE, FIRST),
        (ConflictPolicy.KEEP_FIRST, PutKind.KEPT_FIRST, Status.COERCION_OF_DATA_ELEMENTS, FIRST),
        (ConflictPolicy.REPLACE, PutKind.REPLACED, Status.SUCCESS, OTHER),
    ],
)
async def test_other_bytes_follow_the_policy_and_are_audited_without_identity(
    stores: Stores, policy: ConflictPolicy, kind: PutKind, status: Status, stays: object
) -> None:
    store = stores.open(policy)
    await put(store, FIRST)
    outcome = await store.put(received(encoded(OTHER), calling_ae_title="CT1"))
    assert (outcome.kind, outcome.status) == (kind, status)
    assert outcome.ok is (policy is not ConflictPolicy.REJECT)
    assert await content(store) == [encoded(stays)]
    assert list((store.root / "incoming").iterdir()) == []
    (audit,) = [event for event in outbox_of(store) if isinstance(event, AuditEvent)]
    assert audit.code == "110104"
    assert audit.detail is not None
    assert (audit.detail["policy"], audit.detail["calling_ae_title"]) == (policy.value, "CT1")
    assert "SECRET" not in repr(audit)
    stored = [event for event in outbox_of(store) if isinstance(event, InstanceStored)]
    assert len({event.event_id for event in stored}) == len(stored) == (2 if kind is PutKind.REPLACED else 1)
    assert [event.replaces for event in stored] == [False, True][: len(stored)]
    # The same bytes as those that stay are a duplicate, whatever the policy.
    assert (await put(store, stays)).kind is PutKind.DUPLICATE


async def test_replacing_gives_study_and_series_the_new_attributes(stores: Stores) -> None:
    store = stores.open(ConflictPolicy.REPLACE)
    await put(store, FIRST)
    await put(store, image(sop="1.2.3.5"))
    await put(store, OTHER)
    (study,) = await store.search("study", {})
    assert (study["StudyDescription"], study["PatientID"]) == ("other", "SECRET-2")
    assert study["NumberOfStudyRelatedInstances"] == 2
    (series,) = await store.search("series", {})
    assert series["SeriesDescription"] == "new"


async def test_the_same_uid_in_another_study_is_a_conflict_and_moves_when_it_replaces(stores: Stores) -> None:
    store = stores.open(ConflictPolicy.REJECT)
    await put(store, FIRST)
    assert (await put(store, image(study="9.9"))).kind is PutKind.CONFLICT
    store = stores.open(ConflictPolicy.REPLACE)
    assert (await put(store, image(study="9.9"))).kind is PutKind.REPLACED
    assert [row["StudyInstanceUID"] for row in await store.search("study", {})] == ["9.9"]
    assert [row["StudyInstanceUID"] for row in await store.search("series", {})] == ["9.9"]
    assert await content(store) == []
    assert await content(store, "9.9") == [encoded(image(study="9.9"))]


async def test_a_reader_finds_the_old_file_whole_while_it_is_replaced_and_a_start_removes_it(
    stores: Stores,
) -> None:
    store = stores.open(ConflictPolicy.REPLACE)
    await put(store, FIRST)
    (before,) = await store.instances_of("1.2.3")
    await put(store, OTHER)
    assert data_set_of(before) == encoded(FIRST)
    assert await content(store) == [encoded(OTHER)]
    store = stores.open(ConflictPolicy.REPLACE)
    assert not before.path.exists()
    assert await content(store) == [encoded(OTHER)]
    assert len([event for event in outbox_of(store) if isinstance(event, InstanceStored)]) == 2


async def test_back_and_forth_keeps_the_last(stores: Stores) -> None:
    store = stores.open(ConflictPolicy.REPLACE)
    for one in (FIRST, OTHER, FIRST, OTHER, FIRST):
        assert (await put(store, one)).kind in (PutKind.STORED, PutKind.REPLACED)
    assert await content(store) == [encoded(FIRST)]
    store = stores.open(ConflictPolicy.REPLACE)
    assert await content(store) == [encoded(FIRST)]
    assert len(list((store.root / "instances").rglob("*.dcm"))) == 1


async def test_many_versions_at_once_leave_one_whole_and_say_which(stores: Stores) -> None:
    store = stores.open(ConflictPolicy.REPLACE)
    versions = [image(StudyDescription=f"version {number}") for number in range(20)]
    outcomes = await asyncio.gather(*(put(store, one) for one in versions))
    assert all(outcome.ok for outcome in outcomes)
    assert len(await content(store)) == 1
    assert (await content(store))[0] in [encoded(one) for one in versions]
