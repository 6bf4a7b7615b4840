"""Reports of storage commitment on associations that the peer opens; requests are tested with the writer."""

from __future__ import annotations

import threading

import pytest
from pydicom import Dataset
from pynetdicom import AE

from producers.dimse.commitment_listener import CommitmentListener
from producers.dimse.commitment_request import Reports
from producers.dimse.rights import STORAGE_COMMITMENT
from schemas.errors import ConfigurationError

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("calling", "called"), [("STRANGER", "WRITER"), ("PACS", "OTHER")])
def test_the_listener_takes_only_the_pacs_that_was_asked(calling: str, called: str) -> None:
    listener = CommitmentListener("127.0.0.1", 0, "WRITER", "PACS", lambda *_: 0)
    entity = AE(calling)
    entity.add_requested_context(STORAGE_COMMITMENT)
    association = entity.associate("127.0.0.1", listener.port, ae_title=called)
    assert association.is_rejected
    listener.close()


def test_a_port_that_is_taken_names_the_setting() -> None:
    listener = CommitmentListener("127.0.0.1", 0, "WRITER", "PACS", lambda *_: 0)
    with pytest.raises(ConfigurationError, match="SCANSTREAM_STOW_COMMITMENT_PORT"):
        CommitmentListener("127.0.0.1", listener.port, "WRITER", "PACS", lambda *_: 0)
    listener.close()


def test_a_late_report_is_taken_and_forgotten() -> None:
    reports, late = Reports(), Dataset()
    late.TransactionUID = "1.2.3"
    assert reports.hear(1, late) == 0x0000
    broken = Dataset()
    broken.TransactionUID = "1.2.4"
    broken.FailedSOPSequence = [Dataset()]
    with reports.expected("1.2.4"):
        assert reports.hear(2, broken) == 0x0110
        assert reports.wait("1.2.4", 0.0) is None


def test_an_association_that_stays_open_does_not_hold_up_the_end_of_the_process() -> None:
    before = set(threading.enumerate())
    listener = CommitmentListener("127.0.0.1", 0, "WRITER", "PACS", lambda *_: 0)
    entity = AE("PACS")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", listener.port, ae_title="WRITER")
    assert association.is_established
    ours = {association, association.dul}
    assert all(thread.daemon for thread in set(threading.enumerate()) - before - ours)
    association.release()
    listener.close()
