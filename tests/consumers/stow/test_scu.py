"""C-STORE to PACS that answer everything there is, and to some that do not answer."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt

from consumers.stow.sameness import differs_at
from consumers.stow.scu import StorageScu
from producers.dimse.peers import Peer
from producers.dimse.requestor import Timeouts
from producers.dimse.silence import silence
from producers.store.part10 import FileMeta, encode_header, split
from schemas.errors import DestinationUnavailable, ScanstreamError, TransientFailure
from schemas.events import DeliveryStatus
from tests.consumers.stow.acceptor import Pacs, accepting
from tests.consumers.stow.objects import SEG, SR
from tests.tools import free_port

pytestmark = pytest.mark.integration

CLASSES = (SEG.sop_class_uid, SR.sop_class_uid)
QUICK = Timeouts(connect_s=5.0, association_s=5.0, response_s=5.0)


@pytest.fixture(autouse=True)
def quiet() -> None:
    silence()


@pytest.fixture(scope="module")
def acceptor() -> Iterator[Pacs]:
    with accepting(Pacs(), CLASSES) as found:
        yield found


@pytest.fixture
def pacs(acceptor: Pacs) -> Pacs:
    """A PACS that takes everything, and remembers nothing of other tests."""
    acceptor.answer = lambda _: 0x0000
    acceptor.stored.clear()
    acceptor.associations.clear()
    return acceptor


def asked_for(event: evt.Event) -> str:
    request: Any = event.request
    return str(request.AffectedSOPInstanceUID)


def scu(pacs: Pacs, timeouts: Timeouts = QUICK) -> StorageScu:
    return StorageScu(pacs.peer(), "SCANSTREAM", timeouts)


def test_objects_go_on_one_association_byte_for_byte_in_their_order(pacs: Pacs) -> None:
    outcomes = scu(pacs).store([SEG, SR])
    assert [(one.status, one.identifier, one.status_code) for one in outcomes] == [
        (DeliveryStatus.STORED, "1.3", 0),
        (DeliveryStatus.STORED, "1.5", 0),
    ]
    assert pacs.uids() == ["1.3", "1.5"]
    assert len(pacs.associations) == 1
    for item, (_, syntax, data) in zip([SEG, SR], pacs.stored, strict=True):
        meta, offset = split(item.data)
        assert (meta.transfer_syntax_uid, item.data[offset:]) == (syntax, data)


def test_a_pacs_that_knows_only_implicit_vr_gets_it() -> None:
    with accepting(Pacs(), CLASSES, syntaxes=[ImplicitVRLittleEndian]) as pacs:
        assert {one.status for one in scu(pacs).store([SEG, SR])} == {DeliveryStatus.STORED}
        for item, (_, syntax, data) in zip([SEG, SR], pacs.stored, strict=True):
            assert syntax == ImplicitVRLittleEndian
            header = encode_header(FileMeta(syntax, item.sop_class_uid, item.sop_instance_uid))
            assert differs_at(item.data, pydicom.dcmread(io.BytesIO(header + data))) is None


@pytest.mark.parametrize(
    ("status", "words"),
    [(0xB000, "attributes coerced"), (0xB006, "elements discarded"), (0xB007, "does not match the SOP class")],
)
def test_a_warning_is_kept(pacs: Pacs, status: int, words: str) -> None:
    pacs.answer = lambda _: status
    (outcome,) = scu(pacs).store([SR])
    assert (outcome.status, outcome.status_code) == (DeliveryStatus.STORED, status)
    assert outcome.reason is not None
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0x0122, "SOP class not supported): enable this SOP class"),
        (0x0124, "not authorized): give this writer the right"),
        (0xA900, "does not match the SOP class): see its log"),
        (0xC123, "cannot understand"),
        (0x0117, "invalid object instance"),
        (0x7777, "7777H"),
    ],
)
def test_a_refusal_of_one_object_is_its_outcome_and_the_others_are_stored(
    pacs: Pacs, status: int, words: str
) -> None:
    pacs.answer = lambda event: status if asked_for(event) == "1.3" else 0x0000
    seg, sr = scu(pacs).store([SEG, SR])
    assert (seg.status, seg.status_code, sr.status) == (DeliveryStatus.FAILED, status, DeliveryStatus.STORED)
    assert seg.reason is not None
    assert words in seg.reason


def test_a_duplicate_that_cannot_be_looked_at_is_ours(pacs: Pacs) -> None:
    pacs.answer = lambda _: 0x0111
    (outcome,) = scu(pacs).store([SR])
    assert (outcome.status, outcome.status_code) == (DeliveryStatus.STORED, 0x0111)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0xA700, DestinationUnavailable),
        (0xA7FF, DestinationUnavailable),
        (0x0110, TransientFailure),
        (0x0213, TransientFailure),
    ],
)
def test_what_may_pass_is_tried_again(pacs: Pacs, status: int, error: type[ScanstreamError]) -> None:
    pacs.answer = lambda _: status
    with pytest.raises(error, match=f"{status:04X}H"):
        scu(pacs).store([SR])


def test_a_sop_class_that_is_not_taken_is_named() -> None:
    with accepting(Pacs(), [SR.sop_class_uid]) as pacs:
        seg, sr = scu(pacs).store([SEG, SR])
    assert (seg.status, seg.status_code, sr.status) == (DeliveryStatus.FAILED, 0x0122, DeliveryStatus.STORED)
    assert seg.reason is not None
    assert "Segmentation Storage" in seg.reason


def test_a_pacs_that_takes_none_of_them_names_all() -> None:
    with accepting(Pacs(), []) as pacs:
        assert {one.status for one in scu(pacs).store([SEG, SR])} == {DeliveryStatus.FAILED}


def test_a_pacs_that_is_not_there_is_away() -> None:
    away = StorageScu(Peer(ae_title="PACS", host="127.0.0.1", port=free_port()), "SCANSTREAM", QUICK)
    with pytest.raises(DestinationUnavailable, match="is not reached"):
        away.store([SR])
    with pytest.raises(DestinationUnavailable):
        away.probe()


def test_a_pacs_that_does_not_know_us_is_waited_for_and_says_what_to_do() -> None:
    def strangers_out(entity: AE) -> None:
        entity.require_calling_aet = ["OTHER"]

    with accepting(Pacs(), CLASSES, configure=strangers_out) as pacs:
        with pytest.raises(DestinationUnavailable, match="register our AE title SCANSTREAM"):
            scu(pacs).store([SR])
        with pytest.raises(DestinationUnavailable, match="register our AE title"):
            scu(pacs).probe()


def test_a_pacs_of_another_title_or_unknown_name_names_the_settings() -> None:
    def pedantic(entity: AE) -> None:
        entity.require_called_aet = True

    with accepting(Pacs(), CLASSES, configure=pedantic) as pacs:
        other = StorageScu(pacs.peer("OTHER"), "SCANSTREAM", QUICK)
        with pytest.raises(DestinationUnavailable, match="not called OTHER: correct SCANSTREAM_STOW_HOST"):
            other.store([SR])
    unknown = StorageScu(Peer(ae_title="PACS", host="pacs.invalid", port=104), "SCANSTREAM", QUICK)
    with pytest.raises(DestinationUnavailable, match="check SCANSTREAM_STOW_HOST"):
        unknown.probe()


def test_a_pacs_that_breaks_off_at_an_instance_is_not_away(pacs: Pacs) -> None:
    def abort(event: evt.Event) -> int:
        event.assoc.abort()
        return 0x0000

    pacs.answer = abort
    with pytest.raises(TransientFailure, match="broke off at a Segmentation Storage"):
        scu(pacs).store([SEG, SR])


def test_a_pacs_that_hangs_on_an_instance_is_not_away(pacs: Pacs) -> None:
    released = threading.Event()

    def hang(_: evt.Event) -> int:
        released.wait(30)
        return 0x0000

    pacs.answer = hang
    try:
        with pytest.raises(TransientFailure, match="gave no answer within"):
            scu(pacs, Timeouts(connect_s=5.0, association_s=5.0, response_s=0.5)).store([SR])
    finally:
        released.set()


def test_a_pacs_that_cannot_be_asked_has_no_reports(pacs: Pacs) -> None:
    assert scu(pacs).reports("1.1") == []
