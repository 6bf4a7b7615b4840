"""Certificates for TLS tests, made with the openssl program: an authority, and whom it vouches for."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.tools import need


@dataclass(frozen=True)
class Certificate:
    """Two PEM files."""

    certificate: Path
    key: Path

    @property
    def sha256(self) -> str:
        """Fingerprint, hexadecimal."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.certificate.read_text())).hexdigest()


def authority(root: Path, name: str = "ca") -> Certificate:
    """A certificate that signs others."""
    made = Certificate(root / f"{name}.pem", root / f"{name}.key")
    _openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        "-keyout", str(made.key), "-out", str(made.certificate),
    )  # fmt: skip
    return made


def signed(
    root: Path, name: str, by: Certificate, password: str | None = None, *, address: str = "", days: int = 2
) -> Certificate:
    """A certificate of a device, with an encrypted key when a password is given.

    ``address`` is an IP address that it names; negative ``days`` make one that has expired.
    """
    made = Certificate(root / f"{name}.pem", root / f"{name}.key")
    request = root / f"{name}.csr"
    secrecy = ["-nodes"] if password is None else ["-passout", f"pass:{password}"]
    names = ["-addext", f"subjectAltName=IP:{address}"] if address else []
    _openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *secrecy, "-subj", f"/CN={name}", *names,
        "-keyout", str(made.key), "-out", str(request),
    )  # fmt: skip
    _openssl(
        "x509", "-req", "-in", str(request), "-CA", str(by.certificate), "-CAkey", str(by.key),
        "-CAcreateserial", "-days", str(days), "-copy_extensions", "copy", "-out", str(made.certificate),
    )  # fmt: skip
    return made


def client_context(ca: Certificate, shows: Certificate | None) -> ssl.SSLContext:
    """TLS of a peer that trusts an authority, and shows a certificate or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(ca.certificate)
    if shows is not None:
        context.load_cert_chain(shows.certificate, shows.key)
    return context


def _openssl(*arguments: str) -> None:
    subprocess.run([need("openssl"), *arguments], check=True, capture_output=True, timeout=60)
