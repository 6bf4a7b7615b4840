"""P-DATA-TF bodies → whole DIMSE messages, and messages → P-DATA-TF (PS3.7 6.3, PS3.8 9.3.5, E.2).

Data set fragments are appended to a spool as they come; nothing decodes them. Guarantee: memory is bounded by the
spool's and by ``MAX_COMMAND_BYTES``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from producers.dimse import command as commands
from producers.dimse.command import Command
from producers.dimse.pdu import AbortReason, BadPdu, Body, PduType, encode
from producers.store.spool import Buffer, Spool

MAX_COMMAND_BYTES: Final = 64 * 1024

_PDV: Final = struct.Struct(">IBB")
#: Fragments to a peer that takes any length.
_WHOLE_BYTES: Final = 1024 * 1024
_COMMAND: Final = 0x01
_LAST: Final = 0x02


@dataclass(frozen=True)
class Message:
    """A command with its data set, if it has one, on a presentation context."""

    context_id: int
    command: Command
    data_set: Spool | None = None


class MessageAssembler:
    """Puts the fragments of one association together.

    Parameters
    ----------
    contexts
        Ids of the accepted presentation contexts.
    new_spool
        Place for the data set that follows a command on a context.
    """

    def __init__(self, contexts: Collection[int], new_spool: Callable[[int, Command], Spool]) -> None:
        self._contexts = contexts
        self._new_spool = new_spool
        self._command_bytes = bytearray()
        self._context_id = 0
        self._command: Command | None = None
        self._spool: Spool | None = None

    @property
    def in_the_middle(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._command_bytes) or self._command is not None

    def feed(self, body: Body) -> Iterator[Message]:
        """Take the body of one P-DATA-TF; yields each message that is now whole.

        Raises
        ------
        BadPdu
            Lengths do not fit, the context was not accepted, or fragments come in an impossible order.
        """
        position = 0
        view = memoryview(body)
        while position < len(body):
            if position + _PDV.size > len(body):
                raise BadPdu(AbortReason.INVALID_PARAMETER, "a PDV is cut off")
            length, context_id, control = _PDV.unpack_from(body, position)
            end = position + 4 + length
            if length < 2 or end > len(body):
                raise BadPdu(AbortReason.INVALID_PARAMETER, f"a PDV of {length} bytes does not fit its PDU")
            if context_id not in self._contexts:
                raise BadPdu(AbortReason.INVALID_PARAMETER, f"presentation context {context_id} was not accepted")
            if self.in_the_middle and context_id != self._context_id:
                raise BadPdu(AbortReason.UNEXPECTED_PARAMETER, "messages of two contexts are mixed")
            self._context_id = context_id
            fragment = view[position + _PDV.size : end]
            position = end
            take = self._command_part if control & _COMMAND else self._data_part
            message = take(fragment, bool(control & _LAST))
            if message is not None:
                yield message

    def close(self) -> None:
        """Let go of a message that will never be whole."""
        if self._spool is not None:
            self._spool.close()
        self._reset()

    def _command_part(self, fragment: memoryview, last: bool) -> Message | None:
        if self._command is not None:
            raise BadPdu(AbortReason.UNEXPECTED_PARAMETER, "a command came where a data set must")
        self._command_bytes += fragment
        if len(self._command_bytes) > MAX_COMMAND_BYTES:
            raise BadPdu(AbortReason.INVALID_PARAMETER, f"a command set of more than {MAX_COMMAND_BYTES} bytes")
        if not last:
            return None
        command = commands.decode(bytes(self._command_bytes))
        self._command_bytes.clear()
        if not command.has_data_set:
            return Message(self._context_id, command)
        self._command = command
        self._spool = self._new_spool(self._context_id, command)
        return None

    def _data_part(self, fragment: memoryview, last: bool) -> Message | None:
        command, spool = self._command, self._spool
        if command is None or spool is None:
            raise BadPdu(AbortReason.UNEXPECTED_PARAMETER, "a data set came without a command")
        spool.append(fragment)
        if not last:
            return None
        message = Message(self._context_id, command, spool)
        self._reset()
        return message

    def _reset(self) -> None:
        self._command_bytes.clear()
        self._command = None
        self._spool = None


def encode_command(context_id: int, command: Command, max_length: int) -> bytes:
    """P-DATA-TF PDUs of a command set; see :func:`encode_message`."""
    return b"".join(_pdus(context_id, (commands.encode(command),), max_length, _COMMAND))


def encode_message(
    context_id: int, command: Command, chunks: Iterable[Buffer] | None, max_length: int
) -> Iterator[bytes]:
    """P-DATA-TF PDUs of a message, one after the other.

    Parameters
    ----------
    context_id
        Presentation context.
    command
        What to send; that it has a data set follows from ``chunks``.
    chunks
        Data set, or ``None``.
    max_length
        Longest P-DATA-TF that the peer takes, in bytes; 0 is any.
    """
    command = replace(command, has_data_set=chunks is not None)
    yield from _pdus(context_id, (commands.encode(command),), max_length, _COMMAND)
    if chunks is not None:
        yield from _pdus(context_id, chunks, max_length, 0)


def _pdus(context_id: int, chunks: Iterable[Buffer], max_length: int, kind: int) -> Iterator[bytes]:
    """Only after the last fragment is it known that it is the last, so one is held back."""
    size = max(max_length - _PDV.size, 1) if max_length else _WHOLE_BYTES
    held: Buffer = b""
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), size):
            if held:
                yield _pdu(context_id, held, kind)
            held = view[start : start + size]
    yield _pdu(context_id, held, kind | _LAST)


def _pdu(context_id: int, fragment: Buffer, control: int) -> bytes:
    return encode(PduType.P_DATA_TF, _PDV.pack(len(fragment) + 2, context_id, control) + fragment)
