"""Associations that we open, against our own listener, pynetdicom's acceptor, and peers that misbehave."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from producers.dimse.outbound import Delivery, Outbound
from producers.dimse.peers import Peer
from producers.dimse.proposals import EXPLICIT_LITTLE, FALLBACKS, Context, batches
from producers.dimse.requestor import Proposal, Timeouts, associated
from schemas.errors import ConfigurationError, DestinationUnavailable, PermanentRejection
from tests.producers.dimse.peer import MR, VERIFICATION
from tests.producers.listener import Listener, data_set_of
from tests.studies import small_study
from tests.tools import free_port

ECHO = Proposal([Context(VERIFICATION, FALLBACKS)])
QUICK = Timeouts(connect_s=5.0, association_s=5.0, response_s=5.0)
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"


def at(port: int, title: str = "SCANSTREAM", **more: Any) -> Peer:
    """Entry of a peer on this machine."""
    return Peer(ae_title=title, host="127.0.0.1", port=port, **more)


@contextmanager
def acceptor(handlers: Sequence[tuple[Any, ...]], configure: Any = lambda entity: None) -> Iterator[int]:
    """pynetdicom's own acceptor on a free port."""
    entity = AE("PACS")
    for uid in (VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET, "1.2.840.10008.1.20.1"):
        entity.add_supported_context(uid)
    entity.add_supported_context(MR, scu_role=True, scp_role=True)
    configure(entity)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers))
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        entity.shutdown()


@contextmanager
def association(
    handlers: Sequence[tuple[Any, ...]] = (),
    proposal: Proposal = ECHO,
    *,
    configure: Any = lambda entity: None,
    title: str = "PACS",
    take: Any = None,
) -> Iterator[Outbound]:
    """An association with pynetdicom's acceptor."""
    with (
        acceptor(handlers, configure) as port,
        associated(at(port, title), "GATEWAY", proposal, timeouts=QUICK, take=take) as found,
    ):
        yield found


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Nothing that an association started is alive after it."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert not set(threading.enumerate()) - before


def test_an_echo_reaches_our_own_listener(listener: Listener) -> None:
    with associated(at(listener.port), "PEER", ECHO, timeouts=QUICK) as opened:
        opened.echo()
        assert opened.accepts(VERIFICATION)
        assert not opened.accepts(MR)


def test_it_opens_in_a_process_that_has_a_thousand_files_open(listener: Listener) -> None:
    """A gateway that holds a thousand associations; select(2) would not know the socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 2048 if hard == resource.RLIM_INFINITY else min(2048, hard)
    assert most > 1200, "raise the hard limit of open files (ulimit -Hn)"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft), hard))
    with ExitStack() as files:
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            files.enter_context(Path("/dev/null").open("rb"))
        with associated(at(listener.port), "PEER", ECHO, timeouts=QUICK) as opened:
            opened.echo()


def test_its_threads_do_not_hold_up_the_end_of_the_process(listener: Listener) -> None:
    before = set(threading.enumerate())
    with associated(at(listener.port), "PEER", ECHO, timeouts=QUICK):
        started = set(threading.enumerate()) - before
        assert len(started) == 2
        assert all(thread.daemon for thread in started)


def test_a_file_is_stored_byte_for_byte(listener: Listener, tmp_path: Path) -> None:
    image = small_study(1, slices=1)[0]
    path = tmp_path / "image.dcm"
    image.save_as(path, enforce_file_format=True)
    proposal = Proposal([Context(MR, (EXPLICIT_LITTLE,))])
    with associated(at(listener.port), "PEER", proposal, timeouts=QUICK) as opened:
        assert opened.accepts(MR, EXPLICIT_LITTLE)
        assert opened.store(path, path.stat().st_size, ("MOVER", 7)).ok
    stored = listener.stored(str(image.StudyInstanceUID))[0]
    assert path.read_bytes().endswith(data_set_of(stored))
    assert stored.size_bytes > 64 * 64 * 2


def test_a_port_that_nobody_listens_on_is_a_destination_that_is_away() -> None:
    with (
        pytest.raises(DestinationUnavailable, match="is not reached"),
        associated(at(free_port()), "US", ECHO, timeouts=QUICK),
    ):
        pytest.fail("it cannot open")


def test_a_name_that_nobody_knows_is_a_destination_that_is_away() -> None:
    peer = Peer(ae_title="PACS", host="no-such-host.invalid", port=104)
    with pytest.raises(DestinationUnavailable, match="not known"), associated(peer, "US", ECHO, timeouts=QUICK):
        pytest.fail("it cannot open")


def test_a_peer_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        peer = at(silent.getsockname()[1])
        limits = Timeouts(connect_s=5.0, association_s=0.5, response_s=0.5)
        with (
            pytest.raises(DestinationUnavailable, match="look at its log"),
            associated(peer, "US", ECHO, timeouts=limits),
        ):
            pytest.fail("it cannot open")


def test_a_peer_that_does_not_know_us_says_what_to_register() -> None:
    def strict(entity: AE) -> None:
        entity.require_calling_aet = ["SOMEBODY"]

    with (
        pytest.raises(PermanentRejection, match="register our AE title GATEWAY") as found,
        association(configure=strict),
    ):
        pytest.fail("it cannot open")
    assert found.value.code == 0x0103


def test_a_peer_with_another_name_says_which_entry_is_wrong() -> None:
    def strict(entity: AE) -> None:
        entity.require_called_aet = True

    with (
        pytest.raises(PermanentRejection, match="not called WRONG"),
        association(configure=strict, title="WRONG"),
    ):
        pytest.fail("it cannot open")


def test_a_full_peer_is_asked_again_later() -> None:
    def full(entity: AE) -> None:
        entity.maximum_associations = 1

    with (
        acceptor([], full) as port,
        associated(at(port, "PACS"), "US", ECHO, timeouts=QUICK),
        pytest.raises(DestinationUnavailable, match="limit of associations"),
        associated(at(port, "PACS"), "US", ECHO, timeouts=QUICK),
    ):
        pytest.fail("it cannot open")


def test_no_common_context_names_the_sop_class() -> None:
    proposal = Proposal([Context("1.2.840.10008.5.1.4.1.1.2", FALLBACKS)])
    with (
        pytest.raises(PermanentRejection, match=r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.2"),
        association(proposal=proposal),
    ):
        pytest.fail("it cannot open")


def test_a_peer_without_an_address_cannot_be_called() -> None:
    with (
        pytest.raises(ConfigurationError, match="give host and port"),
        associated(Peer(ae_title="PACS"), "US", ECHO, timeouts=QUICK),
    ):
        pytest.fail("it cannot open")


def test_a_peer_that_breaks_off_in_the_middle_is_away() -> None:
    def broken(event: evt.Event) -> int:
        event.assoc.abort()
        return 0

    with (
        pytest.raises(DestinationUnavailable, match="ended the association"),
        association([(evt.EVT_C_ECHO, broken)]) as found,
    ):
        found.echo()


def test_a_connection_that_ends_between_two_operations_is_noticed_at_once() -> None:
    with acceptor([]) as port:
        limits = Timeouts(connect_s=5.0, association_s=5.0, response_s=60.0)
        began = time.monotonic()
        with (
            pytest.raises(DestinationUnavailable, match="ended the association"),
            associated(at(port, "PACS"), "US", ECHO, timeouts=limits) as opened,
        ):
            opened.echo()
            # The note of the end is gone, and nobody has looked at it yet.
            opened._association._reactor_checkpoint.clear()
            opened.abort()
            while opened._association.dul.state_machine.current_state != "Sta1":
                assert time.monotonic() < began + 30
                time.sleep(0.01)
            while not opened._association.dimse.msg_queue.empty():
                opened._association.dimse.msg_queue.get_nowait()
            opened.echo()
        assert time.monotonic() < began + 30


class Late(threading.Event):
    """Lets the reactor of pynetdicom go on a moment after it was told to: a machine that has much to do."""

    def wait(self, timeout: float | None = None) -> bool:
        released = super().wait(timeout)
        time.sleep(0.05)
        return released


def test_no_response_is_lost_to_a_reactor_that_pauses_late() -> None:
    """It takes one message more after the operation began, and drops what is no request (pynetdicom 875)."""

    def ten(_: evt.Event) -> Iterator[tuple[int, Dataset]]:
        for number in range(10):
            found = study_query()
            found.StudyID = str(number)
            yield 0xFF00, found

    with association([(evt.EVT_C_FIND, ten)], Proposal([Context(STUDY_ROOT_FIND, FALLBACKS)])) as opened:
        opened._association._reactor_checkpoint = late = Late()
        late.set()
        for _ in range(3):
            numbers = []
            for match in opened.find(study_query(), STUDY_ROOT_FIND):
                time.sleep(0.02)
                numbers.append(int(match.StudyID))
            assert numbers == list(range(10))


def matches(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
    """Results without end, until the peer cancels; pynetdicom hears of that only when all are on their way."""
    number, deadline = 0, time.monotonic() + 60
    while not event.is_cancelled and time.monotonic() < deadline:
        if not event.assoc.dul.to_provider_queue.empty():
            time.sleep(0.001)
            continue
        number += 1
        found = Dataset()
        found.QueryRetrieveLevel = "STUDY"
        found.StudyID = str(number)
        yield 0xFF00, found
    yield 0xFE00, None


def study_query() -> Dataset:
    """Identifier at study level."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyID = ""
    return identifier


def test_a_search_that_is_left_early_is_cancelled_and_the_association_goes_on() -> None:
    proposal = Proposal([Context(STUDY_ROOT_FIND, FALLBACKS), Context(VERIFICATION, FALLBACKS)])
    with association([(evt.EVT_C_FIND, matches)], proposal) as opened:
        found = opened.find(study_query(), STUDY_ROOT_FIND)
        assert [next(found).StudyID for _ in range(3)] == ["1", "2", "3"]
        found.close()
        opened.echo()


def test_a_peer_that_does_not_heed_a_cancellation_loses_the_association() -> None:
    ended = threading.Event()

    def endless(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        while not ended.wait(0.01):
            yield 0xFF00, study_query()
        yield 0x0000, None

    proposal = Proposal([Context(STUDY_ROOT_FIND, FALLBACKS)])
    limits = Timeouts(connect_s=5.0, association_s=5.0, response_s=0.5)
    with acceptor([(evt.EVT_C_FIND, endless)]) as port:
        with associated(at(port, "PACS"), "GATEWAY", proposal, timeouts=limits) as opened:
            found = opened.find(study_query(), STUDY_ROOT_FIND)
            next(found)
            started = time.monotonic()
            found.close()
            assert time.monotonic() - started < 20
        ended.set()


@pytest.mark.parametrize(("status", "error"), [(0xA700, DestinationUnavailable), (0xA900, PermanentRejection)])
def test_a_refused_search_says_whether_it_may_pass(status: int, error: type[Exception]) -> None:
    def refuse(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield status, None

    proposal = Proposal([Context(STUDY_ROOT_FIND, FALLBACKS)])
    with (
        pytest.raises(error, match=f"{status:04X}H"),
        association([(evt.EVT_C_FIND, refuse)], proposal) as opened,
    ):
        list(opened.find(study_query(), STUDY_ROOT_FIND))


def test_a_c_get_hands_over_objects_as_bytes_and_says_how_far_it_is() -> None:
    images = small_study(2, slices=3)

    def send(event: evt.Event) -> Iterator[Any]:
        yield len(images)
        for image in images:
            yield 0xFF00, image

    taken: list[Delivery] = []

    def take(delivery: Delivery) -> int:
        taken.append(delivery)
        return 0 if len(taken) < 3 else 0xA700

    proposal = Proposal([Context(STUDY_ROOT_GET, FALLBACKS), Context(MR, (EXPLICIT_LITTLE,), as_scp=True)])
    with association([(evt.EVT_C_GET, send)], proposal, take=take) as opened:
        *_, last = opened.get(study_query(), STUDY_ROOT_GET)
    assert [delivery.sop_instance_uid for delivery in taken] == [image.SOPInstanceUID for image in images]
    assert {delivery.transfer_syntax_uid for delivery in taken} == {EXPLICIT_LITTLE}
    assert images[0].PixelData in taken[0].data_set
    assert (last.completed, last.failed, last.is_final) == (2, 1, True)
    assert last.failed_uids == (images[2].SOPInstanceUID,)


def test_an_event_report_brings_the_peers_status() -> None:
    reports: list[int] = []

    def take(event: evt.Event) -> tuple[int, Dataset | None]:
        reports.append(event.event_type)
        return 0x0000, None

    commitment = "1.2.840.10008.1.20.1"
    information = Dataset()
    information.TransactionUID = "1.2.3"
    with association([(evt.EVT_N_EVENT_REPORT, take)], Proposal([Context(commitment, FALLBACKS)])) as opened:
        assert opened.event_report(information, 1, commitment, "1.2.840.10008.1.20.1.1").ok
    assert reports == [1]


class Known:
    """SOP class and transfer syntax of an instance."""

    def __init__(self, number: int) -> None:
        self.sop_class_uid = f"1.2.{number}"
        self.transfer_syntax_uid = f"1.2.840.10008.1.2.4.{number % 3}"


def test_more_contexts_than_fit_become_several_associations_in_order() -> None:
    instances = [Known(number) for number in range(100)]
    found = list(batches(instances))
    assert [item for _, part in found for item in part] == instances
    assert [len(contexts) for contexts, _ in found] == [126, 126, 48]
    assert all(len(context.transfer_syntaxes) == 1 for contexts, _ in found for context in contexts)
