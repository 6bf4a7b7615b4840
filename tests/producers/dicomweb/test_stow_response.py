"""Status and body of a Store Instances Response."""

from __future__ import annotations

import pytest

from producers.dicomweb.stow_response import body_of, status_of
from producers.store import PutKind, PutOutcome, Status

BASE = "http://gateway/dicom-web"


def stored(study: str, instance: str) -> PutOutcome:
    return PutOutcome(PutKind.STORED, Status.SUCCESS, "", study, "1.2.9", instance, "1.2.840.1")


def refused(status: Status, instance: str | None = None) -> PutOutcome:
    return PutOutcome(PutKind.REFUSED, status, "no", "1.2", "1.2.9", instance, "1.2.840.1" if instance else None)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([stored("1", "1.1")], 200),
        ([stored("1", "1.1"), refused(Status.CANNOT_UNDERSTAND)], 202),
        ([stored("1", "1.1"), refused(Status.OUT_OF_RESOURCES)], 202),
        ([refused(Status.CANNOT_UNDERSTAND)], 409),
        ([refused(Status.CANNOT_UNDERSTAND), refused(Status.OUT_OF_RESOURCES)], 409),
        ([refused(Status.OUT_OF_RESOURCES), refused(Status.OUT_OF_RESOURCES)], 503),
    ],
)
def test_status(outcomes: list[PutOutcome], status: int) -> None:
    assert status_of(outcomes) == status


def test_failures_with_and_without_uids_go_to_their_sequences() -> None:
    body = body_of(
        [stored("1", "1.1"), refused(Status.DUPLICATE_SOP_INSTANCE, "1.2"), refused(Status.CANNOT_UNDERSTAND)],
        BASE,
        None,
    )
    assert body["00081190"]["Value"] == [f"{BASE}/studies/1"]
    (reference,) = body["00081199"]["Value"]
    assert reference["00081190"]["Value"] == [f"{BASE}/studies/1/series/1.2.9/instances/1.1"]
    (failed,) = body["00081198"]["Value"]
    assert failed["00081155"]["Value"] == ["1.2"]
    assert failed["00081197"] == {"vr": "US", "Value": [0x0111]}
    assert body["0008119A"]["Value"] == [{"00081197": {"vr": "US", "Value": [0xC000]}}]


def test_two_studies_have_no_common_retrieve_url_and_nothing_failed_is_absent() -> None:
    body = body_of([stored("1", "1.1"), stored("2", "2.1")], BASE, None)
    assert body.keys() == {"00081199"}


def test_a_first_instance_that_is_kept_is_a_warning() -> None:
    kept = PutOutcome(
        PutKind.KEPT_FIRST, Status.COERCION_OF_DATA_ELEMENTS, "kept", "1", "1.2.9", "1.1", "1.2.840.1"
    )
    assert status_of([kept]) == 202
    (reference,) = body_of([kept], BASE, None)["00081199"]["Value"]
    assert reference["00081196"] == {"vr": "US", "Value": [0xB000]}
