"""Errors of librdkafka → what the runtime must do: begin anew, or end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import DestinationUnavailable, PermanentRejection

#: The last is what a client that was fenced says of every event after that.
_FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED, KafkaError._FATAL}
)


class Fenced(PermanentRejection):
    """Another process holds this place: what this one had open in it is ended, its client can do nothing more."""


@contextmanager
def kafka_errors(doing: str) -> Iterator[None]:
    """Translate librdkafka's errors into what the runtime must do.

    Also as a decorator, above all of rebalance callbacks: the client does not hand a ``KafkaException`` from them
    to the caller of ``poll`` as an exception that anyone could catch.

    Raises
    ------
    Fenced
        Another process holds this place.
    DestinationUnavailable
        Anything else; begin anew.
    """
    try:
        with fencing(doing):
            yield
    except KafkaException as exception:
        raise DestinationUnavailable(f"Kafka could not {doing}: {exception.args[0].str()}") from exception


@contextmanager
def fencing(doing: str) -> Iterator[None]:
    """Translate only the errors that say that another process holds this place.

    Raises
    ------
    Fenced
        It does.
    """
    try:
        yield
    except KafkaException as exception:
        error = exception.args[0]
        if not error.fatal() and error.code() not in _FENCED:
            raise
        raise Fenced(
            f"Kafka refused to {doing}: {error.str()}; another process holds this place, so this one must end",
            error.code(),
        ) from exception
