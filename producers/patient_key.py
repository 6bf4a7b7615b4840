"""A patient's identifier and who assigned it → a key that tells nobody who it is.

The key is the HMAC-SHA256 (RFC 2104) of both under a secret of the site, cut to 128 bits (RFC 2104 5), in
hexadecimal. Guarantee: the same identifier of the same issuer has the same key in images and in HL7 messages,
wherever the secret is the same; without the secret a list of all identifiers does not give the names away.

What counts as the same is decided here: Unicode form NFKC, no spaces around, no leading or trailing control
characters; an issuer also without regard to case, as it is a name that people type. Identifiers keep their case
and their zeros.
"""

from __future__ import annotations

import hmac
import os
import secrets
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Final

from schemas.clinical import PatientSettings
from schemas.errors import ConfigurationError
from schemas.settings import secret_of

#: Where a machine keeps the secret that nobody set.
FILE_NAME: Final = "patient-key.secret"
_VARIABLE: Final = "SCANSTREAM_PATIENT_KEY_SECRET"
_KEY_CHARACTERS: Final = 32
_LEAST_CHARACTERS: Final = 16
_REMEMBERED: Final = 4096


class PatientKeys:
    """Makes keys.

    Parameters
    ----------
    secret
        Of the site.
    default_issuer
        Who assigned identifiers that name nobody.
    one_issuer
        Whether all identifiers are of the default issuer.
    """

    def __init__(self, secret: bytes, default_issuer: str = "", *, one_issuer: bool = False) -> None:
        self._secret = secret
        self._default = plain_issuer(default_issuer)
        self._one = one_issuer
        # the images of a study come together, and all are of one patient
        self._remembered = lru_cache(_REMEMBERED)(self._made)

    def key(self, patient_id: str | None, issuer: str | None = None) -> str | None:
        """Key of a patient; ``None`` where there is no identifier.

        Parameters
        ----------
        patient_id
            As in (0010,0020) or PID-3.1.
        issuer
            As in (0010,0021) or the namespace of PID-3.4.
        """
        return self._remembered(patient_id, issuer) if patient_id else None

    def _made(self, patient_id: str, issuer: str | None) -> str | None:
        identifier = _plain(patient_id)
        if not identifier:
            return None
        assigned_by = self._default if self._one else plain_issuer(issuer or "") or self._default
        # its length keeps "A" + "B1" apart from "AB" + "1"
        text = f"{len(assigned_by)}:{assigned_by}{identifier}"
        return hmac.digest(self._secret, text.encode("utf-8", "surrogatepass"), "sha256").hex()[:_KEY_CHARACTERS]


def patient_keys(settings: PatientSettings, data_dir: Path) -> PatientKeys:
    """Keys as the settings say; see :func:`secret_of_site`."""
    secret = secret_of_site(settings, data_dir)
    return PatientKeys(secret, settings.default_issuer, one_issuer=settings.one_issuer)


def secret_of_site(settings: PatientSettings, data_dir: Path) -> bytes:
    """The secret that is set, or the one that this machine made; it is made when it is asked for first.

    Raises
    ------
    ConfigurationError
        It is too short, or cannot be read or kept.
    """
    given = secret_of(settings.key_secret, settings.key_secret_file, _VARIABLE)
    if not given:
        return _own_secret(data_dir / FILE_NAME)
    if len(given) < _LEAST_CHARACTERS:
        raise ConfigurationError(
            f"{_VARIABLE} is shorter than {_LEAST_CHARACTERS} characters: set one that nobody can guess, such as "
            "the output of `openssl rand -hex 32`"
        )
    return given.encode()


def _own_secret(path: Path) -> bytes:
    """What the file holds; whoever comes first makes it, whole and for this user only."""
    try:
        if not path.exists():
            _make(path)
        found = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(
            f"the secret of patient keys {path} cannot be read or made ({error.strerror}): give this user the "
            f"right to it, or set {_VARIABLE}"
        ) from error
    if len(found) < _LEAST_CHARACTERS:
        raise ConfigurationError(
            f"the secret of patient keys {path} is empty or cut off: restore it from a backup, or remove it and "
            "accept that patients of before are not recognised"
        )
    return found


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)  # fails where another process was first
        except FileExistsError:
            return
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        aside.unlink()


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().strip("\0").strip()


def plain_issuer(text: str) -> str:
    """Name of who assigns identifiers, as it is compared."""
    return _plain(text).casefold()
