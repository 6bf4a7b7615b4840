"""librdkafka's message → plain bytes and headers, in one form for every reader. Pure."""

from __future__ import annotations

from typing import cast

from confluent_kafka import Message

from schemas.headers import Headers


def bytes_of(value: str | bytes | None) -> bytes | None:
    """Key or value of a message as bytes; ``None`` stays ``None``."""
    return value.encode() if isinstance(value, str) else value


def headers_of(message: Message) -> Headers:
    """Headers of a message; one without a value has an empty value."""
    pairs = cast("list[tuple[str, str | bytes | None]]", message.headers() or [])
    return [(name, bytes_of(value) or b"") for name, value in pairs]
