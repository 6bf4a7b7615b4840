from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom.filereader import read_dataset

from benchmarks import receivers
from benchmarks.images import Size, image
from benchmarks.load import Prepared, run
from producers.dimse.message import Message, MessageAssembler
from producers.dimse.pdu import PduStream
from producers.store.spool import Spool


def messages(wire: bytearray) -> list[Message]:
    stream, assembler = PduStream(1 << 20), MessageAssembler({3}, lambda *_: Spool())
    return [message for _, body in stream.feed(bytes(wire)) for message in assembler.feed(body)]


@pytest.mark.parametrize("size", ["ct", "small"])
@pytest.mark.parametrize("max_pdu", [16382, 128 * 1024])
def test_each_send_is_another_instance_that_says_its_own_names(size: Size, max_pdu: int) -> None:
    prepared = Prepared(image(size), max_pdu, sender=7)
    instances, studies = set(), set()
    for _ in range(201):
        (message,) = messages(prepared.next())
        assert message.data_set is not None
        data_set = read_dataset(BytesIO(message.data_set.prefix(2000)), False, True, stop_when=_pixels)
        assert data_set.SOPInstanceUID == message.command.sop_instance_uid
        instances.add(data_set.SOPInstanceUID)
        studies.add((data_set.StudyInstanceUID, data_set.SeriesInstanceUID))
    assert (len(instances), len(studies)) == (201, 2)


def test_two_senders_have_no_name_in_common() -> None:
    sent = {bytes(Prepared(image("small"), 16382, sender).next()) for sender in range(20)}
    assert len(sent) == 20


@pytest.mark.integration
def test_what_is_acknowledged_is_counted(tmp_path: Path) -> None:
    with receivers.null_acceptor(tmp_path) as receiver:
        counted = run(receiver.port, image("small"), 3, 0.0, 60.0, most=50)
    assert (counted.acknowledged, counted.refused, counted.failures) == (150, 0, [])


@pytest.mark.integration
@pytest.mark.parametrize("index", [True, False])
def test_the_peer_made_of_pynetdicom_stores_what_it_acknowledges(tmp_path: Path, index: bool) -> None:
    with receivers.pynetdicom(tmp_path / "peer", index=index) as receiver:
        counted = run(receiver.port, image("small"), 2, 0.0, 60.0, most=5, called=receiver.called)
        assert (counted.acknowledged, counted.failures) == (10, [])
        assert len(list(receiver.files.iterdir())) == 10


def _pixels(tag: object, vr: str | None, length: int) -> bool:
    return tag == 0x7FE00010
