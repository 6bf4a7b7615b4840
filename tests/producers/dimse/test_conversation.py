from __future__ import annotations

import asyncio

import pytest
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation, SCP_SCU_RoleSelectionNegotiation

from producers.dimse.command import Command, CommandField
from producers.dimse.message import encode_command
from producers.dimse.pdu import PduType
from producers.dimse.rights import Right
from producers.dimse.service import AssociationLost, Exchange, Link, Registry, Response
from schemas.errors import DestinationUnavailable
from tests.producers.dimse.memory_line import MemoryLine, Perform, Scripted
from tests.producers.dimse.peer import EXPLICIT, MR, RELEASE_RQ, store_request

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
STORE_RQ = CommandField.C_STORE_RQ


def registry(**services: Perform) -> Registry:
    made = Registry()
    known = {"store": (STORE_RQ, MR), "find": (CommandField.C_FIND_RQ, FIND), "get": (CommandField.C_GET_RQ, GET)}
    for name, perform in services.items():
        command, uid = known[name]
        made.register(Scripted(perform), command, [uid], [EXPLICIT])
    return made


def window(invoked: int, performed: int = 1) -> AsynchronousOperationsWindowNegotiation:
    asked = AsynchronousOperationsWindowNegotiation()
    asked.maximum_number_operations_invoked = invoked
    asked.maximum_number_operations_performed = performed
    return asked


def store(number: int) -> bytes:
    command = Command(STORE_RQ, number, None, MR, f"1.2.{number}", 0)
    return encode_command(1, command, 0)


class Held:
    """C-STOREs that end when the test says so."""

    def __init__(self) -> None:
        self.underway: dict[int, asyncio.Future[None]] = {}
        self.most = 0

    async def perform(self, exchange: Exchange) -> Response:
        command = exchange.message.command
        assert command.message_id is not None
        self.underway[command.message_id] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.underway))
        await self.underway[command.message_id]
        del self.underway[command.message_id]
        return Response(command.response(0))


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


async def test_as_many_operations_as_negotiated_are_performed_at_once_and_answered_in_any_order() -> None:
    held = Held()
    line = MemoryLine(registry(store=held.perform))
    line.associate((MR, (EXPLICIT,)), user=(window(3),))
    for number in range(1, 6):
        line.send(store(number))
    await until(lambda: len(held.underway) == 3)
    for number in (3, 1):
        held.underway[number].set_result(None)
        assert (await line.command()).responded_to == number
    await until(lambda: len(held.underway) == 3)
    line.send(RELEASE_RQ)
    for number in (5, 4, 2):
        held.underway[number].set_result(None)
        assert (await line.command()).responded_to == number
    assert (await line.next())[0] is PduType.RELEASE_RP
    assert held.most == 3


async def test_without_a_window_operations_are_performed_one_after_the_other() -> None:
    held = Held()
    line = MemoryLine(registry(store=held.perform))
    line.associate((MR, (EXPLICIT,)))
    for number in range(1, 5):
        line.send(store(number))
    line.send(RELEASE_RQ)
    for number in range(1, 5):
        await until(lambda: held.underway)
        held.underway[number].set_result(None)
        assert (await line.command()).responded_to == number
    assert (await line.next())[0] is PduType.RELEASE_RP
    assert held.most == 1


async def test_a_message_id_in_use_is_a_duplicate_invocation_and_later_it_is_not() -> None:
    held = Held()
    line = MemoryLine(registry(store=held.perform))
    line.associate((MR, (EXPLICIT,)), user=(window(4),))
    line.send(store(7))
    line.send(store(7))
    assert (await line.command()).status == 0x0210
    held.underway[7].set_result(None)
    assert (await line.command()).status == 0
    line.send(store(7))
    await until(lambda: held.underway)
    held.underway[7].set_result(None)
    assert (await line.command()).status == 0


async def test_a_cancellation_reaches_what_is_performed_and_what_still_waits() -> None:
    seen: list[tuple[int | None, bool]] = []
    go = asyncio.Event()

    async def find(exchange: Exchange) -> Response:
        await go.wait()
        command = exchange.message.command
        seen.append((command.message_id, exchange.is_cancelled))
        return Response(command.response(0xFE00 if exchange.is_cancelled else 0))

    line = MemoryLine(registry(find=find))
    line.associate((FIND, (EXPLICIT,)))
    for number in (1, 2, 3):
        line.send(encode_command(1, Command(CommandField.C_FIND_RQ, number, None, FIND), 0))
    for number in (1, 3, 99):
        line.send(encode_command(1, Command(CommandField.C_CANCEL_RQ, responded_to=number), 0))
    await asyncio.sleep(0)
    go.set()
    assert [(await line.command()).status for _ in range(3)] == [0xFE00, 0, 0xFE00]
    assert seen == [(1, True), (2, False), (3, True)]


async def asking(exchange: Exchange) -> Response:
    """C-GET that stores one instance at the peer."""
    sub = Command(STORE_RQ, sop_class_uid=MR, sop_instance_uid="1.2.3", priority=0)
    answer = await exchange.session.link.request(3, sub, (b"data",))
    return Response(exchange.message.command.response(answer.status or 0))


def scp_role() -> SCP_SCU_RoleSelectionNegotiation:
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = MR, False, True
    return role


def get(number: int) -> bytes:
    return encode_command(1, Command(CommandField.C_GET_RQ, number, None, GET), 0)


async def sub_operation(line: MemoryLine) -> Command:
    """The C-STORE-RQ that comes next, without its data set."""
    asked = await line.command()
    assert asked.field == STORE_RQ
    assert (await line.next())[0] is PduType.P_DATA_TF
    return asked


async def test_an_answer_to_our_request_is_read_however_many_requests_wait() -> None:
    line = MemoryLine(registry(get=asking, store=asking))
    line.associate((GET, (EXPLICIT,)), (MR, (EXPLICIT,)), user=(scp_role(),))
    line.send(get(1))
    asked = await sub_operation(line)
    for number in range(2, 22):
        line.send(get(number))
    assert line.transport.reading
    line.send(encode_command(3, asked.response(0xA700), 0))
    assert (await line.command()).status == 0xA700
    # Nothing of ours is due between two of them, and more wait than may.
    for _ in range(2, 22):
        asked = await sub_operation(line)
        line.send(encode_command(3, asked.response(0), 0))
        assert (await line.command()).status == 0
    assert line.transport.reading


async def test_far_too_many_requests_while_the_peer_owes_an_answer_end_in_an_abort() -> None:
    line = MemoryLine(registry(get=asking, store=asking))
    line.associate((GET, (EXPLICIT,)), (MR, (EXPLICIT,)), user=(scp_role(),))
    line.send(get(1))
    await sub_operation(line)
    for number in range(2, 100):
        line.send(get(number))
    assert (await line.next())[0] is PduType.ABORT
    assert line.host.held == 0


async def test_a_peer_that_releases_instead_of_answering_is_let_go() -> None:
    line = MemoryLine(registry(get=asking, store=asking))
    line.associate((GET, (EXPLICIT,)), (MR, (EXPLICIT,)), user=(scp_role(),))
    line.send(get(1))
    await sub_operation(line)
    line.send(RELEASE_RQ)
    assert (await line.next())[0] is PduType.RELEASE_RP


async def test_a_notification_of_ours_fails_cleanly_when_the_peer_releases_or_is_gone() -> None:
    async def never(exchange: Exchange) -> Response:
        link.append(exchange.session.link)
        return Response(exchange.message.command.response(0))

    for end in (RELEASE_RQ, None):
        link: list[Link] = []
        line = MemoryLine(registry(store=never))
        line.associate((MR, (EXPLICIT,)))
        line.send(store(1))
        assert (await line.command()).status == 0
        report = Command(CommandField.N_EVENT_REPORT_RQ, event_type_id=1)
        asked = asyncio.create_task(link[0].request(1, report))
        assert (await line.command()).field == CommandField.N_EVENT_REPORT_RQ
        if end is None:
            line.association.connection_lost(None)
        else:
            line.send(end)
        with pytest.raises(AssociationLost):
            await asked
        assert not link[0].is_open
        with pytest.raises(AssociationLost, match="new one"):
            await link[0].request(1, report)


async def test_a_peer_that_does_not_answer_a_sub_operation_is_aborted() -> None:
    line = MemoryLine(registry(get=asking, store=asking), idle_timeout_s=0.2)
    line.associate((GET, (EXPLICIT,)), (MR, (EXPLICIT,)), user=(scp_role(),))
    line.send(get(1))
    await sub_operation(line)
    async with asyncio.timeout(20):
        while line.host.held:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
    assert (await line.next())[0] is PduType.ABORT


@pytest.mark.parametrize(
    ("may", "wire", "status"),
    [
        (frozenset({"get"}), store_request("1.2.3", b"x" * 100_000), 0x0124),
        (frozenset({"get", "store"}), store_request("1.2.3", b"x" * 100_000), 0x0124),
        (frozenset({"get", "store"}), encode_command(3, Command(0x0130, 1, None, MR), 0), 0x0211),
    ],
    ids=["no right", "not the role", "no such operation"],
)
async def test_what_a_peer_may_not_do_is_refused_and_not_kept(
    may: frozenset[Right], wire: bytes, status: int
) -> None:
    async def never(exchange: Exchange) -> Response:
        raise AssertionError("performed")

    line = MemoryLine(registry(get=never, store=never), may)
    line.associate((GET, (EXPLICIT,)), (MR, (EXPLICIT,)), user=(scp_role(),))
    line.send(wire)
    assert (await line.command()).status == status


async def test_a_service_that_fails_with_a_sentence_answers_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async def away(exchange: Exchange) -> Response:
        raise DestinationUnavailable("the disk is away: look at it")

    line = MemoryLine(registry(store=away))
    line.associate((MR, (EXPLICIT,)))
    line.send(store(1))
    answer = await line.command()
    assert (answer.status, answer.comment) == (0x0110, "the disk is away: look at it")
    assert all(record.exc_info is None for record in caplog.records)
    line.send(RELEASE_RQ)
    assert (await line.next())[0] is PduType.RELEASE_RP


@pytest.mark.parametrize("after", [store(2), RELEASE_RQ])
async def test_nothing_comes_after_a_release(after: bytes) -> None:
    held = Held()
    line = MemoryLine(registry(store=held.perform))
    line.associate((MR, (EXPLICIT,)))
    line.send(store(1) + RELEASE_RQ + after)
    kind, body = await line.next()
    assert (kind, body[2:]) == (PduType.ABORT, bytes((2, 2)))
    await asyncio.sleep(0)
    assert not held.underway
    assert line.pdus() == []


async def test_a_release_of_ours_is_never_confirmed_because_none_is_asked_for() -> None:
    line = MemoryLine(registry(store=asking))
    line.associate((MR, (EXPLICIT,)))
    line.send(b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00")
    kind, body = await line.next()
    assert (kind, body[2:]) == (PduType.ABORT, bytes((2, 2)))


async def test_messages_of_two_tasks_are_not_mixed() -> None:
    async def find(exchange: Exchange) -> Response:
        command = exchange.message.command
        for _ in range(20):
            await exchange.send(command.response(0xFF00), b"f" * 200_000)
        return Response(command.response(0))

    line = MemoryLine(registry(find=find))
    line.associate((FIND, (EXPLICIT,)), user=(window(4),))
    for number in (1, 2, 3, 4):
        line.send(encode_command(1, Command(CommandField.C_FIND_RQ, number, None, FIND), 0))
    answered: list[int] = []
    data = 0
    while len(answered) < 4:
        line.association.pause_writing()
        line.association.resume_writing()
        _, body = await line.next()
        if body[5] & 1:
            assert data in (0, 200_000)
            data = 0
            if body[6:].find(b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00") >= 0:
                answered.append(1)
        else:
            data += len(body) - 6
    assert len(answered) == 4


async def test_what_services_took_counts_no_more_when_it_is_answered() -> None:
    seen: list[int] = []
    offered = registry(find=asking)

    async def careless(exchange: Exchange) -> Response:
        seen.append(offered.memory.in_use)
        if len(seen) == 2:
            raise DestinationUnavailable("away")
        return Response(exchange.message.command.response(0))

    offered.register(Scripted(careless), STORE_RQ, [MR], [EXPLICIT])
    line = MemoryLine(offered)
    line.associate((MR, (EXPLICIT,)))
    for _ in range(3):
        line.send(store_request("1.2", bytes(5000), context_id=1))
        await line.command()
    assert seen == [5000] * 3
    line.send(store_request("1.2", bytes(5000), context_id=1)[:3000])
    line.association.connection_lost(None)
    assert offered.memory.in_use == 0
