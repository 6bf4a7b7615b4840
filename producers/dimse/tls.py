"""Certificate files → TLS for DICOM and for what else listens (PS3.15 B.9 to B.12, RFC 9325).

TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, which is within the Non-Downgrading BCP 195
profile and the BCP 195 RFC 8996, 9325 ones; the peer shows a certificate too. Guarantee: files that are replaced
count from the next connection on; with a mistake in them the last good ones stay, and the log says so once.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from producers.watched import Watched
from schemas.errors import ConfigurationError
from schemas.logs import fields

log = logging.getLogger(__name__)

_CHECK_EVERY_S: Final = 1.0
#: RFC 9325 4.2; those of TLS 1.3 are all of that kind.
_CIPHERS: Final = ":".join(
    f"ECDHE-{key}-AES{size}" for size in ("256-GCM-SHA384", "128-GCM-SHA256") for key in ("ECDSA", "RSA")
)


@dataclass(frozen=True)
class TlsFiles:
    """Where certificates are.

    Attributes
    ----------
    certificate
        PEM: ours, then those that signed it.
    key
        PEM of our private key; ``None`` when it is in the same file.
    password_file
        Holds the password of the key.
    ca
        PEM of what signs the certificates of peers.
    mutual
        Whether a peer must show one.
    settings
        What the names of its settings begin with, for messages.
    """

    certificate: Path
    key: Path | None = None
    password_file: Path | None = None
    ca: Path | None = None
    mutual: bool = True
    settings: str = "SCANSTREAM_GATEWAY_DIMSE_TLS"


def context(files: TlsFiles, server_side: bool) -> ssl.SSLContext:
    """TLS context of one side.

    Raises
    ------
    ConfigurationError
        A file is missing, unreadable, or does not fit the others.
    """
    if files.ca is None and (files.mutual or not server_side):
        raise ConfigurationError(
            f"TLS needs the certificates that sign those of the peers: set {files.settings}_CA"
        )
    made = _bare(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    password = _password(files.password_file, files.settings)
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        made.load_cert_chain(files.certificate, files.key, password or "")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{files.settings}_CERTIFICATE {files.certificate} or its key cannot be used ({reason_of(error)}): "
            "check both files, and the password file"
        ) from error
    if files.ca is not None:
        try:
            made.load_verify_locations(files.ca)
        except OSError as error:
            raise ConfigurationError(
                f"{files.settings}_CA {files.ca} cannot be used ({reason_of(error)}): name a PEM file"
            ) from error
    if not server_side:
        # Certificates of devices name the device, seldom the address that it has today.
        made.check_hostname = False
    else:
        made.verify_mode = ssl.CERT_REQUIRED if files.mutual else ssl.CERT_NONE
        if not files.mutual and files.ca is not None:
            made.verify_mode = ssl.CERT_OPTIONAL
    return made


def requestor_context(ca: Path, certificate: Path | None, key: Path | None, prefix: str) -> ssl.SSLContext:
    """TLS context for associations that we open, with our certificate only where the peer asks for one.

    Parameters
    ----------
    ca
        PEM of what signs the certificates of peers.
    certificate, key
        PEM of ours; a key may be in the certificate's file.
    prefix
        Of the settings that name the files, such as ``SCANSTREAM_STOW_TLS``; for messages.

    Raises
    ------
    ConfigurationError
        A file is missing, unreadable, or does not fit the others.
    """
    made = _bare(ssl.PROTOCOL_TLS_CLIENT)
    # Certificates of devices name the device, seldom the address that it has today.
    made.check_hostname = False
    try:
        made.load_verify_locations(ca)
    except OSError as error:
        raise ConfigurationError(
            f"{prefix}_CA {ca} cannot be used ({reason_of(error)}): name a PEM file"
        ) from error
    if certificate is not None:
        try:
            made.load_cert_chain(certificate, key, "")  # without a password OpenSSL would ask for one
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{prefix}_CERTIFICATE {certificate} or its key cannot be used ({reason_of(error)}): check "
                "both files"
            ) from error
    return made


def _bare(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(_CIPHERS)
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return made


class TlsContext:
    """TLS context of the newest good files.

    Parameters
    ----------
    files
        Where they are.
    clock
        Monotonic time in seconds.

    Raises
    ------
    ConfigurationError
        A file is missing, unreadable, or does not fit the others.
    """

    def __init__(self, files: TlsFiles, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        paths = (files.certificate, files.key, files.password_file, files.ca)
        self._watched = Watched([path for path in paths if path is not None], _CHECK_EVERY_S, clock)
        self._context = context(files, server_side=True)

    def current(self) -> ssl.SSLContext:
        """Context for the next connection."""
        if self._watched.changed():
            try:
                self._context = context(self._files, server_side=True)
            except ConfigurationError as error:
                log.error(  # noqa: TRY400 - the sentence says it all
                    "certificate files not taken: the last good ones stay", extra=fields(reason=str(error))
                )
            else:
                log.info("certificate files read again")
        return self._context


def _password(path: Path | None, settings: str) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{settings}_KEY_PASSWORD_FILE {path} cannot be read ({type(error).__name__}): name "
            "a readable text file"
        ) from error


def reason_of(error: BaseException) -> str:
    """Short words of OpenSSL or the system, which hold nothing of the peer."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
