"""Messages → an HL7 listener over connections that stay open, and its acknowledgements.

Each thread has a connection to itself while it waits. Guarantee: an answer counts only for the message whose
control id it names; after anything else than a good answer the connection is given up, so that a late answer is
never taken for the next message's.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from consumers.oru.acknowledgement import ACCEPTED, Acknowledgement, read
from producers.hl7.client import ConnectionLost, Listener, MllpConnection, Silent
from schemas.errors import DestinationUnavailable, InvalidMessage, TransientFailure
from schemas.logs import fields

log = logging.getLogger(__name__)

#: What a listener that will not have us needs to say so, on a slow network.
_SETTLE_S: Final = 0.5
_ANSWER_BYTES: Final = 1024 * 1024
#: Commit acknowledgements of MLLP release 2: of the transport, which the message's own answer follows.
_TRANSPORT_ACK: Final = b"\x06"
_TRANSPORT_NAK: Final = b"\x15"


class Link:
    """Way to one listener; may be used by several threads.

    Parameters
    ----------
    listener
        Where.
    timeout_s
        Longest wait for an acknowledgement, in seconds.
    clock
        Monotonic time in seconds.
    """

    def __init__(self, listener: Listener, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener = listener
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[MllpConnection] = []
        self._unanswered: set[str] = set()

    def exchange(self, control_id: str, payload: bytes) -> Acknowledgement:
        """Send one message and wait for its acknowledgement, whatever that says.

        A connection that was open may have been closed since: then the message goes once more over a new one. It
        has the same control id, so a listener that had already taken it can tell.

        Raises
        ------
        DestinationUnavailable
            Nobody listens, TLS fails, every connection is closed at once, or the listener left two different
            messages in a row without an answer.
        TransientFailure
            It did not answer this message, closed the connection, or answered what is no acknowledgement.
        """
        try:
            answer = self._once(control_id, payload)
        except ConnectionLost:
            # a listener that closes on everything is away; one that closes on this message must not stop others
            self.probe()
            raise
        except Silent as error:
            with self._lock:
                before = self._unanswered - {control_id}
                self._unanswered.add(control_id)
            if before:
                raise DestinationUnavailable(str(error)) from error
            raise
        with self._lock:
            self._unanswered.clear()
        return answer

    def probe(self) -> None:
        """Open a connection, and keep it for the next message.

        Raises
        ------
        DestinationUnavailable
            Nobody listens, TLS fails, or the connection is closed at once.
        """
        self.close()
        connection = self._open()
        try:
            connection.settle(_SETTLE_S)
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _once(self, control_id: str, payload: bytes) -> Acknowledgement:
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                return self._ask(kept, control_id, payload)
            except ConnectionLost:
                log.info("connection was closed by the HL7 listener: opened again")
        return self._ask(self._open(), control_id, payload)

    def _ask(self, connection: MllpConnection, control_id: str, payload: bytes) -> Acknowledgement:
        try:
            deadline = self._clock() + self._timeout_s
            connection.send(payload)
            answer = self._answer(connection, control_id, deadline)
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return answer

    def _answer(self, connection: MllpConnection, control_id: str, deadline: float) -> Acknowledgement:
        while True:
            payload = connection.receive(deadline)
            if payload == _TRANSPORT_ACK:
                continue
            if payload == _TRANSPORT_NAK:
                raise TransientFailure(f"{self._listener.address} could not take the bytes: look into its log")
            try:
                answer = read(payload)
            except InvalidMessage as error:
                raise TransientFailure(
                    f"{self._listener.address} answers what is no HL7 acknowledgement: check "
                    f"{self._listener.settings}_PORT and the listener's log"
                ) from error
            if answer.is_about(control_id):
                return answer
            log.warning(
                "answer to another message passed over",
                extra=fields(control_id=control_id, accepted=answer.code in ACCEPTED, errors=answer.errors),
            )

    def _open(self) -> MllpConnection:
        return MllpConnection(self._listener, self._timeout_s, _ANSWER_BYTES, self._clock)

    def _give_back(self, connection: MllpConnection) -> None:
        with self._lock:
            self._idle.append(connection)
