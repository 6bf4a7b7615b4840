"""Errors of librdkafka → what the runtime must do: begin anew, or end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import DestinationUnavailable, PermanentRejection

_FENCED: Final = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})


@contextmanager
def kafka_errors(doing: str) -> Iterator[None]:
    """Translate librdkafka's errors into what the runtime must do.

    Also as a decorator, above all of rebalance callbacks: the client does not hand a ``KafkaException`` from them
    to the caller of ``poll`` as an exception that anyone could catch.

    Raises
    ------
    PermanentRejection
        Another process holds this place.
    DestinationUnavailable
        Anything else; begin anew.
    """
    try:
        yield
    except KafkaException as exception:
        error = exception.args[0]
        if error.fatal() or error.code() in _FENCED:
            raise PermanentRejection(
                f"Kafka refused to {doing}: {error.str()}; another process holds this place, so this one must end",
                error.code(),
            ) from exception
        raise DestinationUnavailable(f"Kafka could not {doing}: {error.str()}") from exception
