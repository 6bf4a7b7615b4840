"""Body of a callback → headers that prove who sent it and when (Standard Webhooks 1.0, scheme ``v1``). Pure.

HMAC-SHA256 over ``id.timestamp.body``, base64. A receiver computes it again with the shared secret, compares in
constant time, and refuses what is older than a few minutes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime
from typing import Final

from schemas.errors import ConfigurationError

_PREFIX: Final = "whsec_"
#: Standard Webhooks asks for 24 to 64 random bytes.
_SHORTEST: Final = 24
_LONGEST: Final = 64


def key_of(secret: str | None) -> bytes:
    """Key bytes of a secret: base64 after ``whsec_``, else its UTF-8 bytes.

    Raises
    ------
    ConfigurationError
        There is none, it is too short or too long, or its base64 is broken.
    """
    remedy = (
        'set SCANSTREAM_CALLBACK_SECRET_FILE to a file with the output of: echo "whsec_$(openssl rand -base64 32)"'
    )
    if not secret:
        raise ConfigurationError(f"callbacks need a secret for their signature: {remedy}")
    try:
        is_packed = secret.startswith(_PREFIX)
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True) if is_packed else secret.encode()
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(f"SCANSTREAM_CALLBACK_SECRET is no base64 after {_PREFIX}: {remedy}") from error
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ConfigurationError(
            f"SCANSTREAM_CALLBACK_SECRET has {len(key)} bytes, and {_SHORTEST} to {_LONGEST} are safe: {remedy}"
        )
    return key


def headers(key: bytes, identifier: str, body: bytes, now: datetime) -> dict[str, str]:
    """Header fields of one attempt.

    Parameters
    ----------
    key
        Of :func:`key_of`.
    identifier
        The same for every attempt at one event; also the idempotency key.
    body
        Exactly the bytes that are sent.
    now
        Of this attempt, aware.
    """
    timestamp = str(int(now.timestamp()))
    signed = b".".join([identifier.encode(), timestamp.encode(), body])
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")
    return {
        "webhook-id": identifier,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
        # a structured string (RFC 9651), as the HTTP working group's draft of this field has it
        "Idempotency-Key": f'"{identifier}"',
    }
