"""HL7 payloads → a listener over TCP, and its answers back: one MLLP connection, with TLS where asked.

Blocking, for one thread at a time. Nothing is sent twice and nothing is waited for without a limit; what a lost
connection means for the message is the caller's to decide.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from producers.hl7.mllp import Deframer, FrameError, frame
from schemas.errors import ConfigurationError, DestinationUnavailable, TransientFailure

_CONNECT_S: Final = 10.0
_CHUNK_BYTES: Final = 65536


class ConnectionLost(TransientFailure):
    """The listener closed or reset the connection."""


class Silent(TransientFailure):
    """Nothing that counts came in time."""


@dataclass(frozen=True)
class Listener:
    """Where to connect to, and what to say when that fails.

    Attributes
    ----------
    host, port
        Address.
    settings
        What the names of its settings begin with, such as ``SCANSTREAM_ORU``.
    tls
        TLS of our side, or ``None``.
    """

    host: str
    port: int
    settings: str
    tls: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        """For people."""
        return f"{self.host}:{self.port}"


def client_tls(settings: str, ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later of a client that checks the listener's certificate and name (RFC 9325).

    Parameters
    ----------
    settings
        What the names of the settings begin with.
    ca
        PEM of what signs the listener's certificate; ``None``: what the system trusts.
    certificate, key
        PEM of ours, where listeners ask for one; the key may be in the same file.

    Raises
    ------
    ConfigurationError
        A file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigurationError(
            f"{settings}_TLS_CA {ca} cannot be used ({_reason(error)}): name a PEM file of certificates"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, "")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{settings}_TLS_CERTIFICATE {certificate} or its key cannot be used ({_reason(error)}): name PEM "
                "files that fit each other, without a password"
            ) from error
    elif key is not None:
        raise ConfigurationError(f"{settings}_TLS_KEY is set without {settings}_TLS_CERTIFICATE: set both")
    return context


class MllpConnection:
    """One connection, open from its construction on.

    Parameters
    ----------
    listener
        Where to.
    timeout_s
        Longest wait to connect and to send, in seconds.
    limit_bytes
        Most bytes of one answer.
    clock
        Monotonic time in seconds.

    Raises
    ------
    DestinationUnavailable
        Nobody listens, or TLS cannot be agreed on.
    """

    def __init__(
        self,
        listener: Listener,
        timeout_s: float,
        limit_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = listener
        self._timeout_s = timeout_s
        self._clock = clock
        self._deframer = Deframer(limit_bytes)
        self._received: list[bytes] = []
        self._socket = self._connect()

    def send(self, payload: bytes) -> None:
        """Send one payload as a block.

        Raises
        ------
        ConnectionLost
            The connection is gone; some of the block may have arrived.
        Silent
            The listener does not read.
        DestinationUnavailable
            TLS was ended by the listener.
        """
        with self._failures():
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(frame(payload))

    def receive(self, deadline: float) -> bytes:
        """Next payload.

        Parameters
        ----------
        deadline
            Time of the clock after which not to wait.

        Raises
        ------
        Silent
            The time is over.
        ConnectionLost
            The connection is gone, perhaps in the middle of a block.
        TransientFailure
            What comes is no MLLP, or more than the bound.
        DestinationUnavailable
            TLS was ended by the listener.
        """
        while not self._received:
            with self._failures():
                remaining_s = deadline - self._clock()
                if remaining_s <= 0:
                    raise TimeoutError
                self._socket.settimeout(remaining_s)
                data = self._socket.recv(_CHUNK_BYTES)
                if not data:
                    raise ConnectionResetError
                self._received += self._deframer.feed(data)
        return self._received.pop(0)

    def settle(self, wait_s: float) -> None:
        """Wait whether the listener closes the connection before anything is sent.

        A proxy without a listener behind it does, and one that does not like our certificate: in TLS 1.3 that is
        heard of only after the handshake.

        Parameters
        ----------
        wait_s
            How long, in seconds.

        Raises
        ------
        DestinationUnavailable
            It does.
        """
        try:
            self._received.append(self.receive(self._clock() + wait_s))
        except Silent:
            return
        except TransientFailure as error:
            raise DestinationUnavailable(
                f"{self._listener.address} closes connections at once: check that the HL7 listener runs, allows "
                f"this host, and knows {self._listener.settings}_TLS_CERTIFICATE where it asks for one"
            ) from error

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._socket.close()

    def _connect(self) -> socket.socket:
        where, settings = self._listener.address, self._listener.settings
        timeout_s = min(self._timeout_s, _CONNECT_S)
        try:
            plain = socket.create_connection((self._listener.host, self._listener.port), timeout_s)
        except (OSError, UnicodeError) as error:
            raise DestinationUnavailable(
                f"nobody answers at {where} ({_reason(error)}): start the HL7 listener or correct {settings}_HOST "
                f"and {settings}_PORT"
            ) from error
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(plain)
        if self._listener.tls is None:
            return plain
        try:
            return self._listener.tls.wrap_socket(plain, server_hostname=self._listener.host)
        except (OSError, ValueError) as error:
            plain.close()
            raise DestinationUnavailable(
                f"no TLS with {where} ({_reason(error)}): renew its certificate or correct {settings}_TLS_CA and "
                f"{settings}_HOST"
            ) from error

    def _failures(self) -> _Failures:
        return _Failures(self._listener, self._deframer)


class _Failures:
    """Translates what a socket raises into what the runtime must do."""

    def __init__(self, listener: Listener, deframer: Deframer) -> None:
        self._listener = listener
        self._deframer = deframer

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        where, settings = self._listener.address, self._listener.settings
        if isinstance(error, FrameError):
            raise TransientFailure(f"{where} sends what is no MLLP ({error}): check {settings}_PORT") from error
        if not isinstance(error, OSError):
            return
        if isinstance(error, TimeoutError):
            raise Silent(f"{where} did not acknowledge in time: look into the log of the HL7 listener") from error
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            raise DestinationUnavailable(
                f"{where} ended TLS ({_reason(error)}): check {settings}_TLS_CERTIFICATE and {settings}_TLS_KEY"
            ) from error
        half = "in the middle of an answer" if self._deframer.is_inside else "without an answer"
        raise ConnectionLost(
            f"{where} closed the connection {half}: look into the log of the HL7 listener"
        ) from error


def _keep_alive(connection: socket.socket) -> None:
    """Let the system notice within two minutes that an idle connection leads nowhere, as behind a firewall."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        option = getattr(socket, name, None)  # not on every system
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _reason(error: BaseException) -> str:
    """Short words of OpenSSL or the system, which hold nothing of a message."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
