"""An error among polled messages → a pause that ends by itself, or the end of this process."""

from __future__ import annotations

import logging
from typing import Final

from confluent_kafka import KafkaError

from schemas.errors import PermanentRejection
from schemas.logs import fields

log = logging.getLogger(__name__)

#: What librdkafka reports once and never takes back. The error of a message does not carry the flag of
#: :meth:`KafkaError.fatal`, only one of these codes.
_ENDED: Final = frozenset({KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID})


def has_ended(error: KafkaError) -> bool:
    """Whether the consumer that polled this error will never give out a message again."""
    return error.fatal() or error.code() in _ENDED


def go_on_after(error: KafkaError) -> None:
    """Log what passes by itself, a broker that is away above all.

    A static member may lose its place without anybody else (KIP-345): a broker that restarts can take a late
    request of its old membership for another process. So the process ends, and its supervisor's restart takes the
    place back.

    Raises
    ------
    PermanentRejection
        This consumer has ended, and the process must.
    """
    if has_ended(error):
        raise PermanentRejection(
            f"Kafka ended this consumer ({error.str()}): start the process again; if it happens again, another "
            "one runs under the same name: end one of them, or give each its own SCANSTREAM_NODE",
            error.code(),
        )
    log.warning("Kafka reports", extra=fields(reason=error.str()))
