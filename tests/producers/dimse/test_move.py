"""C-MOVE: the gateway sends to application entities of pynetdicom, and to some that misbehave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from producers.dimse.extended import FIND_CLASSES, PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE
from producers.dimse.peers import Peer
from producers.dimse.requestor import Timeouts
from producers.dimse.transfer import Route, Transfer
from producers.store.transcode import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from tests.producers.dimse.archive import fill, fill_file, keys, scu
from tests.producers.dimse.around import everyone
from tests.producers.listener import Listener, data_set_of
from tests.producers.listener import listener as running
from tests.producers.store.data import MR, PYDICOM
from tests.studies import small_study
from tests.tools import free_port


@dataclass
class Receiver:
    """A storage SCP of pynetdicom: what came, as it came, and from whose C-MOVE."""

    port: int = 0
    taken: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    originators: set[tuple[Any, Any]] = field(default_factory=set)


@contextmanager
def receiver(
    contexts: list[tuple[str, list[str]]] | None = None,
    answer: Callable[[evt.Event, int], int] = lambda event, number: 0,
) -> Iterator[Receiver]:
    """Run a receiver; ``answer`` gets the number of the object and gives its status."""
    found = Receiver()

    def take(event: evt.Event) -> int:
        request: Any = event.request
        status = answer(event, len(found.taken) + 1)
        if status == 0:
            found.taken[str(request.AffectedSOPInstanceUID)] = (
                str(event.context.transfer_syntax),
                request.DataSet.getvalue(),
            )
        found.originators.add((request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID))
        return status

    entity = AE("RECEIVER")
    for sop_class, syntaxes in contexts or [(MR, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])]:
        entity.add_supported_context(sop_class, syntaxes)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
    assert server is not None
    found.port = server.server_address[1]
    try:
        yield found
    finally:
        server.shutdown()
        entity.shutdown()


@contextmanager
def gateway(directory: Path, port: int, **more: Any) -> Iterator[Listener]:
    """Listener that knows RECEIVER at a port, and its own name."""
    peers = directory / "peers.yaml"
    entry = {"ae_title": "RECEIVER", "host": "127.0.0.1", "port": port} | more.pop("entry", {})
    peers.write_text(everyone(entry), encoding="utf-8")
    with running(directory, peers_file=peers, **more) as found:
        yield found


def move(
    listener: Listener,
    identifier: Dataset,
    destination: str = "RECEIVER",
    model: str = STUDY_ROOT_MOVE,
    cancel: bool = False,
) -> tuple[Dataset, Dataset | None, list[Dataset]]:
    """Final status, its data set, and the pending ones."""
    with scu(listener.port) as association:
        pending: list[Dataset] = []
        last: tuple[Dataset, Dataset | None] = (Dataset(), None)
        for status, found in association.send_c_move(identifier, destination, model, msg_id=9):
            last = (status, found)
            if status.Status == 0xFF00:
                pending.append(status)
                if cancel and len(pending) == 1:
                    association.send_c_cancel(9, query_model=model)
    return *last, pending


def whole(image: Dataset) -> Dataset:
    """Identifier of its study."""
    return keys("STUDY", StudyInstanceUID=image.StudyInstanceUID)


def test_a_study_arrives_byte_for_byte_and_says_whose_move_it_was(tmp_path: Path) -> None:
    images = small_study(1, slices=4)
    with receiver() as target, gateway(tmp_path, target.port) as listener:
        fill(listener, images)
        status, _, _ = move(listener, whole(images[0]))
        stored = {item.sop_instance_uid: data_set_of(item) for item in listener.stored(images[0].StudyInstanceUID)}
    assert (status.Status, status.NumberOfCompletedSuboperations) == (0x0000, 4)
    assert {uid: data for uid, (_, data) in target.taken.items()} == stored
    assert target.originators == {("VIEWER", 9)}


def test_a_compressed_image_is_sent_as_it_is_or_decoded_for_who_cannot_take_it(tmp_path: Path) -> None:
    image = dcmread(PYDICOM / "MR_small_RLE.dcm")
    rle = str(image.file_meta.TransferSyntaxUID)
    for index, (syntax, expected) in enumerate(((rle, rle), (IMPLICIT_LITTLE, IMPLICIT_LITTLE))):
        directory = tmp_path / str(index)
        directory.mkdir()
        with receiver([(MR, [syntax])]) as target, gateway(directory, target.port) as listener:
            data = fill_file(listener, PYDICOM / "MR_small_RLE.dcm")
            status, _, _ = move(listener, whole(image))
        assert status.Status == 0x0000
        ((taken_as, taken),) = target.taken.values()
        assert taken_as == expected
        assert (taken == data) == (syntax == rle)


def test_an_unknown_destination_is_said_so(tmp_path: Path) -> None:
    with gateway(tmp_path, free_port()) as listener:
        status, _, _ = move(listener, keys("STUDY", StudyInstanceUID="1.2.3"), "NOBODY")
    assert status.Status == 0xA801
    assert status.ErrorComment == "NOBODY has no address in the peers file"


def test_what_is_moved_to_ourselves_is_here_already(tmp_path: Path) -> None:
    images = small_study(1, slices=3, size=4)
    with gateway(tmp_path, free_port()) as listener:
        fill(listener, images)
        status, _, _ = move(listener, keys("PATIENT", PatientID="P-1"), "SCANSTREAM", PATIENT_ROOT_MOVE)
    assert (status.Status, status.NumberOfCompletedSuboperations) == (0x0000, 3)


def test_a_destination_that_is_away_fails_everything_with_the_reason(tmp_path: Path) -> None:
    images = small_study(1, slices=3, size=4)
    with gateway(tmp_path, free_port()) as listener:
        fill(listener, images)
        status, found, _ = move(listener, whole(images[0]))
    assert (status.Status, status.NumberOfFailedSuboperations) == (0xA702, 3)
    assert status.ErrorComment.startswith("RECEIVER at 127.0.0.1")
    assert found is not None
    assert len(found.FailedSOPInstanceUIDList) == 3


def test_a_destination_that_dies_in_the_middle_fails_the_rest(tmp_path: Path) -> None:
    images = small_study(1, slices=6, size=4)

    def die(event: evt.Event, number: int) -> int:
        if number == 3:
            event.assoc.abort()
        return 0

    with receiver(answer=die) as target, gateway(tmp_path, target.port) as listener:
        fill(listener, images)
        status, found, _ = move(listener, whole(images[0]))
    assert status.Status == 0xB000
    assert (status.NumberOfCompletedSuboperations, status.NumberOfFailedSuboperations) == (2, 4)
    assert found is not None
    assert set(found.FailedSOPInstanceUIDList) == {image.SOPInstanceUID for image in images[2:]}


def test_a_destination_that_takes_the_connection_and_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Timeouts, "__init__", lambda self, **_: _set(self, 5.0, 0.7, 0.7))
    images = small_study(1, slices=2, size=4)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        gateway(tmp_path, silent.getsockname()[1]) as listener,
    ):
        fill(listener, images)
        status, _, pending = move(listener, whole(images[0]))
    assert status.Status == 0xA702
    assert "does not answer" in status.ErrorComment or "aborts" in status.ErrorComment
    assert [state.NumberOfRemainingSuboperations for state in pending][:1] == [2]


def _set(limits: Timeouts, connect_s: float, association_s: float, response_s: float) -> None:
    for name, value in (("connect_s", connect_s), ("association_s", association_s), ("response_s", response_s)):
        object.__setattr__(limits, name, value)


def test_sop_classes_that_the_destination_does_not_take_fail_and_the_others_arrive(tmp_path: Path) -> None:
    images = small_study(1, slices=3, size=4)
    images[1].SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    with receiver() as target, gateway(tmp_path, target.port) as listener:
        fill(listener, images)
        status, found, _ = move(listener, whole(images[0]))
    assert (status.Status, len(target.taken)) == (0xB000, 2)
    assert found is not None
    assert found.FailedSOPInstanceUIDList == images[1].SOPInstanceUID


def test_a_refusing_destination_says_so_for_each_object(tmp_path: Path) -> None:
    images = small_study(1, slices=3, size=4)
    with (
        receiver(answer=lambda event, number: 0xA700) as target,
        gateway(tmp_path, target.port) as listener,
    ):
        fill(listener, images)
        status, _, _ = move(listener, whole(images[0]))
    assert (status.Status, status.NumberOfFailedSuboperations) == (0xA702, 3)


def test_a_move_reports_while_it_goes_on_and_can_be_cancelled(tmp_path: Path) -> None:
    images = small_study(1, slices=40, size=4)

    def slowly(event: evt.Event, number: int) -> int:
        time.sleep(0.2)
        return 0

    with receiver(answer=slowly) as target, gateway(tmp_path, target.port) as listener:
        fill(listener, images)
        status, _, pending = move(listener, whole(images[0]), cancel=True)
    assert status.Status == 0xFE00
    assert pending
    assert 0 < status.NumberOfCompletedSuboperations < 40
    assert status.NumberOfRemainingSuboperations == 40 - status.NumberOfCompletedSuboperations
    assert len(target.taken) == status.NumberOfCompletedSuboperations


def test_a_move_ends_when_its_requestor_goes_away(tmp_path: Path) -> None:
    images = small_study(1, slices=40, size=4)
    began = threading.Event()

    def slowly(event: evt.Event, number: int) -> int:
        began.set()
        time.sleep(0.2)
        return 0

    with receiver(answer=slowly) as target, gateway(tmp_path, target.port) as listener:
        fill(listener, images)
        with scu(listener.port) as association:
            association.send_c_move(whole(images[0]), "RECEIVER", STUDY_ROOT_MOVE)
            assert began.wait(30)
            association.abort()
        _until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("Requestor")])
        assert len(target.taken) < 40


def test_a_transfer_that_waits_for_a_stuck_receiver_can_be_broken_off(tmp_path: Path) -> None:
    images = small_study(1, slices=2, size=4)
    reached, gate = threading.Event(), threading.Event()

    def stuck(event: evt.Event, number: int) -> int:
        reached.set()
        gate.wait(30)
        return 0

    with receiver(answer=stuck) as target, gateway(tmp_path, target.port) as listener:
        fill(listener, images)
        peer = Peer(ae_title="RECEIVER", host="127.0.0.1", port=target.port)
        route = Route(peer, "SCANSTREAM", ("VIEWER", 1), Timeouts())
        transfer = Transfer(route, listener.stored(images[0].StudyInstanceUID), lambda instance, why: None)
        thread = threading.Thread(target=transfer.run)
        thread.start()
        assert reached.wait(30)
        transfer.stop(at_once=True)
        thread.join(15)
        gate.set()
        assert not thread.is_alive()
        assert transfer.state.completed == 0


def test_moves_beyond_the_limit_wait_and_say_that_they_do(tmp_path: Path) -> None:
    images = small_study(1, slices=1, size=4)
    gate = threading.Event()

    def held(event: evt.Event, number: int) -> int:
        gate.wait(30)
        return 0

    with (
        receiver(answer=held) as target,
        gateway(tmp_path, target.port, max_moves=1) as listener,
        scu(listener.port) as one,
        scu(listener.port) as two,
    ):
        fill(listener, images)
        first = one.send_c_move(whole(images[0]), "RECEIVER", STUDY_ROOT_MOVE)
        assert next(first)[0].Status == 0xFF00
        second = two.send_c_move(whole(images[0]), "RECEIVER", STUDY_ROOT_MOVE, msg_id=4)
        assert next(second)[0].NumberOfRemainingSuboperations == 1
        # one that the end of the process does not wait for
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "call"] == [True]
        two.send_c_cancel(4, query_model=STUDY_ROOT_MOVE)
        *_, (status, _) = second
        assert status.Status == 0xFE00
        gate.set()
        *_, (status, _) = first
        assert status.Status == 0x0000


def test_a_peer_without_the_right_cannot_move(tmp_path: Path) -> None:
    peers = tmp_path / "peers.yaml"
    peers.write_text(yaml.safe_dump({"others": ["find"]}), encoding="utf-8")
    with running(tmp_path, peers_file=peers) as listener, scu(listener.port) as association:
        assert {str(context.abstract_syntax) for context in association.accepted_contexts} == set(FIND_CLASSES)


def test_a_destination_that_wants_tls_needs_our_certificate(tmp_path: Path) -> None:
    images = small_study(1, slices=2, size=4)
    with gateway(tmp_path, free_port(), entry={"tls": True}) as listener:
        fill(listener, images)
        status, _, _ = move(listener, whole(images[0]))
    assert status.Status == 0xA702
    assert "TLS" in status.ErrorComment


def _until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
